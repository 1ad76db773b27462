"""What each aggregation means, as SQL over rollups and over records, and when its parts add up.

Refuses to add what does not add: a peak of two months is not the sum of their peaks.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal

_SECONDS_PER_HOUR = Decimal(3600)
_EXACT_TO = Decimal("0.000000001")
_WIDE = Context(prec=100)


@dataclass(frozen=True, slots=True)
class MeterFacts:
    """One version of a meter, as reading it needs it."""

    id: int
    key: str
    version: int
    name: str
    description: str
    unit: str
    aggregation: str
    dimensions: tuple[str, ...]
    unique_dimensions: tuple[str, ...]
    is_newest: bool
    has_usage: bool


@dataclass(frozen=True, slots=True)
class AggregateSql:
    """One quantity out of many rows: rollup rows `r` or records `u`, joined with the chosen series `c`.

    `is_per_series` means one value for each series first, which are then summed.
    """

    over_rollups: str
    over_records: str
    is_per_series: bool = False


# Quantities held for a time are kept as quantity times seconds until they are shown, since an hour may be
# split in twelve and a twelfth has no exact decimals.
AGGREGATES: dict[str, AggregateSql] = {
    "sum": AggregateSql("sum(r.quantity)", "sum(u.quantity)"),
    "count": AggregateSql("sum(r.records)::numeric", "count(*)::numeric"),
    "time_weighted_sum": AggregateSql(
        "sum(r.quantity * c.window_seconds)", "sum(u.quantity * c.window_seconds)"
    ),
    "unique_count": AggregateSql(
        "sum(r.windows_used)::numeric",
        "count(DISTINCT (c.tuple_no, u.window_start)) FILTER (WHERE u.quantity > 0)::numeric",
    ),
    "max": AggregateSql("max(r.maximum)", "max(u.quantity)", is_per_series=True),
    "latest": AggregateSql(
        "(array_agg(r.latest_quantity ORDER BY r.latest_window DESC NULLS LAST))[1]",
        "(array_agg(u.quantity ORDER BY u.window_start DESC, u.row_id DESC))[1]",
        is_per_series=True,
    ),
}


def adds_over_time(aggregation: str) -> bool:
    """Whether the quantity of a month is the sum of those of its days."""
    return not AGGREGATES[aggregation].is_per_series


def adds_up(meter: MeterFacts, group_by: str) -> bool:
    """Whether the groups of a dimension add up to the whole, so that they may be stacked and a rest be named.

    Distinct windows add up only over a dimension that is part of what makes them distinct.
    """
    if meter.aggregation == "unique_count":
        return group_by in meter.unique_dimensions
    return adds_over_time(meter.aggregation)


def needs_seconds(aggregation: str) -> bool:
    """Whether a quantity counts by how long its window is."""
    return aggregation == "time_weighted_sum"


def settled(aggregation: str, raw: Decimal) -> Decimal:
    """The quantity to show for what was summed: quantity times seconds becomes quantity times hours."""
    if not needs_seconds(aggregation):
        return raw
    hours = _WIDE.divide(raw, _SECONDS_PER_HOUR)
    return hours.quantize(_EXACT_TO, rounding=ROUND_HALF_UP, context=_WIDE)


def unit_of(meter: MeterFacts) -> str:
    """The unit of the aggregated quantity."""
    return aggregated_unit(meter.unit, meter.aggregation)


def aggregated_unit(unit: str, aggregation: str) -> str:
    """What a meter's unit becomes when its quantities are aggregated so."""
    return f"{unit} hours" if needs_seconds(aggregation) else unit
