"""Quantities that were typed in, in the form in which billing takes what was metered. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from insights.billing.basis import MeterOfBill
from insights.billing.billed_quantities import rest_of
from insights.billing.estimate_question import EstimateRefused, TypedQuantity
from insights.billing.usage_lines import Quantities
from insights.rating.charges import Percentage
from insights.rating.sheet import PriceSheet, SheetPrice


def typed_quantities(
    sheet: PriceSheet, meters: Sequence[MeterOfBill], typed: Iterable[TypedQuantity]
) -> dict[tuple[int, int], Quantities]:
    """The quantities in the first segment by meter; raises EstimateRefused for what the plan has no price for."""
    found: dict[tuple[int, int], dict[tuple[str, ...], Decimal]] = {}
    for one in typed:
        meter = _meter(sheet, meters, one)
        values = _values(sheet.by_meter.get(one.meter_key), one)
        place = found.setdefault((0, meter.id), {})
        if values in place:
            message = f"{meter.name} comes twice with the same dimension values."
            raise EstimateRefused("duplicate_quantity", one.place, message)
        place[values] = one.quantity
    return dict(found)


def asked_meters(sheet: PriceSheet, meters: Sequence[MeterOfBill]) -> tuple[MeterOfBill, ...]:
    """The meters to ask quantities of: those with a price, and those that a percentage counts."""
    found = {}
    for key in (*sheet.by_meter, *sorted(_counted(sheet))):
        meter = _newest(sheet, meters, key)
        if meter is not None:
            found[key] = meter
    return tuple(found.values())


def _counted(sheet: PriceSheet) -> frozenset[str]:
    return frozenset(
        terms.charge.count_meter
        for price in sheet.prices
        for _, terms in price.every_terms()
        if isinstance(terms.charge, Percentage) and terms.charge.count_meter
    )


def _newest(sheet: PriceSheet, meters: Sequence[MeterOfBill], key: str) -> MeterOfBill | None:
    """The newest version of the meter in the unit that it is priced in."""
    price = sheet.by_meter.get(key)
    fitting = [
        meter for meter in meters if meter.key == key and (price is None or price.units <= {meter.unit})
    ]
    return max(fitting, key=lambda meter: meter.version, default=None)


def _meter(sheet: PriceSheet, meters: Sequence[MeterOfBill], one: TypedQuantity) -> MeterOfBill:
    known = {meter.key: meter for meter in asked_meters(sheet, meters)}
    if one.meter_key not in known:
        message = f"{sheet.plan_name} has no price for a meter “{one.meter_key[:60]}”."
        raise EstimateRefused("unknown_meter", one.place, message)
    return known[one.meter_key]


def _values(price: SheetPrice | None, one: TypedQuantity) -> tuple[str, ...]:
    matrix = price.matrix if price else None
    names = matrix.dimensions if matrix else ()
    if not one.values:
        if matrix is None:
            return ()
        if matrix.catch_all is None:
            message = f"{one.meter_key} has prices by {', '.join(names)} alone; say which."
            raise EstimateRefused("unknown_values", one.place, message)
        return rest_of(matrix)
    if set(one.values) != set(names):
        said = f"goes by {', '.join(names)}" if names else "has one price for all dimension values"
        raise EstimateRefused("unknown_values", one.place, f"{one.meter_key} {said}.")
    values = tuple(one.values[name] for name in names)
    if matrix is not None and matrix.catch_all is None and matrix.terms_of(values) is None:
        message = f"{one.meter_key} has no price for {', '.join(values)}."
        raise EstimateRefused("unknown_values", one.place, message)
    return values
