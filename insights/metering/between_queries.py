"""Reads how many records came and went between two ledger positions, and what they come to; in an account's scope."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

from insights.metering.aggregations import needs_seconds
from insights.metering.between import Between, Moved, Place
from insights.metering.between_sql import MOVED_BY_PLACE
from insights.metering.known_queries import rows_of

ZERO = Decimal(0)
# Records that came, records that went, and their quantities with their signs: added, and times seconds.
_Sums = tuple[int, int, Decimal, Decimal]
_NONE: _Sums = (0, 0, ZERO, ZERO)


def read_moved(between: Between) -> tuple[Moved, ...]:
    """What came and went in each place, in their order."""
    found: dict[int, _Sums] = {}
    if any(place.series for place in between.places):
        found = {row[0]: tuple(row[1:]) for row in rows_of(MOVED_BY_PLACE, between.parameters())}
    return tuple(_moved(between.places, found))


def _moved(places: tuple[Place, ...], found: Mapping[int, _Sums]) -> Iterator[Moved]:
    for number, place in enumerate(places):
        came, went, quantity, weighted = found.get(number, _NONE)
        if place.aggregation == "count":
            yield Moved(came, went, Decimal(came - went))
        else:
            yield Moved(came, went, weighted if needs_seconds(place.aggregation) else quantity)
