"""The quantities of an issued bill, taken from its own lines, in the form in which billing asks for them. Pure.

A line keeps how much of its meter it was rated of, so that rating a bill again needs no records. Where another plan
splits usage as the bill did not, its lines cannot say, and records have to be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from insights.billing.basis import DraftLine, IssuedBill, MeterOfBill, ServiceSegment
from insights.billing.usage_lines import Quantities
from insights.rating.charges import Percentage
from insights.rating.invoice import LineKind
from insights.rating.matrix import Matrix
from insights.rating.rate import count_of
from insights.rating.sheet import SheetPrice
from insights.values.exact import EXACT

_ZERO = Decimal(0)
# What a dimension of usage without a cell of its own is called here: no cell has it, so that it stays without one.
_OTHER = "everything else"
Billed = Mapping[tuple[int, int], Quantities]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterTraits:
    """How a meter's quantities go together: over time, and over the values of its dimensions."""

    adds_over_time: bool
    adds_over_values: bool


def billed_quantities(bill: IssuedBill, meters: tuple[MeterOfBill, ...]) -> dict[tuple[int, int], Quantities]:
    """What was metered in each segment of the bill, by the id of the meter's version."""
    ids = {(meter.key, meter.version): meter.id for meter in meters}
    found: dict[tuple[int, int], dict[tuple[str, ...], Decimal]] = {}
    for number, segment in enumerate(bill.segments):
        for line in _usage_of(bill, segment):
            meter_id = ids.get((line.meter_key, line.meter_version or 0))
            price = segment.sheet.by_meter.get(line.meter_key)
            if meter_id is None or price is None:
                continue
            place = found.setdefault((number, meter_id), {})
            values = _values(line, price)
            place[values] = EXACT.add(place.get(values, _ZERO), line.metered_quantity or _ZERO)
    for (number, line), meter_id in _counted(bill, ids):
        found.setdefault((number, meter_id), {(): count_of(line.steps)})
    return dict(found)


def _usage_of(bill: IssuedBill, segment: ServiceSegment) -> Iterator[DraftLine]:
    for stored in bill.lines:
        line = stored.line
        if line.kind is LineKind.CHARGE and line.meter_key and line.service.start == segment.service.start:
            yield line


def _values(line: DraftLine, price: SheetPrice) -> tuple[str, ...]:
    if price.matrix is None:
        return ()
    if not line.values:
        return rest_of(price.matrix)
    return tuple(line.values[name] for name in price.matrix.dimensions)


def rest_of(matrix: Matrix) -> tuple[str, ...]:
    """Dimension values that no cell of the matrix has."""
    name = _OTHER
    while any(name in cell.values for cell in matrix.cells):
        name += "."
    return tuple(name for _ in matrix.dimensions)


def _counted(
    bill: IssuedBill, ids: Mapping[tuple[str, int], int]
) -> Iterator[tuple[tuple[int, DraftLine], int]]:
    """Lines of a percentage with the meter that they count, which may have no line of its own."""
    newest = {key: ids[key, version] for key, version in sorted(ids)}
    for number, segment in enumerate(bill.segments):
        for line in _usage_of(bill, segment):
            charge = line.terms.charge if line.terms else None
            if isinstance(charge, Percentage) and charge.count_meter in newest:
                yield (number, line), newest[charge.count_meter]


def regrouped(
    bill: IssuedBill, billed: Billed, meter: MeterOfBill, wanted: SheetPrice | None, traits: MeterTraits
) -> Quantities | None:
    """A meter's quantity over the whole bill, by the values another price goes by; None if its lines cannot say."""
    by_segment = {
        number: quantities for (number, meter_id), quantities in billed.items() if meter_id == meter.id
    }
    used = {number: quantities for number, quantities in by_segment.items() if any(quantities.values())}
    if not used:
        return {}
    if len(bill.segments) > 1 and not traits.adds_over_time:
        return None
    matrices = [_matrix(bill.segments[number], meter.key) for number in used]
    matrix = wanted.matrix if wanted else None
    if matrix is None:
        if any(matrices) and not traits.adds_over_values:
            return None
        return {(): _sum(quantity for quantities in used.values() for quantity in quantities.values())}
    merged: dict[tuple[str, ...], Decimal] = {}
    for own, quantities in zip(matrices, used.values(), strict=True):
        if own is None or not _says_enough(own, quantities, matrix):
            return None
        for values, quantity in quantities.items():
            merged[values] = EXACT.add(merged.get(values, _ZERO), quantity)
    return merged


def _matrix(segment: ServiceSegment, meter_key: str) -> Matrix | None:
    price = segment.sheet.by_meter.get(meter_key)
    return price.matrix if price else None


def _says_enough(own: Matrix, quantities: Quantities, wanted: Matrix) -> bool:
    """Whether the split of one matrix is as fine as that of the other, for what was used."""
    if own.dimensions != wanted.dimensions:
        return False
    known = {cell.values for cell in own.cells}
    is_finer = {cell.values for cell in wanted.cells} <= known
    return is_finer or not quantities.get(rest_of(own))


def _sum(quantities: Iterator[Decimal]) -> Decimal:
    total = _ZERO
    for quantity in quantities:
        total = EXACT.add(total, quantity)
    return total
