"""Reads the records beside the edges of a bill's period, and finds the bill each went to; in the account's scope."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models.fields.json import KeyTransform

from accounts.models import Account
from insights.billing.bill import Bill
from insights.billing.left_out_queries import list_left_out
from insights.explain.edges import (
    BillRef,
    Edge,
    EdgeCount,
    EdgePlace,
    EdgeRecord,
    Outcome,
    Went,
    edges_of,
)
from insights.metering.archived_queries import refuse_archived_records
from insights.metering.known_queries import rows_of
from insights.models import Invoice, InvoiceState, LineItem, SettlementState
from insights.rating.invoice import LineKind
from insights.values.period import Period

_LONGEST_WINDOW = timedelta(days=1)
# Records that a file reads at once, in one short transaction.
ROWS_AT_ONCE = 1_000
# A window touches an edge if it begins before the minutes after it end, and ends after the minutes before it begin.
_TOUCHING = """
WITH named AS MATERIALIZED (
    SELECT s.id, s.source_id, s.window_seconds, s.dimensions, m.key AS meter, m.version, m.unit,
        coalesce(w.source_slug, '') AS source
    FROM insights_series s JOIN insights_meter m ON m.id = s.meter_id
    LEFT JOIN insights_watermark w ON w.account_id = s.account_id AND w.source_id = s.source_id
    WHERE s.account_id = %(account)s
), touching AS (
    SELECT e.edge, e.at, s.id, r.window_start, r.row_id, r.quantity, r.revision, r.batch_id, r.line_no, r.entry_id
    FROM unnest(%(edges)s::int[], %(ats)s::timestamptz[]) AS e (edge, at) CROSS JOIN named s CROSS JOIN LATERAL (
        SELECT u.* FROM insights_usagerecord u
        WHERE u.account_id = %(account)s AND u.series_id = s.id
            AND u.window_start > e.at - %(within)s - make_interval(secs => s.window_seconds)
            AND u.window_start < e.at + %(within)s
            AND u.window_start >= %(first)s AND u.window_start < %(end)s OFFSET 0
    ) r
)"""
_PAGE = f"""{_TOUCHING}
SELECT t.edge, t.window_start, t.id, t.row_id, s.window_seconds, s.meter, s.version, s.dimensions, t.quantity, s.unit,
    s.source, s.source_id, p.batch_public_id, t.line_no, t.revision, t.entry_id
FROM touching t JOIN named s ON s.id = t.id
LEFT JOIN insights_batchpart p ON p.account_id = %(account)s AND p.batch_id = t.batch_id
WHERE (t.edge, t.window_start, t.id, t.row_id)
    > (%(after_edge)s, %(after_start)s, %(after_series)s, %(after_row)s)
ORDER BY t.edge, t.window_start, t.id, t.row_id LIMIT %(limit)s"""
_COUNTS = f"""{_TOUCHING}
SELECT edge, count(*) FILTER (WHERE window_start < at), count(*) FILTER (WHERE window_start >= at)
FROM touching GROUP BY edge"""
_BROUGHT_LATER = "SELECT DISTINCT entry_id FROM portal_entries_after(%s) WHERE entry_id = ANY(%s)"


@dataclass(frozen=True, slots=True)
class Beside:
    """Which records: those whose windows touch so many minutes on either side of the edges of a bill."""

    account: Account
    bill: Bill
    edges: tuple[Edge, ...]
    within: timedelta

    @classmethod
    def of(cls, account: Account, bill: Bill, *, minutes: int) -> Beside:
        """The edges of a bill's period."""
        return cls(account, bill, edges_of(bill), timedelta(minutes=minutes))

    @property
    def reach(self) -> Period:
        """All that a window that touches an edge may begin in."""
        first, last = self.edges[0].at, self.edges[-1].at
        return Period(first - self.within - _LONGEST_WINDOW, last + self.within)

    def parameters(self) -> dict[str, Any]:
        """The parameters of the statements."""
        return {
            "account": self.account.pk,
            "edges": list(range(len(self.edges))),
            "ats": [edge.at for edge in self.edges],
            "within": self.within,
            "first": self.reach.start,
            "end": self.reach.end,
        }


def count_beside(beside: Beside) -> tuple[EdgeCount, ...]:
    """How many records touch the minutes beside each edge; raises UsageFilterRefused where some are archived."""
    found = {edge: (before, after) for edge, before, after in rows_of(_COUNTS, beside.parameters())}
    refuse_archived_records(beside.account, beside.reach)
    return tuple(
        EdgeCount(edge=edge, before=found.get(number, (0, 0))[0], after=found.get(number, (0, 0))[1])
        for number, edge in enumerate(beside.edges)
    )


def list_beside(
    beside: Beside, *, after: EdgePlace | None, limit: int
) -> tuple[tuple[EdgeRecord, Went], ...]:
    """The records behind a place by edge and time, each with where it went."""
    place = after or EdgePlace(0, beside.reach.start, 0, "")
    records: list[EdgeRecord] = []
    # Edge by edge, since the first one alone often fills a page.
    for number in range(max(place.edge, 0), len(beside.edges)):
        parameters = beside.parameters() | {
            "edges": [number],
            "ats": [beside.edges[number].at],
            "limit": limit - len(records),
            "after_edge": place.edge,
            "after_start": place.window_start,
            "after_series": place.series_id,
            "after_row": place.row_id,
        }
        records += map(_record, rows_of(_PAGE, parameters))
        if len(records) == limit:
            break
    refuse_archived_records(beside.account, beside.reach)
    bills = _Bills.around(beside, [record.entry_id for record in records])
    return tuple((record, bills.went(record)) for record in records)


def each_beside(
    beside: Beside, opened: Callable[[], AbstractContextManager[None]]
) -> Iterator[tuple[EdgeRecord, Went]]:
    """All records in the same order, read by pages; each transaction ends before what it read is sent."""
    after: EdgePlace | None = None
    while True:
        with opened():
            rows = list_beside(beside, after=after, limit=ROWS_AT_ONCE)
        yield from rows
        if len(rows) < ROWS_AT_ONCE:
            return
        after = rows[-1][0].at


def _record(row: Sequence[Any]) -> EdgeRecord:
    edge, window_start, series_id, row_id, seconds, meter, version, dimensions, quantity, unit, *rest = row
    source, source_id, batch, line, revision, entry_id = rest
    return EdgeRecord(
        at=EdgePlace(edge, window_start, series_id, row_id),
        window=timedelta(seconds=seconds),
        meter=meter,
        meter_version=version,
        dimensions=json.loads(dimensions),
        quantity=quantity,
        unit=unit,
        source=source,
        source_id=source_id,
        batch=batch,
        line=line,
        revision=revision,
        entry_id=entry_id,
    )


@dataclass(frozen=True, slots=True)
class _Bills:
    """The account's bills around the edges, with their lines for usage and the bills that correct them.

    `later` are the entries, of those asked about, that came after the position of a bill, by its id.
    """

    own_subscription: int
    invoices: Mapping[int, Any]
    lines: Sequence[LineItem]
    left_out: Mapping[int, frozenset[int]]
    correcting: Mapping[int, Sequence[Invoice]]
    later: Mapping[int, frozenset[int]]

    @classmethod
    def around(cls, beside: Beside, entries: Sequence[int]) -> _Bills:
        """Read what can be on a bill of the edges' time."""
        account, reach = beside.account, beside.reach
        invoices = {
            invoice.pk: invoice
            for invoice in Invoice.objects.for_account(account)
            .filter(kind="period", period_start__lt=reach.end, period_end__gt=reach.start)
            .annotate(not_billed=KeyTransform("not_billed", "details"))
            .defer("details")
            .order_by("period_start", "pk")
        }
        lines = LineItem.objects.for_account(account).filter(
            invoice__in=list(invoices), kind=LineKind.CHARGE, meter_key__gt=""
        )
        correcting = _correcting(account, list(invoices))
        every = {invoice.pk: invoice for many in correcting.values() for invoice in many} | invoices
        own = next((one for one in invoices.values() if one.public_id == beside.bill.head.public_id), None)
        return cls(
            own_subscription=own.subscription_id if own else 0,
            invoices=invoices,
            lines=list(
                lines.only(
                    "invoice_id", "position", "name", "meter_key", "meter_version", "values", "service_start",
                    "service_end",
                )
            ),
            left_out={
                pk: list_left_out(account, {"not_billed": invoice.not_billed})
                for pk, invoice in invoices.items()
            },
            correcting=correcting,
            later={pk: _brought_later(invoice.usage_as_of, entries) for pk, invoice in every.items()},
        )  # fmt: skip

    def went(self, record: EdgeRecord) -> Went:
        """The bill and line that a record is on, or why there is none."""
        line = self._line(record)
        if line is None:
            holding = self._holding(record.at.window_start)
            if holding is None:
                return Went(outcome=Outcome.NO_BILL)
            is_free = record.source_id in self.left_out[holding.pk]
            outcome = Outcome.NOT_CHARGED if is_free else Outcome.NO_PRICE
            return Went(outcome=outcome, bill=_ref(holding))
        invoice = self.invoices[line.invoice_id]
        outcome, correcting = self._outcome(record, invoice)
        return Went(
            outcome=outcome,
            bill=_ref(invoice),
            line=line.position,
            line_name=line.name,
            corrected_on=_ref(correcting) if correcting else None,
        )

    def _line(self, record: EdgeRecord) -> LineItem | None:
        """The line of its meter and values then; one that names its values before the one for all others."""
        fitting = [
            line
            for line in self.lines
            if (line.meter_key, line.meter_version) == (record.meter, record.meter_version)
            and line.service_start <= record.at.window_start < line.service_end
            and all(record.dimensions.get(name, "") == value for name, value in line.values.items())
        ]
        return max(fitting, key=lambda line: len(line.values), default=None)

    def _holding(self, at: datetime) -> Invoice | None:
        """The bill whose period holds the instant, of the bill's own subscription if it has one."""
        holding = [one for one in self.invoices.values() if one.period_start <= at < one.period_end]
        own = [one for one in holding if one.subscription_id == self.own_subscription]
        return next(iter((*own, *holding)), None)

    def _outcome(self, record: EdgeRecord, invoice: Invoice) -> tuple[Outcome, Invoice | None]:
        if record.source_id in self.left_out[invoice.pk]:
            return Outcome.NOT_CHARGED, None
        if invoice.state != InvoiceState.ISSUED:
            return Outcome.DRAFT, None
        if record.entry_id not in self.later[invoice.pk]:
            return Outcome.BILLED, None
        for correcting in self.correcting.get(invoice.pk, ()):
            if record.entry_id not in self.later[correcting.pk]:
                return Outcome.CORRECTED, correcting
        return Outcome.WAITS, None


def _correcting(account: Account, corrected: Sequence[int]) -> dict[int, list[Invoice]]:
    """The issued bills that correct others and were not voided, by what they correct, the first first."""
    rows = (
        LineItem.objects.for_account(account)
        .filter(corrects_invoice__in=corrected, kind=LineKind.CORRECTION, invoice__state=InvoiceState.ISSUED)
        .exclude(invoice__settlements__state=SettlementState.VOID)
        .values_list("corrects_invoice_id", "invoice_id")
        .distinct()
    )
    pairs = list(rows)
    later = Invoice.objects.for_account(account).filter(pk__in={pk for _, pk in pairs}).defer("details")
    found: dict[int, list[Invoice]] = {}
    for invoice in later.order_by("usage_as_of", "pk"):
        for first, second in pairs:
            if second == invoice.pk and first is not None:
                found.setdefault(first, []).append(invoice)
    return found


def _brought_later(position: int, entries: Iterable[int]) -> frozenset[int]:
    wanted = sorted(set(entries))
    return frozenset(row[0] for row in rows_of(_BROUGHT_LATER, [position, wanted])) if wanted else frozenset()


def _ref(invoice: Invoice) -> BillRef:
    return BillRef(public_id=invoice.public_id, number=invoice.number or "")
