"""Reads what stands behind one line of a bill and puts its proof together; inside the account's scope.

Everything is read as known at the position that the bill was made at, and once more as known now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import cached_property, reduce
from zoneinfo import ZoneInfo

from accounts.models import Account
from insights.billing.basis import DraftLine
from insights.billing.bill import Bill, BillLine
from insights.billing.bill_mapping import segments_of
from insights.billing.invoice_mapping import line_of
from insights.billing.left_out_queries import list_left_out
from insights.explain.line_proof import (
    DayPart,
    Dimension,
    LineProof,
    Recheck,
    change_of_days,
    cost_of_days,
    cost_of_values,
    recheck_line,
)
from insights.metering.aggregations import MeterFacts, adds_over_time, adds_up, settled
from insights.metering.archived_queries import list_archived_months
from insights.metering.line_usage_queries import (
    NOW,
    DayUsage,
    LineScope,
    LineSeries,
    last_instant,
    list_line_series,
    read_line_by_series,
    read_line_days,
    read_line_total,
)
from insights.metering.meter_queries import list_meters
from insights.models import Invoice, InvoiceState, LineItem, Settlement, SettlementState
from insights.rating.charges import Percentage
from insights.rating.invoice import LineKind
from insights.rating.matrix import CATCH_ALL, Matrix, cell_key
from insights.rating.rate import Usage
from insights.rating.terms import PriceTerms
from insights.values.exact import EXACT

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class LineRead:
    """A line and where its usage is: for the proof, and for the records behind it.

    `before` is what older versions of the meter put into the same tiers, where the meter changed in the line's time.
    """

    line: BillLine
    draft: DraftLine
    scope: LineScope | None
    counted: LineScope | None
    position: int
    before: Usage | None = None


class Measured:
    """The meters of an account and their series, each read once for all lines of an answer, and only if needed."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._series: dict[int, tuple[LineSeries, ...]] = {}

    @cached_property
    def meters(self) -> tuple[MeterFacts, ...]:
        """Every version of every meter."""
        return list_meters(self._account)

    def series_of(self, meter: MeterFacts) -> tuple[LineSeries, ...]:
        """All series of one version of a meter."""
        if meter.id not in self._series:
            self._series[meter.id] = list_line_series(self._account.pk, meter)
        return self._series[meter.id]


def find_line(account: Account, bill: Bill, *, position: int) -> LineRead | None:
    """Find a line of the bill by its place, with the series it is for; None where the bill has no such line."""
    line = next((one for one in bill.lines if one.position == position), None)
    if line is None:
        return None
    row = LineItem.objects.for_account(account).get(invoice__public_id=bill.head.public_id, position=position)
    invoice = Invoice.objects.for_account(account).only("usage_as_of", "details").get(pk=row.invoice_id)
    # The usage behind a correction is the usage of the line that it corrects, under that bill's plans.
    told = invoice
    if row.corrects_invoice_id is not None:
        told = Invoice.objects.for_account(account).only("details").get(pk=row.corrects_invoice_id)
    older = LineItem.objects.for_account(account).filter(
        invoice=row.invoice_id,
        kind=LineKind.CHARGE,
        meter_key=row.meter_key,
        meter_version__lt=row.meter_version or 0,
    )
    return read_line(
        account,
        line,
        row,
        zone=bill.head.zone,
        position=invoice.usage_as_of,
        told=told.details,
        older=older if row.meter_key else (),
        measured=Measured(account),
    )


def read_line(
    account: Account,
    line: BillLine,
    row: LineItem,
    *,
    zone: str,
    position: int,
    told: Mapping[str, object],
    older: Iterable[LineItem],
    measured: Measured,
) -> LineRead:
    """Find the series that a stored line is for.

    `told` are the details of the bill whose plans it is under, `older` the lines of its bill for older versions of its
    meter, among others.
    """
    draft = line_of(row)
    return LineRead(
        line=line,
        draft=draft,
        scope=_scope(account, zone, draft, told, draft.meter_key, measured),
        counted=_scope(account, zone, draft, told, _count_meter(draft.terms), measured),
        position=position,
        before=usage_before(row, older),
    )


_SAME_LINE = ("price_key", "meter_key", "service_start", "service_end", "values", "unit")


def usage_before(row: LineItem, older: Iterable[LineItem]) -> Usage | None:
    """What older versions of the line's meter put into the same tiers, from some lines of the same bill."""
    quantities = [
        other.metered_quantity
        for other in older
        if other.metered_quantity
        and other.kind == LineKind.CHARGE
        and (other.meter_version or 0) < (row.meter_version or 0)
        and all(getattr(other, name) == getattr(row, name) for name in _SAME_LINE)
    ]
    return Usage(reduce(EXACT.add, quantities)) if quantities else None


def _count_meter(terms: PriceTerms | None) -> str:
    charge = terms.charge if terms else None
    return charge.count_meter if isinstance(charge, Percentage) else ""


def _scope(
    account: Account,
    zone: str,
    draft: DraftLine,
    details: Mapping[str, object],
    meter_key: str,
    measured: Measured,
) -> LineScope | None:
    """Which series a line's quantity, or its count, is of; None for a line that is not for usage."""
    if not meter_key or not draft.meter_key:
        return None
    is_own = meter_key == draft.meter_key
    meter = next(
        (
            one
            for one in reversed(measured.meters)
            if one.key == meter_key and (not is_own or draft.meter_version in (None, one.version))
        ),
        None,
    )
    if meter is None:
        return None
    matrix = _matrix_of(draft, details) if is_own else None
    wanted = tuple(draft.values.values()) if draft.values else CATCH_ALL
    left_out = list_left_out(account, details)

    def is_wanted(source_id: int, dimensions: Mapping[str, str]) -> bool:
        return source_id not in left_out and (matrix is None or cell_key(matrix, dimensions) == wanted)

    series = tuple(one for one in measured.series_of(meter) if is_wanted(one.facts.source_id, one.dimensions))
    return LineScope(account.pk, ZoneInfo(zone), meter, draft.service, series)


def _matrix_of(draft: DraftLine, details: Mapping[str, object]) -> Matrix | None:
    """The matrix of the line's price, as stored with the bill."""
    for segment in segments_of(details):
        # A plan may be had twice in a period, with another price of the account's own the second time.
        if segment.period.start != draft.service.start or segment.sheet.plan_key != draft.plan_key:
            continue
        for price in segment.sheet.prices:
            if price.key == draft.price_key:
                return price.matrix
    return None


def prove_line(account: Account, bill: Bill, *, position: int, now: datetime) -> LineProof | None:
    """Everything behind one line of a bill, or None where the bill has no such line."""
    read = find_line(account, bill, position=position)
    if read is None:
        return None
    proof = LineProof(line=read.line, neighbours=_neighbours(bill, read.line))
    if read.scope is None or read.draft.terms is None:
        return proof
    meter = read.scope.meter
    proof = replace(
        proof,
        meter_unit=read.draft.terms.unit,
        adds_over_time=adds_over_time(meter.aggregation),
        is_archived=bool(list_archived_months(account, read.draft.service)),
    )
    until = last_instant(read.draft.service, now)
    if read.draft.kind is LineKind.CORRECTION:
        return replace(proof, days=read_changed_days(account, read, until=until))
    return replace(
        proof,
        days=read_days(read, until=until),
        dimensions=_dimensions(read),
        recheck=_recheck(read, read.draft.terms),
    )


def _neighbours(bill: Bill, line: BillLine) -> tuple[BillLine, ...]:
    """The other lines of the same price, where the plan changed or the price is by dimension value."""
    if not line.price_key:
        return ()
    return tuple(
        other
        for other in bill.lines
        if other.position != line.position
        and other.kind is line.kind
        and (other.price_key, other.meter_key) == (line.price_key, line.meter_key)
    )


def read_days(read: LineRead, *, until: datetime, position: int | None = None) -> tuple[DayPart, ...]:
    """The days of a line that begin before the instant, with amounts where it can be parted; as known at its position.

    Another position is for what was known before a correction.
    """
    if read.scope is None or read.draft.terms is None:
        return ()
    known = read.position if position is None else position
    usage = read_line_days(read.scope, position=known, until=until)
    days = tuple(DayPart(slot=one.slot, quantity=one.quantity, records=one.records) for one in usage)
    if not adds_over_time(read.scope.meter.aggregation):
        return days
    counts = read_line_days(read.counted, position=known, until=until) if read.counted else ()
    return cost_of_days(
        days,
        terms=read.draft.terms,
        segment=read.draft.segment,
        counts=[_or_zero(one) for one in counts],
        before=read.before,
    )


def read_changed_days(account: Account, read: LineRead, *, until: datetime) -> tuple[DayPart, ...]:
    """The days that a correction is about: those that changed since its line was rated before."""
    before = _position_before(account, read)
    return change_of_days(read_days(read, until=until, position=before), read_days(read, until=until))


def _position_before(account: Account, read: LineRead) -> int:
    """The last position at which the corrected line was rated before this bill did it again."""
    draft = read.draft
    void = Settlement.objects.for_account(account).filter(state=SettlementState.VOID).values("invoice_id")
    rated = Invoice.objects.for_account(account).filter(
        state=InvoiceState.ISSUED, lines__corrects_invoice=draft.corrects_invoice_id, lines__key=draft.key
    )
    earlier = rated.exclude(pk__in=void).filter(usage_as_of__lt=read.position)
    first = Invoice.objects.for_account(account).filter(pk=draft.corrects_invoice_id or 0)
    positions = [*earlier.values_list("usage_as_of", flat=True), *first.values_list("usage_as_of", flat=True)]
    return max(positions, default=0)


def _or_zero(usage: DayUsage) -> Decimal:
    return usage.quantity or ZERO


def _dimensions(read: LineRead) -> tuple[Dimension, ...]:
    if read.scope is None:
        return ()
    meter = read.scope.meter
    return tuple(
        cost_of_values(name, quantities, read.line.amount, adds_up=adds_up(meter, name))
        for name, quantities in read_line_values(read).items()
    )


def read_line_values(read: LineRead) -> dict[str, dict[str, tuple[Decimal, int]]]:
    """The quantity and number of records of a line by the values of each dimension, as known at its bill's position."""
    scope = read.scope
    if scope is None:
        return {}
    totals = read_line_by_series(scope, position=read.position)
    found = {}
    for name in scope.meter.dimensions:
        raw: dict[str, tuple[Decimal, int]] = {}
        for one in scope.series:
            if one.facts.id in totals:
                quantity, records = totals[one.facts.id]
                value = one.dimensions.get(name, "")
                known = raw.get(value, (ZERO, 0))
                raw[value] = EXACT.add(known[0], quantity), known[1] + records
        found[name] = {
            value: (settled(scope.meter.aggregation, quantity), records)
            for value, (quantity, records) in raw.items()
        }
    return found


def _recheck(read: LineRead, terms: PriceTerms) -> Recheck | None:
    if read.scope is None:
        return None
    then, records = read_line_total(read.scope, position=read.position)
    now, records_now = read_line_total(read.scope, position=NOW)
    count_then = read_line_total(read.counted, position=read.position)[0] if read.counted else ZERO
    count_now = read_line_total(read.counted, position=NOW)[0] if read.counted else ZERO
    return recheck_line(
        read.line,
        terms=terms,
        segment=read.draft.segment,
        before=read.before,
        then=(Usage(then, count_then), records),
        now=(Usage(now, count_now), records_now),
    )
