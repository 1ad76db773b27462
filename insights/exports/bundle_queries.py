"""Loads what the proof of an issued bill is made of, as it stood when the bill was made.

Call inside an account's scope; every query names the account besides. Records are only asked for here: they are read
when the zip is written, on the connection of the download.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet
from psycopg import sql

from accounts.models import Account
from insights.billing.invoice_mapping import invoice_text
from insights.exports.bundle import ArchivedMonth, Bundle, IssuedText, MeterOfProof, Table
from insights.exports.cell_queries import safe_cell
from insights.exports.queries import CopyStatement
from insights.metering.aggregations import aggregated_unit
from insights.metering.archived_queries import guard_of
from insights.metering.known_sql import KNOWN_PARTS, SINCE
from insights.models import (
    Invoice,
    InvoiceKind,
    InvoiceState,
    LineItem,
    Meter,
    RollupSeal,
    Series,
    Settlement,
    SettlementState,
)
from insights.rating.invoice import LineKind
from insights.rating.terms import FeeTiming
from insights.values.period import Period


def load_bundle(account: Account, *, public_id: UUID) -> Bundle | None:
    """Load the proof of an issued bill, or None where the account has no such bill."""
    invoice = _issued(account).filter(public_id=public_id).first()
    if invoice is None:
        return None
    corrected = list(_corrected(account, invoice))
    earlier = _earlier(account, invoice, corrected)
    lines = _lines_of(account, [invoice, *earlier])
    catalogue = list(Meter.objects.all())
    meters = {meter.pk: _meter(meter, invoice.issued_at) for meter in catalogue}
    used = set(Series.objects.for_account(account).values_list("meter", flat=True).distinct())
    # A bill that opened a subscription has no usage.
    used_on = [invoice, *(one for one in corrected if one.kind != InvoiceKind.OPENING)]
    archived = {one.pk: _archived(account, one) for one in used_on}
    return Bundle(
        bill=_text(invoice, lines),
        sha256=bytes(invoice.sha256).hex(),
        account=account.reference,
        position=invoice.usage_as_of,
        issued_at=invoice.issued_at,
        earlier=tuple(_text(one, lines) for one in earlier),
        corrected=tuple(one.number for one in corrected),
        named=tuple(meters[meter.pk] for meter in _named(catalogue, lines, invoice.issued_at)),
        tables=tuple(
            Table(
                meter=meter,
                number=one.number,
                is_corrected=one is not invoice,
                source=_records(account, one, meter_id, position=invoice.usage_as_of),
            )
            for one in used_on
            if one.kind == InvoiceKind.PERIOD and not archived[one.pk]
            for meter_id, meter in sorted(meters.items())
            if meter_id in used
        ),
        not_contained=tuple((one.number, archived[one.pk]) for one in used_on if archived[one.pk]),
    )


def _issued(account: Account) -> QuerySet[Any]:
    return Invoice.objects.for_account(account).filter(state=InvoiceState.ISSUED)


def _corrected(account: Account, invoice: Invoice) -> QuerySet[Any]:
    """The bills that lines of this one correct, in the order in which it does."""
    lines = LineItem.objects.filter(
        account=account, invoice=invoice, kind=LineKind.CORRECTION, corrects_invoice=OuterRef("pk")
    )
    return _issued(account).filter(Exists(lines)).order_by("period_start", "id")


def _earlier(account: Account, invoice: Invoice, corrected: Sequence[Invoice]) -> list[Invoice]:
    """Other bills that lines follow from, as they counted then: corrected ones, their corrections, fees in advance."""
    void_then = Settlement.objects.filter(
        account=account,
        invoice=OuterRef("pk"),
        state=SettlementState.VOID,
        changed_at__lte=invoice.issued_at,
    )
    lines = LineItem.objects.filter(account=account, invoice=OuterRef("pk"))
    corrections = lines.filter(kind=LineKind.CORRECTION, corrects_invoice__in=[one.pk for one in corrected])
    ahead = lines.filter(
        kind=LineKind.CHARGE,
        terms__timing=FeeTiming.IN_ADVANCE,
        corrects_invoice__isnull=True,
        service_start__gte=invoice.period_start,
        service_end__lte=_end_of_whole(invoice),
        invoice__subscription=invoice.subscription_id,
    )
    # Several bills may be issued at one instant; those of a subscription are, in the order of their periods.
    before = Q(issued_at__lt=invoice.issued_at) | Q(
        issued_at=invoice.issued_at, period_start__lte=invoice.period_start
    )
    referred = (
        Exists(corrections) | Exists(ahead) if invoice.kind == InvoiceKind.PERIOD else Exists(corrections)
    )
    rows = _issued(account).exclude(pk=invoice.pk).filter(before, ~Exists(void_then), referred)
    found = {one.pk: one for one in (*corrected, *rows)}
    return sorted(found.values(), key=lambda one: (one.period_start, one.pk))


def _end_of_whole(invoice: Invoice) -> datetime:
    """The end of the billing period, of which an invoice may be for a part only."""
    whole = invoice.details.get("whole")
    return datetime.fromisoformat(whole[1]) if whole else invoice.period_end


def _lines_of(account: Account, invoices: Iterable[Invoice]) -> dict[int, list[LineItem]]:
    rows = LineItem.objects.for_account(account).filter(invoice__in=[one.pk for one in invoices])
    found: dict[int, list[LineItem]] = {}
    for row in rows.order_by("invoice_id", "position"):
        found.setdefault(row.invoice_id, []).append(row)
    return found


def _text(invoice: Invoice, lines: dict[int, list[LineItem]]) -> IssuedText:
    return IssuedText(number=invoice.number or "", text=invoice_text(invoice, lines.get(invoice.pk, [])))


def _named(
    catalogue: Iterable[Meter], lines: dict[int, list[LineItem]], issued_at: datetime
) -> Iterator[Meter]:
    """The meters that lines name, and the versions of these that there were when the bill was issued."""
    named = {(line.meter_key, line.meter_version) for many in lines.values() for line in many}
    keys = {key for key, _ in named}
    for meter in catalogue:
        if (meter.key, meter.version) in named or (meter.key in keys and meter.created_at <= issued_at):
            yield meter


def _meter(meter: Meter, issued_at: datetime) -> MeterOfProof:
    is_retired = meter.retired_at is not None and meter.retired_at <= issued_at
    return MeterOfProof(
        key=meter.key,
        version=meter.version,
        unit=aggregated_unit(meter.unit, meter.aggregation),
        aggregation=meter.aggregation,
        dimensions=tuple(meter.dimensions),
        unique_dimensions=tuple(meter.unique_dimensions),
        retired_at=meter.retired_at if is_retired else None,
    )


def _archived(account: Account, invoice: Invoice) -> tuple[ArchivedMonth, ...]:
    """The months of a bill's period whose records are in files, with the hashes of what stays of them."""
    bounds = guard_of(account.pk, _period(invoice)).parameters
    seals = RollupSeal.objects.for_account(account).filter(
        month__gte=bounds["first"], month__lte=bounds["last"]
    )
    sums: dict[str, list[tuple[str, int, str]]] = {}
    for seal in seals.order_by("month", "rollup"):
        sums.setdefault(f"{seal.month:%Y-%m}", []).append((seal.rollup, seal.rows, seal.sha256))
    return tuple(ArchivedMonth(month=month, sums=tuple(found)) for month, found in sums.items())


def _period(invoice: Invoice) -> Period:
    return Period(invoice.period_start, invoice.period_end)


# The key index of a partition gives this order; what is known then and past now is put in its place by a sort.
_COPY = """
COPY (
    WITH {since}, series AS MATERIALIZED (
        SELECT s.id, dense_rank() OVER (ORDER BY s.id) AS place, s.dimensions::text AS dimensions, s.window_seconds,
            coalesce(w.source_slug, '') AS source
        FROM insights_series s
        LEFT JOIN insights_watermark w ON w.account_id = s.account_id AND w.source_id = s.source_id
        WHERE s.account_id = %(account)s AND s.meter_id = %(meter)s
    )
    SELECT s.place AS series, s.dimensions, to_char(r.window_start, 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS window_start,
        s.window_seconds, trim_scale(r.quantity) AS quantity, s.source, {row_id} AS row_id, r.revision,
        p.batch_public_id AS batch, r.line_no AS line
    FROM ({known}) r JOIN series s ON s.id = r.series_id
    LEFT JOIN insights_batchpart p ON p.account_id = r.account_id AND p.batch_id = r.batch_id
    WHERE r.account_id = %(account)s AND r.window_start >= %(start)s AND r.window_start < %(end)s
    ORDER BY r.account_id, r.series_id, r.window_start, r.row_id
) TO STDOUT (FORMAT csv, HEADER true)
"""


def _records(account: Account, invoice: Invoice, meter_id: int, *, position: int) -> CopyStatement:
    """The statement for a meter's records in a bill's period, as known at a position."""
    period = _period(invoice)
    statement = sql.SQL(_COPY).format(
        since=sql.SQL(SINCE),
        row_id=safe_cell(sql.SQL("r.row_id"), raw=False),
        known=sql.SQL(" UNION ALL ".join(KNOWN_PARTS)),
    )
    parameters = {
        "account": account.pk,
        "meter": meter_id,
        "position": position,
        "start": period.start,
        "end": period.end,
    }
    return CopyStatement(statement, parameters, guard=guard_of(account.pk, period))
