"""Which meters an account's plans price, and when: no meter's usage may be charged by two of them at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations

from insights.rating.sheet import PriceSheet


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterClaim:
    """A plan that an account has from `start` on, until `end` if there is one, and the meters it prices in between."""

    subscription_id: int
    subscription_name: str
    plan_name: str
    start: datetime
    end: datetime | None
    meter_keys: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clash:
    """Two claims on the same meters at the same time."""

    first: MeterClaim
    second: MeterClaim
    meter_keys: tuple[str, ...]

    def __str__(self) -> str:
        meters = ", ".join(self.meter_keys)
        places = " and ".join(
            f"{claim.plan_name} of the subscription {claim.subscription_name}"
            for claim in (self.first, self.second)
        )
        return f"{meters} would be charged twice at the same time: by {places}"


def meters_priced(sheets: Sequence[PriceSheet], start: datetime, end: datetime | None) -> frozenset[str]:
    """The meters that any version names which may be in force between the instants; sheets in order of beginning."""
    begun = [sheet for sheet in sheets if sheet.effective_from <= start]
    later = [
        sheet
        for sheet in sheets
        if sheet.effective_from > start and (end is None or sheet.effective_from < end)
    ]
    return frozenset(
        price.meter_key for sheet in (*begun[-1:], *later) for price in sheet.prices if price.meter_key
    )


def clashes(claims: Sequence[MeterClaim]) -> Iterator[Clash]:
    """Every pair of claims that overlap in time and share a meter."""
    for first, second in combinations(claims, 2):
        shared = first.meter_keys & second.meter_keys
        if shared and _overlap(first, second):
            yield Clash(first=first, second=second, meter_keys=tuple(sorted(shared)))


def _overlap(first: MeterClaim, second: MeterClaim) -> bool:
    return (first.end is None or second.start < first.end) and (
        second.end is None or first.start < second.end
    )
