"""A subscription's plans as they follow each other, and the segments they make of a billing period.

Refuses phases from which no plan follows for a part of the subscription.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import pairwise

from insights.rating.plan_change import ChangePolicy
from insights.values.period import Period


class InvalidTimeline(ValueError):
    """The phases do not say which plan the subscription is on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionFacts:
    """From when to when an account is subscribed; without `ends_at` it goes on."""

    id: int
    account_id: int
    starts_at: datetime
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseFacts:
    """From this instant the subscription is on this plan, with so many of each counted fee (by price key)."""

    starts_at: datetime
    plan_id: int
    policy: ChangePolicy = ChangePolicy.RESTART
    counts: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddOnFacts:
    """A plan that the subscription has besides, for a time."""

    id: int
    plan_id: int
    starts_at: datetime
    ends_at: datetime | None = None
    counts: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineSegment:
    """A stretch of a period on one plan with the same counts, half-open.

    `policy` is that of the change which began it, RESTART where the period began it. The version in force at
    `priced_at` has its prices: the period's start, or the instant at which the subscription came to the plan.
    """

    start: datetime
    end: datetime
    plan_id: int
    policy: ChangePolicy
    counts: Mapping[str, Decimal]
    priced_at: datetime
    add_on_id: int | None = None

    @property
    def service(self) -> Period:
        """The stretch as a period."""
        return Period(self.start, self.end)


def subscribed_part(period: Period, subscription: SubscriptionFacts) -> Period | None:
    """The part of the period in which there is a subscription."""
    return _part(period, subscription.starts_at, subscription.ends_at)


def segments_in(
    period: Period, subscription: SubscriptionFacts, phases: Sequence[PhaseFacts]
) -> tuple[TimelineSegment, ...]:
    """The segments that tile the subscribed part of the period, in order; none outside the subscription.

    `phases` are those in force, in any order, without cancelled ones. Raises InvalidTimeline when two begin at one
    instant, or when none has begun where the subscription begins.
    """
    ordered = _in_order(subscription, phases)
    part = subscribed_part(period, subscription)
    if part is None:
        return ()
    segments = []
    for number, phase in enumerate(ordered):
        following = ordered[number + 1].starts_at if number + 1 < len(ordered) else None
        stretch = _part(part, phase.starts_at, following)
        if stretch is None:
            continue
        began_here = phase.starts_at > period.start
        segments.append(
            TimelineSegment(
                start=stretch.start,
                end=stretch.end,
                plan_id=phase.plan_id,
                policy=phase.policy if began_here else ChangePolicy.RESTART,
                counts=phase.counts,
                priced_at=max(period.start, _came_to_plan_at(ordered, number)),
            )
        )
    return tuple(segments)


def add_on_segments_in(
    period: Period, subscription: SubscriptionFacts, add_ons: Sequence[AddOnFacts]
) -> tuple[TimelineSegment, ...]:
    """The stretch of each add-on in the period, cut at the subscription's ends; by start and id."""
    segments = []
    for add_on in sorted(add_ons, key=lambda each: (each.starts_at, each.id)):
        part = subscribed_part(period, subscription)
        stretch = part and _part(part, add_on.starts_at, add_on.ends_at)
        if stretch:
            segments.append(
                TimelineSegment(
                    start=stretch.start,
                    end=stretch.end,
                    plan_id=add_on.plan_id,
                    policy=ChangePolicy.RESTART,
                    counts=add_on.counts,
                    priced_at=max(period.start, add_on.starts_at),
                    add_on_id=add_on.id,
                )
            )
    return tuple(segments)


def is_first(
    segment: TimelineSegment, since: datetime, phases: Iterable[PhaseFacts], add_ons: Iterable[AddOnFacts]
) -> bool:
    """Whether it begins where the plan or add-on does, or the subscription if that was later."""
    if segment.add_on_id is not None:
        begun = [one.starts_at for one in add_ons if one.id == segment.add_on_id]
    else:
        begun = [phase.starts_at for phase in phases if phase.plan_id == segment.plan_id]
    return segment.start == max(min(begun), since)


def _in_order(subscription: SubscriptionFacts, phases: Sequence[PhaseFacts]) -> tuple[PhaseFacts, ...]:
    ordered = tuple(sorted(phases, key=lambda phase: phase.starts_at))
    for phase, following in pairwise(ordered):
        if phase.starts_at == following.starts_at:
            raise InvalidTimeline(f"two plans begin at {phase.starts_at.isoformat()}")
    if not ordered or ordered[0].starts_at > subscription.starts_at:
        raise InvalidTimeline("the subscription begins without a plan")
    return ordered


def _came_to_plan_at(ordered: Sequence[PhaseFacts], number: int) -> datetime:
    # Phases of one plan in a row differ in their counts only, which is no coming to the plan.
    while number and ordered[number - 1].plan_id == ordered[number].plan_id:
        number -= 1
    return ordered[number].starts_at


def _part(period: Period, start: datetime, end: datetime | None) -> Period | None:
    first, last = max(period.start, start), period.end if end is None else min(period.end, end)
    return Period(first, last) if first < last else None
