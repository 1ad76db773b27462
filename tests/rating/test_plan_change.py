"""Plan changes inside a period: what is metered is billed once, whatever the plans and the policies."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import reduce
from operator import add

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from insights.rating.charges import Flat, Graduated, PerUnit, Tier, Volume
from insights.rating.plan_change import ChangePolicy, InvalidSegments, PlanSegment, rate_segments
from insights.rating.rate import Usage, converted, rate_line
from insights.rating.terms import Bound, Discount, PriceTerms
from insights.values.money import Money
from insights.values.period import Period
from insights.values.step import StepKind
from tests.rating import strategies
from tests.rating.proof import proved_amount

JUNE = Period(datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC))
TEN_THEN_HALF = Graduated(
    tiers=(
        Tier(above=Decimal(0), up_to=Decimal(10), unit_amount=Decimal(1)),
        Tier(above=Decimal(10), up_to=None, unit_amount=Decimal("0.5")),
    )
)
A = PriceTerms(currency="USD", charge=TEN_THEN_HALF, included=Decimal(6))

# Of June's 2,592,000 seconds each may use one unit for nothing and ten more at the first price.
BY_THE_SECOND = PriceTerms(
    currency="USD",
    charge=Graduated(
        tiers=(
            Tier(above=Decimal(0), up_to=Decimal(25_920_000), unit_amount=Decimal(1)),
            Tier(above=Decimal(25_920_000), up_to=None, unit_amount=Decimal("0.5"), flat_amount=Decimal(7)),
        )
    ),
    included=Decimal(2_592_000),
)


def usage(quantity: int) -> Usage:
    return Usage(Decimal(quantity))


def june(day: int) -> datetime:
    return datetime(2026, 6, 1, tzinfo=UTC) + timedelta(days=day - 1)


def segment(first: int, end: int, quantity: int, policy: ChangePolicy, terms: PriceTerms = A) -> PlanSegment:
    return PlanSegment(
        service=Period(june(first), june(end)), terms=terms, usage=usage(quantity), opened_by=policy
    )


@st.composite
def changes(draw: st.DrawFn, terms: st.SearchStrategy[PriceTerms]) -> list[PlanSegment]:
    """Up to six segments of June, each with a plan, a policy and usage."""
    seconds = draw(st.lists(st.integers(1, 2_591_999), max_size=5, unique=True))
    parts = strategies.parts_of(JUNE, seconds)
    return [
        PlanSegment(
            service=part,
            terms=draw(terms),
            usage=draw(strategies.usages),
            opened_by=draw(st.sampled_from(ChangePolicy)),
        )
        for part in parts
    ]


@st.composite
def changes_that_continue(draw: st.DrawFn) -> list[PlanSegment]:
    """June on one plan, cut by changes that continue it. Not by volume, which charges new units alone at their tier."""
    terms = draw(strategies.prices())
    assume(not isinstance(terms.charge, Volume) and not terms.is_prorated)
    parts = strategies.parts_of(JUNE, draw(st.lists(st.integers(1, 2_591_999), max_size=4, unique=True)))
    return [
        PlanSegment(service=part, terms=terms, usage=draw(strategies.usages), opened_by=ChangePolicy.CONTINUE)
        for part in parts
    ]


@st.composite
def changes_to_other_bounds(draw: st.DrawFn) -> list[PlanSegment]:
    """June on plans that continue each other, each with bounds of its own; only percents are taken off."""
    seconds = draw(st.lists(st.integers(1, 2_591_999), max_size=4, unique=True))
    found = []
    for part in strategies.parts_of(JUNE, seconds):
        is_prorated = draw(st.booleans())
        figures = sorted(draw(st.lists(st.integers(0, 100), min_size=2, max_size=2)))
        least, most = (Bound(amount=Decimal(figure), is_prorated=is_prorated) for figure in figures)
        terms = PriceTerms(
            currency="USD",
            charge=draw(st.sampled_from([PerUnit(unit_amount=Decimal(1)), TEN_THEN_HALF])),
            discounts=draw(st.sampled_from([(), (Discount(percent=Decimal(10)),)])),
            minimum=draw(st.sampled_from([None, least])),
            maximum=draw(st.sampled_from([None, most])),
        )
        quantity = usage(draw(st.integers(0, 120)))
        found.append(PlanSegment(service=part, terms=terms, usage=quantity, opened_by=ChangePolicy.CONTINUE))
    return found


class TestConservation:
    @settings(deadline=None)
    @given(changes(strategies.prices()))
    def test_all_that_was_metered_is_billed_included_or_exempt_once(
        self, segments: list[PlanSegment]
    ) -> None:
        lines = rate_segments(JUNE, segments)

        assert len(lines) == len(segments)
        for line, each in zip(lines, segments, strict=True):
            assert sum((step.quantity for step in line.steps), Fraction(0)) == converted(
                each.terms, each.usage
            )
        assert sum(line.metered_quantity for line in lines) == sum(each.usage.quantity for each in segments)

    @settings(deadline=None)
    @given(st.lists(st.integers(0, 40), min_size=1, max_size=6))
    def test_a_change_to_the_same_plan_that_continues_changes_nothing(self, quantities: list[int]) -> None:
        segments = [
            segment(number + 1, number + 2, quantity, ChangePolicy.CONTINUE)
            for number, quantity in enumerate(quantities)
        ]

        lines = rate_segments(JUNE, segments)

        whole = rate_line(A, usage(sum(quantities)))
        assert sum((line.exact_amount for line in lines), Fraction(0)) == whole.exact_amount
        assert sum((line.billed_quantity for line in lines), Fraction(0)) == whole.billed_quantity

    @settings(deadline=None)
    @given(changes_that_continue())
    def test_continuing_the_same_plan_is_one_line_in_pieces(self, segments: list[PlanSegment]) -> None:
        """Flat amounts, included usage, fixed discounts and bounds are had once, whatever the plan charges by."""
        lines = rate_segments(JUNE, segments)

        total = reduce(add, (each.usage for each in segments))
        whole = rate_line(segments[0].terms, total)
        assert sum((line.exact_amount for line in lines), Fraction(0)) == whole.exact_amount
        assert sum((line.billed_quantity for line in lines), Fraction(0)) == whole.billed_quantity
        assert [proved_amount(step) for line in lines for step in line.steps] == [
            step.amount for line in lines for step in line.steps
        ]

    @settings(deadline=None)
    @given(st.lists(st.integers(1, 2_591_999), max_size=5), st.integers(0, 100))
    def test_a_change_to_the_same_plan_that_shares_changes_nothing_at_the_same_pace(
        self, seconds: list[int], quantity: int
    ) -> None:
        parts = strategies.parts_of(JUNE, seconds)
        segments = [
            PlanSegment(
                service=part,
                terms=BY_THE_SECOND,
                usage=usage(quantity * (part.duration // timedelta(seconds=1))),
                opened_by=ChangePolicy.SHARED_BY_TIME,
            )
            for part in parts
        ]

        lines = rate_segments(JUNE, segments)

        whole = rate_line(BY_THE_SECOND, usage(quantity * 2_592_000))
        assert sum((line.exact_amount for line in lines), Fraction(0)) == whole.exact_amount


class TestPolicies:
    def test_restart_gives_everything_again(self) -> None:
        first, second = rate_segments(
            JUNE, [segment(1, 16, 8, ChangePolicy.RESTART), segment(16, 31, 8, ChangePolicy.RESTART)]
        )

        assert (first.amount, second.amount) == (Money(200, "USD"), Money(200, "USD"))

    def test_continue_gives_it_once(self) -> None:
        first, second = rate_segments(
            JUNE, [segment(1, 16, 8, ChangePolicy.RESTART), segment(16, 31, 8, ChangePolicy.CONTINUE)]
        )

        assert (first.amount, second.amount) == (Money(200, "USD"), Money(800, "USD"))

    def test_a_discount_by_an_amount_is_had_once_where_a_percent_goes_or_comes(self) -> None:
        """Of what a plan takes off by an amount the first is the first, whatever percents stand before it."""
        fixed, percent = Discount(amount=Decimal(5)), Discount(percent=Decimal(10))
        one = PriceTerms(currency="USD", charge=PerUnit(unit_amount=Decimal(1)), discounts=(percent, fixed))

        found = [
            [
                line.amount.minor
                for line in rate_segments(
                    JUNE,
                    [
                        segment(1, 16, 20, ChangePolicy.RESTART, terms),
                        segment(16, 31, 20, ChangePolicy.CONTINUE, later),
                    ],
                )
            ]
            for terms, later in (
                (one, replace(one, discounts=(fixed,))),
                (replace(one, discounts=(fixed,)), one),
            )
        ]

        assert found == [[1_300, 2_000], [1_500, 1_800]]

    def test_a_lower_maximum_takes_nothing_back_of_what_was_charged(self) -> None:
        """Further usage costs nothing until what was charged is less than the new maximum again, which it never is."""
        terms = [
            PriceTerms(
                currency="USD", charge=PerUnit(unit_amount=Decimal(1)), maximum=Bound(amount=Decimal(most))
            )
            for most in (100, 60, 110)
        ]

        lines = rate_segments(
            JUNE,
            [
                segment(1, 11, 90, ChangePolicy.RESTART, terms[0]),
                segment(11, 21, 30, ChangePolicy.CONTINUE, terms[1]),
                segment(21, 31, 5, ChangePolicy.CONTINUE, terms[2]),
            ],
        )

        # 90 + 30 + 5 = 125, of which the last maximum leaves 110.
        assert [line.amount.minor for line in lines] == [9_000, 0, 2_000]
        [_, lowered] = lines[1].steps
        assert (lowered.base, lowered.unit_amount, lowered.amount) == (120, 90, -30)
        assert lowered.note

    def test_a_cut_on_the_lower_maximum_changes_nothing_where_a_discount_takes_it_down_in_between(
        self,
    ) -> None:
        first, later = (
            PriceTerms(
                currency="USD",
                charge=PerUnit(unit_amount=Decimal(1)),
                discounts=(Discount(amount=Decimal(off)),),
                maximum=Bound(amount=Decimal(most)),
            )
            for off, most in ((10, 100), (50, 60))
        )
        before = segment(1, 11, 100, ChangePolicy.RESTART, first)

        found = [
            [line.amount.minor for line in rate_segments(JUNE, [before, *rest])]
            for rest in (
                [segment(11, 31, 65, ChangePolicy.CONTINUE, later)],
                [
                    segment(11, 21, 5, ChangePolicy.CONTINUE, later),
                    segment(21, 31, 60, ChangePolicy.CONTINUE, later),
                ],
            )
        ]

        # 165 less 50, of which no more than the 90 that were charged; 55 in between, by the discount alone.
        assert found == [[9_000, 0], [9_000, -3_500, 3_500]]

    def test_a_lower_minimum_takes_nothing_back_of_what_was_charged(self) -> None:
        first, later = (
            PriceTerms(
                currency="USD", charge=PerUnit(unit_amount=Decimal(1)), minimum=Bound(amount=Decimal(least))
            )
            for least in (50, 20)
        )

        lines = rate_segments(
            JUNE,
            [
                segment(1, 11, 10, ChangePolicy.RESTART, first),
                segment(11, 21, 30, ChangePolicy.CONTINUE, later),
                segment(21, 31, 15, ChangePolicy.CONTINUE, later),
            ],
        )

        # 10 was lifted to 50, for which 40 more are used before anything is due.
        assert [line.amount.minor for line in lines] == [5_000, 0, 500]

    @settings(deadline=None)
    @given(changes_to_other_bounds())
    def test_no_line_is_below_zero_by_a_bound(self, segments: list[PlanSegment]) -> None:
        lines = rate_segments(JUNE, segments)

        assert all(line.exact_amount >= 0 for line in lines)
        assert [proved_amount(step) for line in lines for step in line.steps] == [
            step.amount for line in lines for step in line.steps
        ]

    def test_sharing_shrinks_both_sides(self) -> None:
        first, second = rate_segments(
            JUNE, [segment(1, 16, 9, ChangePolicy.RESTART), segment(16, 31, 9, ChangePolicy.SHARED_BY_TIME)]
        )

        # 3 included, 5 at 1 and 1 at 0.50 on each side.
        assert (first.amount, second.amount) == (Money(550, "USD"), Money(550, "USD"))

    def test_only_the_sides_of_a_shared_change_shrink(self) -> None:
        lines = rate_segments(
            JUNE,
            [
                segment(1, 11, 6, ChangePolicy.RESTART),
                segment(11, 21, 6, ChangePolicy.SHARED_BY_TIME),
                segment(21, 31, 6, ChangePolicy.RESTART),
            ],
        )

        included = [
            next(step.quantity for step in line.steps if step.kind is StepKind.INCLUDED) for line in lines
        ]
        assert included == [2, 2, 6]

    def test_what_continues_shares_as_one(self) -> None:
        lines = rate_segments(
            JUNE,
            [
                segment(1, 6, 1, ChangePolicy.RESTART),
                segment(6, 11, 3, ChangePolicy.CONTINUE),
                segment(11, 31, 6, ChangePolicy.SHARED_BY_TIME),
            ],
        )

        # The first ten days have 6/3 = 2 included units together, the other twenty have 4.
        assert [line.billed_quantity for line in lines] == [0, 2, 2]

    def test_a_first_segment_may_share_when_the_subscription_began_late(self) -> None:
        (late,) = rate_segments(JUNE, [segment(16, 31, 6, ChangePolicy.SHARED_BY_TIME)])
        (whole,) = rate_segments(JUNE, [segment(16, 31, 6, ChangePolicy.RESTART)])

        assert (late.billed_quantity, whole.billed_quantity) == (3, 0)

    @pytest.mark.parametrize("policy", ChangePolicy)
    def test_a_base_fee_is_charged_by_time_whatever_the_policy(self, policy: ChangePolicy) -> None:
        fee = PriceTerms(currency="USD", charge=Flat(amount=Decimal(20)), is_prorated=True)

        lines = rate_segments(JUNE, [segment(1, 16, 1, policy, fee), segment(16, 31, 1, policy, fee)])

        assert [line.amount for line in lines] == [Money(1000, "USD"), Money(1000, "USD")]

    def test_a_to_b_to_a_counts_nothing_twice(self) -> None:
        b = PriceTerms(currency="USD", charge=PerUnit(unit_amount=Decimal(2)))

        lines = rate_segments(
            JUNE,
            [
                segment(1, 11, 8, ChangePolicy.RESTART),
                segment(11, 21, 5, ChangePolicy.CONTINUE, b),
                segment(21, 31, 4, ChangePolicy.CONTINUE),
            ],
        )

        # A: 6 of 8 included. B: 5 at 2. A again: units 13 to 17, billed from 7 to 11: 3 at 1, 1 at 0.50.
        assert [line.exact_amount for line in lines] == [2, 10, Fraction("3.5")]
        assert sum(line.metered_quantity for line in lines) == 17


class TestSegments:
    @pytest.mark.parametrize(
        ("segments", "told"),
        [
            ([(1, 10), (11, 31)], "does not begin where"),
            ([(1, 12), (11, 31)], "does not begin where"),
            ([(16, 31), (1, 16)], "does not begin where"),
            ([(1, 32)], "not inside the billing period"),
            ([(0, 5)], "not inside the billing period"),
        ],
    )
    def test_segments_follow_each_other_inside_the_period(
        self, segments: list[tuple[int, int]], told: str
    ) -> None:
        with pytest.raises(InvalidSegments, match=told):
            rate_segments(JUNE, [segment(*each, 1, ChangePolicy.RESTART) for each in segments])

    def test_no_segments_have_no_lines(self) -> None:
        assert rate_segments(JUNE, []) == ()
