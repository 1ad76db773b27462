"""Which records are told between two ledger positions, and what they come to. Plain Python."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from insights.values.period import Period


@dataclass(frozen=True, slots=True)
class Place:
    """Some series of one meter, by their ids, in one stretch of time, whose records are told together."""

    aggregation: str
    service: Period
    series: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Between:
    """Which records: of these places, as they differ from one position of the account to a later one."""

    account_id: int
    position: int
    until: int
    places: tuple[Place, ...]

    def parameters(self) -> dict[str, Any]:
        """The parameters of `between_sql.MOVED`: places by their numbers, each of its series a row."""
        rows = [
            (series_id, place.service, number)
            for number, place in enumerate(self.places)
            for series_id in place.series
        ]
        return {
            "account": self.account_id,
            "position": self.position,
            "until": self.until,
            "series": [series_id for series_id, _, _ in rows],
            "starts": [service.start for _, service, _ in rows],
            "stops": [service.end for _, service, _ in rows],
            "places": [number for _, _, number in rows],
            "first": min((place.service.start for place in self.places), default=None),
            "end": max((place.service.end for place in self.places), default=None),
        }


@dataclass(frozen=True, slots=True)
class Moved:
    """Records that came and that went, and by how much they move the sum of a meter that adds up.

    `raw` is in the sum's own unit: quantity times seconds for what is held over time.
    """

    came: int = 0
    went: int = 0
    raw: Decimal = Decimal(0)

    def __add__(self, other: Moved) -> Moved:
        return Moved(self.came + other.came, self.went + other.went, self.raw + other.raw)


NOTHING_MOVED = Moved()
