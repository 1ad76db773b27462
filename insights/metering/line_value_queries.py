"""Reads the usage behind one line of a bill by the values of some dimensions, as billing asks for it.

As known at a ledger position, in an account's scope.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import reduce

from insights.metering.aggregations import adds_over_time, settled
from insights.metering.line_usage_queries import LineScope, LineSeries, read_line_by_series, read_line_total
from insights.values.exact import EXACT


def read_line_by_values(
    scope: LineScope, names: Sequence[str], *, position: int
) -> tuple[dict[tuple[str, ...], Decimal], dict[int, Decimal]]:
    """The quantity by the values of some dimensions in their order, `()` for all together: as billing asks for it.

    And by series, in the sum's own unit, where the records of a series add up to its quantity.
    """
    groups: dict[tuple[str, ...], list[LineSeries]] = {}
    for one in scope.series:
        groups.setdefault(tuple(one.dimensions.get(name, "") for name in names), []).append(one)
    aggregation = scope.meter.aggregation
    if aggregation == "unique_count":
        return {
            values: read_line_total(scope.of(series), position=position)[0]
            for values, series in groups.items()
        }, {}
    raw = {
        series_id: quantity
        for series_id, (quantity, _) in read_line_by_series(scope, position=position).items()
    }
    by_values = {}
    for values, series in groups.items():
        if parts := [raw[one.facts.id] for one in series if one.facts.id in raw]:
            by_values[values] = settled(aggregation, reduce(EXACT.add, parts))
    return by_values, raw if adds_over_time(aggregation) else {}
