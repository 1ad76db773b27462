"""Segments tile the subscribed part of every period, whatever changes there were."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insights.billing.timeline import (
    AddOnFacts,
    InvalidTimeline,
    PhaseFacts,
    SubscriptionFacts,
    add_on_segments_in,
    segments_in,
    subscribed_part,
)
from insights.rating.plan_change import ChangePolicy
from insights.values.period import Period

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def at(hours: int) -> datetime:
    return BEGIN + timedelta(hours=hours)


MARCH = Period(at(1000), at(1744))
OURS = SubscriptionFacts(id=1, account_id=7, starts_at=BEGIN)
FIRST = PhaseFacts(starts_at=BEGIN, plan_id=1)


@st.composite
def histories(draw: st.DrawFn) -> tuple[SubscriptionFacts, list[PhaseFacts]]:
    """A subscription with any sequence of changes, some after its end."""
    begins = draw(st.integers(0, 1500))
    ends = draw(st.none() | st.integers(begins + 1, 4000))
    others = draw(st.sets(st.integers(begins + 1, 4000), max_size=8))
    phases = [
        PhaseFacts(
            starts_at=at(hours),
            plan_id=draw(st.integers(1, 3)),
            policy=draw(st.sampled_from(ChangePolicy)),
            counts={"seats": Decimal(draw(st.integers(0, 5)))},
        )
        for hours in [begins, *others]
    ]
    subscription = SubscriptionFacts(
        id=1, account_id=7, starts_at=at(begins), ends_at=None if ends is None else at(ends)
    )
    return subscription, draw(st.permutations(phases))


@st.composite
def periods(draw: st.DrawFn) -> Period:
    start = draw(st.integers(0, 4000))
    return Period(at(start), at(start + draw(st.integers(1, 1500))))


@given(histories(), periods())
def test_segments_tile_the_subscribed_part(
    history: tuple[SubscriptionFacts, list[PhaseFacts]], period: Period
) -> None:
    subscription, phases = history
    segments = segments_in(period, subscription, phases)
    part = subscribed_part(period, subscription)

    if part is None:
        assert segments == ()
        return
    assert (segments[0].start, segments[-1].end) == (part.start, part.end)
    assert [each.end for each in segments[:-1]] == [each.start for each in segments[1:]]
    assert all(each.start < each.end for each in segments)
    for segment in segments:
        begun = [phase for phase in phases if phase.starts_at <= segment.start]
        phase = max(begun, key=lambda one: one.starts_at)
        assert (segment.plan_id, segment.counts) == (phase.plan_id, phase.counts)
        assert period.start <= segment.priced_at <= segment.start


@given(histories(), periods(), st.integers(0, 6000))
def test_a_period_cut_in_two_has_the_same_plans(
    history: tuple[SubscriptionFacts, list[PhaseFacts]], period: Period, hours: int
) -> None:
    """What is in force at an instant does not depend on the period it is looked at in."""
    if not period.start < at(hours) < period.end:
        return
    whole = segments_in(period, *history)
    pieces = (
        *segments_in(Period(period.start, at(hours)), *history),
        *segments_in(Period(at(hours), period.end), *history),
    )

    def seconds_by_plan(segments: tuple) -> dict[int, timedelta]:
        found: dict[int, timedelta] = {}
        for each in segments:
            found[each.plan_id] = found.get(each.plan_id, timedelta()) + (each.end - each.start)
        return found

    assert seconds_by_plan(whole) == seconds_by_plan(pieces)


def test_a_change_inside_the_period_keeps_its_policy_and_an_older_one_does_not() -> None:
    phases = [
        FIRST,
        PhaseFacts(starts_at=at(500), plan_id=2, policy=ChangePolicy.SHARED_BY_TIME),
        PhaseFacts(starts_at=at(1200), plan_id=3, policy=ChangePolicy.CONTINUE),
    ]

    first, second = segments_in(MARCH, OURS, phases)

    assert (first.plan_id, first.policy) == (2, ChangePolicy.RESTART)
    assert (second.plan_id, second.policy) == (3, ChangePolicy.CONTINUE)


def test_a_change_at_the_start_of_the_period_cuts_nothing() -> None:
    phases = [FIRST, PhaseFacts(starts_at=MARCH.start, plan_id=2, policy=ChangePolicy.CONTINUE)]

    (only,) = segments_in(MARCH, OURS, phases)

    assert (only.plan_id, only.policy, only.service) == (2, ChangePolicy.RESTART, MARCH)


def test_a_subscription_that_begins_in_the_period_keeps_the_policy_it_began_with() -> None:
    ours = SubscriptionFacts(id=1, account_id=7, starts_at=at(1200), ends_at=at(1300))
    phases = [PhaseFacts(starts_at=at(1200), plan_id=1, policy=ChangePolicy.SHARED_BY_TIME)]

    (only,) = segments_in(MARCH, ours, phases)

    assert (only.start, only.end, only.policy) == (at(1200), at(1300), ChangePolicy.SHARED_BY_TIME)
    assert only.priced_at == at(1200)


def test_new_counts_on_the_same_plan_bring_no_new_prices() -> None:
    seats = PhaseFacts(starts_at=at(1200), plan_id=1, counts={"seats": Decimal(3)})

    segments = segments_in(MARCH, OURS, [FIRST, seats])

    assert [each.priced_at for each in segments] == [MARCH.start, MARCH.start]


def test_coming_back_to_a_plan_has_the_prices_of_that_day() -> None:
    phases = [
        FIRST,
        PhaseFacts(starts_at=at(1100), plan_id=2),
        PhaseFacts(starts_at=at(1200), plan_id=1),
    ]

    assert [each.priced_at for each in segments_in(MARCH, OURS, phases)] == [
        MARCH.start, at(1100), at(1200),
    ]  # fmt: skip


def test_add_ons_are_cut_at_the_ends_of_the_subscription() -> None:
    ours = SubscriptionFacts(id=1, account_id=7, starts_at=BEGIN, ends_at=at(1500))
    add_ons = [
        AddOnFacts(id=2, plan_id=9, starts_at=at(1100)),
        AddOnFacts(id=1, plan_id=9, starts_at=BEGIN, ends_at=at(1050)),
        AddOnFacts(id=3, plan_id=9, starts_at=at(1600)),
    ]

    segments = add_on_segments_in(MARCH, ours, add_ons)

    assert [(each.add_on_id, each.start, each.end) for each in segments] == [
        (1, at(1000), at(1050)),
        (2, at(1100), at(1500)),
    ]


@pytest.mark.parametrize(
    "phases",
    [
        [],
        [PhaseFacts(starts_at=at(1), plan_id=1)],
        [FIRST, PhaseFacts(starts_at=at(5), plan_id=1), PhaseFacts(starts_at=at(5), plan_id=2)],
    ],
)
def test_phases_that_leave_the_plan_open_are_refused(phases: list[PhaseFacts]) -> None:
    with pytest.raises(InvalidTimeline):
        segments_in(MARCH, OURS, phases)
