"""Finds a stored line and the usage that it is for: which series of a meter, in which time, known at which position.

For the proof of a line, the records behind it, and what of it belongs to some days. Inside the account's scope.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property, reduce
from zoneinfo import ZoneInfo

from accounts.models import Account
from insights.billing.basis import DraftLine
from insights.billing.bill import Bill, BillLine, PlanSegment
from insights.billing.bill_mapping import segments_of
from insights.billing.invoice_mapping import line_of
from insights.billing.left_out_queries import list_left_out
from insights.metering.aggregations import MeterFacts
from insights.metering.line_usage_queries import (
    LineScope,
    LineSeries,
    list_line_series,
)
from insights.metering.meter_queries import list_meters
from insights.models import Invoice, LineItem
from insights.rating.charges import Percentage
from insights.rating.invoice import LineKind
from insights.rating.matrix import CATCH_ALL, Matrix, cell_key
from insights.rating.rate import UnableToRate, Usage
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
        self._cells: dict[
            tuple[int, int], tuple[Matrix, Mapping[tuple[str, ...], tuple[LineSeries, ...]]]
        ] = {}
        self._left_out: dict[int, tuple[Mapping[str, object], frozenset[int]]] = {}
        self._segments: dict[int, tuple[Mapping[str, object], tuple[PlanSegment, ...]]] = {}

    @cached_property
    def meters(self) -> tuple[MeterFacts, ...]:
        """Every version of every meter."""
        return list_meters(self._account)

    def series_of(self, meter: MeterFacts) -> tuple[LineSeries, ...]:
        """All series of one version of a meter."""
        if meter.id not in self._series:
            self._series[meter.id] = list_line_series(self._account.pk, meter)
        return self._series[meter.id]

    def series_by_cell(
        self, meter: MeterFacts, matrix: Matrix
    ) -> Mapping[tuple[str, ...], tuple[LineSeries, ...]]:
        """The series of a meter by the cell of a price that they belong to; those without one are left out."""
        known = self._cells.get((meter.id, id(matrix)))
        if known is None:
            found: dict[tuple[str, ...], list[LineSeries]] = {}
            for one in self.series_of(meter):
                with suppress(UnableToRate):
                    found.setdefault(cell_key(matrix, one.dimensions), []).append(one)
            known = matrix, {key: tuple(series) for key, series in found.items()}
            self._cells[meter.id, id(matrix)] = known
        return known[1]

    def segments_of(self, details: Mapping[str, object]) -> tuple[PlanSegment, ...]:
        """The plans of a bill, by the very object of its details: a sheet with many prices takes long to read."""
        # The object is kept beside what is known of it, so that no other one gets its identity meanwhile.
        known = self._segments.get(id(details))
        if known is None:
            known = self._segments[id(details)] = (details, segments_of(details))
        return known[1]

    def left_out_of(self, details: Mapping[str, object]) -> frozenset[int]:
        """The sources that a bill did not charge, by the very object of its details."""
        known = self._left_out.get(id(details))
        if known is None:
            known = self._left_out[id(details)] = (details, list_left_out(self._account, details))
        return known[1]


def find_line(account: Account, bill: Bill, *, position: int) -> LineRead | None:
    """Find a line of the bill by its place, with the series it is for; None where the bill has no such line."""
    line = next((one for one in bill.lines if one.position == position), None)
    if line is None:
        return None
    lines = LineItem.objects.for_account(account)
    row = lines.select_related("invoice").get(invoice__public_id=bill.head.public_id, position=position)
    invoice = row.invoice
    # The usage behind a correction is the usage of the line that it corrects, under that bill's plans.
    told = invoice
    if row.corrects_invoice_id is not None:
        told = Invoice.objects.for_account(account).only("details").get(pk=row.corrects_invoice_id)
    # Versions are counted from one.
    has_older = bool(row.meter_key) and (row.meter_version or 0) > 1
    older = lines.filter(
        invoice=row.invoice_id,
        kind=LineKind.CHARGE,
        meter_key=row.meter_key,
        meter_version__lt=row.meter_version or 0,
    )
    return read_line(
        account,
        line,
        line_of(row),
        row,
        zone=bill.head.zone,
        position=invoice.usage_as_of,
        told=told.details,
        older=older if has_older else (),
        measured=Measured(account),
    )


def read_line(
    account: Account,
    line: BillLine,
    draft: DraftLine,
    row: LineItem,
    *,
    zone: str,
    position: int,
    told: Mapping[str, object],
    older: Iterable[LineItem],
    measured: Measured,
) -> LineRead:
    """Find the series that a stored line is for; `line` and `draft` are both of its row.

    `told` are the details of the bill whose plans it is under, `older` the lines of its bill for older versions of its
    meter, among others.
    """
    before = usage_before(row, older)
    # What another meter counted is charged with the oldest version of the line's own.
    count_meter = "" if before is not None else _count_meter(draft.terms)
    return LineRead(
        line=line,
        draft=draft,
        scope=_scope(account, zone, draft, told, draft.meter_key, measured),
        counted=_scope(account, zone, draft, told, count_meter, measured),
        position=position,
        before=before,
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
    matrix = _matrix_of(draft, measured.segments_of(details)) if is_own else None
    if matrix is None:
        series = measured.series_of(meter)
    else:
        wanted = tuple(draft.values.values()) if draft.values else CATCH_ALL
        series = measured.series_by_cell(meter, matrix).get(wanted, ())
    left_out = measured.left_out_of(details)
    if left_out:
        series = tuple(one for one in series if one.facts.source_id not in left_out)
    return LineScope(account.pk, ZoneInfo(zone), meter, draft.service, series)


def _matrix_of(draft: DraftLine, segments: Iterable[PlanSegment]) -> Matrix | None:
    """The matrix of the line's price, as stored with the bill."""
    for segment in segments:
        # A plan may be had twice in a period, with another price of the account's own the second time.
        if segment.period.start != draft.service.start or segment.sheet.plan_key != draft.plan_key:
            continue
        for price in segment.sheet.prices:
            if price.key == draft.price_key:
                return price.matrix
    return None
