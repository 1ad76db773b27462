"""Whether the prices of a sheet fit the meters they are for; refuses what no bill could be made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from insights.billing.plan_faults import PlanFault
from insights.rating.charges import Percentage
from insights.rating.sheet import SheetPrice
from insights.rating.terms import FeeTiming, PriceTerms

# Quantities of these add over the values of a dimension, so usage may be split among cells.
ADDITIVE = ("sum", "count")


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedMeter:
    """What a price must know of a meter: the unit of what it measures, how it aggregates, and its dimensions."""

    unit: str
    aggregation: str
    dimensions: tuple[str, ...]


def meter_faults(price: SheetPrice, meters: Mapping[str, PricedMeter]) -> Iterator[PlanFault]:
    """Every way in which the price does not fit its meter, or the meters it counts by."""
    table = f"price {price.key}"
    if price.meter_key:
        meter = meters.get(price.meter_key)
        if meter is None:
            yield PlanFault(table, "meter", "unknown_meter", f"there is no meter {price.meter_key}")
        else:
            yield from _unit_faults(table, price, meter)
            yield from _dimension_faults(table, price, price.meter_key, meter)
        yield from _timing_faults(table, price)
    for terms in _distinct_terms(price):
        yield from _count_faults(table, price, terms, meters)


def _distinct_terms(price: SheetPrice) -> list[PriceTerms]:
    return [terms for _, terms in price.every_terms()]


def _unit_faults(table: str, price: SheetPrice, meter: PricedMeter) -> Iterator[PlanFault]:
    for unit in sorted({terms.unit for terms in _distinct_terms(price)} - {meter.unit}):
        message = (
            f'is {unit or "empty"}, but {price.meter_key} measures {meter.unit}; write unit = "{meter.unit}"'
        )
        yield PlanFault(table, "unit", "unit_differs", message)


def _dimension_faults(table: str, price: SheetPrice, key: str, meter: PricedMeter) -> Iterator[PlanFault]:
    if price.matrix is None:
        return
    for name in price.matrix.dimensions:
        if name not in meter.dimensions:
            has = ", ".join(meter.dimensions) or "none"
            message = f"{key} has no dimension {name}; it has {has}"
            yield PlanFault(table, "dimensions", "unknown_dimension", message)
    if meter.aggregation not in ADDITIVE:
        message = f"{key} is aggregated by {meter.aggregation}, whose parts do not add up to the whole; write one price"
        yield PlanFault(table, "dimensions", "not_additive", message)


def _timing_faults(table: str, price: SheetPrice) -> Iterator[PlanFault]:
    if any(terms.timing is not FeeTiming.IN_ARREARS for terms in _distinct_terms(price)):
        message = "is for fees; usage is charged in_arrears, after it was metered"
        yield PlanFault(table, "timing", "not_used", message)


def _count_faults(
    table: str, price: SheetPrice, terms: PriceTerms, meters: Mapping[str, PricedMeter]
) -> Iterator[PlanFault]:
    charge = terms.charge
    if not isinstance(charge, Percentage) or not charge.count_meter:
        return
    meter = meters.get(charge.count_meter)
    if not price.meter_key:
        message = "counts usage, but the price is a fee, which has no usage"
        yield PlanFault(table, "count_meter", "not_used", message)
    elif meter is None:
        yield PlanFault(table, "count_meter", "unknown_meter", f"there is no meter {charge.count_meter}")
    else:
        yield from _dimension_faults(table, price, charge.count_meter, meter)
