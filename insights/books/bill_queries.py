"""Holds issued invoices to their hashes and to the usage they were made of. Reads only, as the worker.

Usage is summed from records and history as known at the invoice's position, in other words than billing reads it, so
that every record of a period is found in exactly one line, or among what was named as unpriced.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from typing import Any

from accounts.tenancy import connection
from insights.billing.invoice_mapping import invoice_hash
from insights.metering.aggregations import aggregated_unit, settled
from insights.models import Invoice, InvoiceKind, InvoiceState, LineItem, Meter, Source

# How many of each account's newest invoices are held to their usage every day.
NEWEST_INVOICES = 3
_INVOICES_AT_ONCE = 200
_LINES_AT_ONCE = 1_000
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class BillScope:
    """Which invoices to look at: of one account or all, and whether every one is held to its usage."""

    account_id: int | None
    takes_all: bool


@dataclass(frozen=True, slots=True)
class BillCheck:
    """A check that takes more than a statement: yields None for each invoice in order, else what differs."""

    name: str
    compare: Callable[[BillScope], Iterator[str | None]]


def compare_hashes(scope: BillScope) -> Iterator[str | None]:
    """Make the hash of every issued invoice again, with one pass over invoices and lines side by side."""
    invoices = _issued(scope).order_by("account_id", "id")
    lines = LineItem.objects.filter(invoice__state=InvoiceState.ISSUED).order_by(
        "account_id", "invoice_id", "position"
    )
    if scope.account_id is not None:
        lines = lines.filter(account=scope.account_id)
    by_invoice = groupby(lines.iterator(_LINES_AT_ONCE), key=lambda line: (line.account_id, line.invoice_id))
    found: tuple[tuple[int, int], list[LineItem]] | None = None
    for invoice in invoices.iterator(_INVOICES_AT_ONCE):
        place = (invoice.account_id, invoice.pk)
        while found is None or found[0] < place:
            following = next(by_invoice, None)
            if following is None:
                break
            found = following[0], list(following[1])
        own = found[1] if found is not None and found[0] == place else []
        is_same = invoice_hash(invoice, own) == bytes(invoice.sha256 or b"")
        yield None if is_same else f"invoice {invoice.pk}: is not what its hash was made of"


def compare_usage(scope: BillScope) -> Iterator[str | None]:
    """Hold the lines of invoices to the usage known at their positions; the newest of each account, or all."""
    with connection().cursor() as cursor:
        cursor.execute(
            _INVOICES,
            {"account": scope.account_id, "newest": None if scope.takes_all else NEWEST_INVOICES},
        )
        wanted = [row[0] for row in cursor.fetchall()]
    meters = {meter.pk: meter for meter in Meter.objects.all()}
    not_billed = list(Source.objects.filter(billable=False).values_list("pk", flat=True))
    for start in range(0, len(wanted), _INVOICES_AT_ONCE):
        found = Invoice.objects.in_bulk(wanted[start : start + _INVOICES_AT_ONCE])
        for invoice in sorted(found.values(), key=lambda one: (one.account_id, one.pk)):
            faults = list(_usage_faults(invoice, meters, not_billed))
            yield from faults
            if not faults:
                yield None


def _issued(scope: BillScope) -> Any:
    invoices = Invoice.objects.filter(state=InvoiceState.ISSUED)
    return invoices if scope.account_id is None else invoices.filter(account=scope.account_id)


# Records of archived months are in files; what was left out by a person's leave is in no line.
_INVOICES = f"""
SELECT id FROM (
    SELECT i.id, row_number() OVER (PARTITION BY i.account_id ORDER BY i.period_end DESC, i.id DESC) AS place
    FROM insights_invoice i
    WHERE (%(account)s::bigint IS NULL OR i.account_id = %(account)s)
      AND i.state = '{InvoiceState.ISSUED}' AND i.kind = '{InvoiceKind.PERIOD}'
      AND NOT EXISTS (SELECT FROM unnest(i.released) r WHERE split_part(r, ':', 1) = 'unable_to_rate')
      AND NOT EXISTS (SELECT FROM insights_usagemonth m WHERE m.state = 'archived'
        AND m.month < i.period_end AND m.month + interval '1 month' > i.period_start)
) i WHERE %(newest)s::integer IS NULL OR place <= %(newest)s ORDER BY id
"""
_KNOWN = """
WITH series AS MATERIALIZED (
    SELECT s.id, s.meter_id, s.dimensions, s.window_seconds FROM insights_series s
    WHERE s.account_id = %(account)s AND s.source_id <> ALL(%(not_billed)s::bigint[])
), known AS (
    SELECT s.*, u.window_start, u.row_id, u.quantity FROM series s CROSS JOIN LATERAL (
        SELECT r.* FROM insights_usagerecord r WHERE r.account_id = %(account)s AND r.series_id = s.id
            AND r.window_start >= %(start)s AND r.window_start < %(end)s OFFSET 0
    ) u JOIN insights_ledgerentry came ON came.id = u.entry_id AND came.position <= %(position)s
    UNION ALL
    SELECT s.*, h.window_start, h.row_id, h.quantity FROM series s JOIN insights_usagerevision h
        ON h.account_id = %(account)s AND h.series_id = s.id
        AND h.window_start >= %(start)s AND h.window_start < %(end)s
    JOIN insights_ledgerentry came ON came.id = h.entry_id AND came.position <= %(position)s
    JOIN insights_ledgerentry went ON went.id = h.ended_by_entry_id AND went.position > %(position)s
)
"""
_BY_SERIES = f"""{_KNOWN}
SELECT meter_id, width_bucket(window_start, %(starts)s::timestamptz[]) - 1, id, dimensions, sum(quantity),
    count(*)::numeric, sum(quantity * window_seconds), max(quantity),
    (array_agg(quantity ORDER BY window_start DESC, row_id DESC))[1]
FROM known GROUP BY 1, 2, 3, 4
"""
_UNIQUE = f"""{_KNOWN}
SELECT k.meter_id, width_bucket(k.window_start, %(starts)s::timestamptz[]) - 1,
    count(DISTINCT (ARRAY(SELECT k.dimensions ->> d FROM unnest(m.unique_dimensions) d), k.window_start))::numeric
FROM known k JOIN insights_meter m ON m.id = k.meter_id
WHERE m.aggregation = 'unique_count' AND k.quantity > 0 GROUP BY 1, 2
"""


@dataclass(slots=True)
class _Known:
    """What was known of one meter in one segment: by dimension values of its series, and distinct windows in all."""

    parts: list[tuple[Mapping[str, str], Decimal]] = field(default_factory=list)
    distinct: Decimal = _ZERO


def _usage_faults(invoice: Invoice, meters: Mapping[int, Meter], not_billed: list[int]) -> Iterator[str]:
    starts = [datetime.fromisoformat(each["start"]) for each in invoice.details["segments"]]
    known = _known_of(invoice, starts, meters, not_billed)
    lines: dict[tuple[str, int | None, int], list[LineItem]] = defaultdict(list)
    for line in LineItem.objects.filter(account=invoice.account_id, invoice=invoice, kind="charge").exclude(
        meter_key=""
    ):
        number = starts.index(line.service_start) if line.service_start in starts else -1
        lines[line.meter_key, line.meter_version, number].append(line)
    unpriced: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for (meter_id, number), found in known.items():
        meter = meters[meter_id]
        own = lines.pop((meter.key, meter.version, number), [])
        if not own:
            unit = aggregated_unit(meter.unit, meter.aggregation)
            unpriced[meter.key, unit] += _quantity(meter, found, {})
        yield from (
            f"line {line.id} of invoice {invoice.pk}: is not the usage of its values"
            for line in own
            if line.values
            and meter.aggregation != "unique_count"
            and line.metered_quantity != _quantity(meter, found, line.values)
        )
        total = sum((line.metered_quantity or _ZERO for line in own), _ZERO)
        # Hours are rounded for each line, so the lines of a few values need not add to the hours of all.
        is_one = len(own) == 1 or meter.aggregation != "time_weighted_sum"
        if own and is_one and total != _quantity(meter, found, {}):
            yield f"invoice {invoice.pk}: its lines for meter {meter_id} are not the usage of segment {number + 1}"
    for own in lines.values():
        yield from (
            f"line {line.id} of invoice {invoice.pk}: is of usage that is not known"
            for line in own
            if line.metered_quantity
        )
    without_line = (*invoice.details["unpriced"], *invoice.details.get("priced_elsewhere", ()))
    # Of one meter a part may be without a price, and another one priced elsewhere or counted.
    named: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for one in without_line:
        named[one["meter_key"], one["unit"]] += Decimal(one["quantity"])
    if _not_none(unpriced) != _not_none(named):
        yield f"invoice {invoice.pk}: usage without a line is not what it names as unpriced"


def _not_none(quantities: Mapping[tuple[str, str], Decimal]) -> dict[tuple[str, str], Decimal]:
    return {place: quantity for place, quantity in quantities.items() if quantity}


def _known_of(
    invoice: Invoice, starts: list[datetime], meters: Mapping[int, Meter], not_billed: list[int]
) -> dict[tuple[int, int], _Known]:
    parameters: dict[str, Any] = {
        "account": invoice.account_id,
        "start": invoice.period_start,
        "end": invoice.period_end,
        "position": invoice.usage_as_of,
        "starts": starts,
        "not_billed": not_billed,
    }
    known: dict[tuple[int, int], _Known] = defaultdict(_Known)
    with connection().cursor() as cursor:
        # The planner is told elsewhere to hash whole tables; here an index leads to one account's period.
        cursor.execute("SET LOCAL enable_nestloop = on")
        cursor.execute(_BY_SERIES, parameters)
        for meter_id, number, _, dimensions, *figures in cursor.fetchall():
            by_aggregation = dict(zip(_FIGURES, figures, strict=True))
            figure = by_aggregation.get(meters[meter_id].aggregation, _ZERO)
            known[meter_id, number].parts.append((_plain(dimensions), figure))
        cursor.execute(_UNIQUE, parameters)
        for meter_id, number, distinct in cursor.fetchall():
            known[meter_id, number].distinct = distinct
        cursor.execute("SET LOCAL enable_nestloop = off")
    return known


def _plain(dimensions: Any) -> Mapping[str, str]:
    found: Mapping[str, str] = json.loads(dimensions) if isinstance(dimensions, str) else dimensions
    return found


_FIGURES = ("sum", "count", "time_weighted_sum", "max", "latest")


def _quantity(meter: Meter, found: _Known, values: Mapping[str, str]) -> Decimal:
    """The meter's quantity over the series with these values; of distinct windows only all of them together."""
    if meter.aggregation == "unique_count":
        return found.distinct
    chosen = (
        quantity
        for dimensions, quantity in found.parts
        if all(dimensions.get(name, "") == value for name, value in values.items())
    )
    return settled(meter.aggregation, sum(chosen, _ZERO))


BILL_CHECKS_READ = (
    BillCheck("issued invoices are what their hashes were made of", compare_hashes),
    BillCheck("lines are the usage known when they were made", compare_usage),
)
