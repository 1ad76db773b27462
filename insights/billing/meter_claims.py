"""Which meters an account's plans price, and when: no usage may be charged by two of them, or by none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations

from insights.billing.basis import ServiceSegment
from insights.rating.sheet import PriceSheet
from insights.values.period import Period


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


@dataclass(frozen=True, slots=True)
class PricedTime:
    """That a subscription has a price for these meters from `start` on, until `end` if there is one."""

    subscription_id: int
    start: datetime
    end: datetime | None
    meter_keys: frozenset[str]

    def overlaps(self, period: Period) -> bool:
        """Whether it is so at some time in the period."""
        return self.start < period.end and (self.end is None or self.end > period.start)


def priced_by_others(
    times: Iterable[PricedTime], subscription_id: int, segments: Iterable[ServiceSegment]
) -> dict[str, tuple[Period, ...]]:
    """The meters that an account's other subscriptions price while this one is on the plans of the segments.

    Each with the times at which neither they nor the plans have a price for it: usage then is charged by nobody.
    """
    others = [time for time in times if time.subscription_id != subscription_id]
    if not others:
        return {}
    plans = [segment for segment in segments if segment.add_on_id is None]
    found: dict[str, list[Period]] = {}
    for plan in plans:
        for time in others:
            if time.overlaps(plan.service):
                found |= {key: [] for key in time.meter_keys - found.keys()}
    for key, gaps in found.items():
        priced = [time for time in others if key in time.meter_keys]
        for plan in plans:
            if key not in plan.sheet.by_meter:
                gaps += _not_covered(plan.service, priced)
    return {key: tuple(gaps) for key, gaps in found.items()}


def _not_covered(service: Period, priced: Iterable[PricedTime]) -> Iterator[Period]:
    """The stretches of the service in which none of the others holds, in order."""
    at = service.start
    for time in sorted(priced, key=lambda time: time.start):
        if time.overlaps(service):
            if time.start > at:
                yield Period(at, time.start)
            at = max(at, service.end if time.end is None else min(time.end, service.end))
    if at < service.end:
        yield Period(at, service.end)
