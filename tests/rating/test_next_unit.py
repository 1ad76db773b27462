"""The price of the next unit is the difference that the engine makes, and an edge is exactly where it says it is."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insights.billing.next_unit_words import next_price_words
from insights.rating.charges import Graduated, Package, Packages, PerUnit, Stairstep, Tier, Volume
from insights.rating.next_unit import EdgeKind, next_unit, one_more
from insights.rating.rate import WHOLE_PERIOD, Segment, Usage, had_after, rate_line
from insights.rating.terms import Bound, Conversion, PriceTerms
from insights.values.exact import add_exact
from insights.values.step import StepKind
from tests.rating.strategies import decimals, prices, segments, tier_lists, usages

TIERS = (
    Tier(above=Decimal(0), up_to=Decimal(100), unit_amount=Decimal(1)),
    Tier(above=Decimal(100), up_to=None, unit_amount=Decimal("0.8"), flat_amount=Decimal(3)),
)


def edged_prices() -> st.SearchStrategy[PriceTerms]:
    """Prices whose next unit may cost another amount some units on."""
    packages = st.builds(
        Package, amount=decimals(1, 9, 2), size=decimals(1, 50, 1), counting=st.just(Packages.WHOLE)
    )
    return st.one_of(
        prices(st.builds(Graduated, tiers=tier_lists())),
        prices(st.builds(Volume, tiers=tier_lists())),
        prices(st.builds(Stairstep, tiers=tier_lists(with_units=False))),
        prices(packages),
    )


def exact(terms: PriceTerms, usage: Usage, segment: Segment) -> Fraction:
    return rate_line(terms, usage, segment=segment).exact_amount


def quantity(number: str | int | Decimal) -> Usage:
    return Usage(Decimal(number))


class TestPrice:
    @given(prices(), usages, segments)
    def test_it_is_the_amount_with_one_more_unit_less_the_amount_without_it(
        self, terms: PriceTerms, usage: Usage, segment: Segment
    ) -> None:
        found = next_unit(terms, usage, segment=segment)

        with_it = one_more(terms, usage)
        assert found.amount == exact(terms, with_it, segment) - exact(terms, usage, segment)
        piece = rate_line(terms, with_it - usage, already_rated=usage, segment=segment)
        assert found.amount == add_exact(step.amount for step in piece.steps)

    @given(prices(), usages, usages, segments)
    def test_what_an_older_version_counted_is_in_the_tiers_already(
        self, terms: PriceTerms, before: Usage, usage: Usage, segment: Segment
    ) -> None:
        assert next_unit(terms, usage, segment=segment, before=before) == next_unit(
            terms, before + usage, segment=segment
        )

    def test_one_unit_is_one_of_the_prices_own(self) -> None:
        gigabytes = Conversion(unit="GB", units_per=Decimal(10**9))
        terms = PriceTerms(
            currency="EUR", charge=PerUnit(unit_amount=Decimal("0.09")), unit="B", conversion=gigabytes
        )

        assert next_unit(terms, quantity(123)).amount == Fraction("0.09")

    def test_a_minimum_that_is_not_reached_makes_it_free_and_is_named(self) -> None:
        terms = PriceTerms(
            currency="EUR", charge=PerUnit(unit_amount=Decimal(1)), minimum=Bound(amount=Decimal(10))
        )

        assert (next_unit(terms, quantity(3)).amount, next_unit(terms, quantity(3)).held_by) == (
            0,
            StepKind.MINIMUM,
        )
        assert (next_unit(terms, quantity(10)).amount, next_unit(terms, quantity(10)).held_by) == (1, None)

    def test_a_minimum_that_is_reached_in_a_later_segment_holds_nothing_any_more(self) -> None:
        """What the segment before had of it is taken back there, and that is no bound that the line is at."""
        terms = PriceTerms(
            currency="EUR", charge=PerUnit(unit_amount=Decimal(1)), minimum=Bound(amount=Decimal(10))
        )
        later = Segment(had_before=had_after(terms, quantity(3), WHOLE_PERIOD))

        found = [next_unit(terms, quantity(used), segment=later) for used in (2, 9)]

        assert [(one.amount, one.held_by) for one in found] == [(0, StepKind.MINIMUM), (1, None)]

    @pytest.mark.parametrize(("bound", "more", "less"), [("minimum", 50, 20), ("maximum", 100, 60)])
    def test_what_was_charged_before_the_plan_changed_is_no_bound_of_this_plan(
        self, bound: str, more: int, less: int
    ) -> None:
        first, later = (
            PriceTerms(
                currency="EUR",
                charge=PerUnit(unit_amount=Decimal(1)),
                minimum=Bound(amount=Decimal(figure)) if bound == "minimum" else None,
                maximum=Bound(amount=Decimal(figure)) if bound == "maximum" else None,
            )
            for figure in (more, less)
        )
        used = quantity(10 if bound == "minimum" else 90)
        goes_on = Segment(had_before=had_after(first, used, WHOLE_PERIOD))

        found = next_unit(later, quantity(20), segment=goes_on)

        assert (found.amount, found.held_by, found.is_charged_before) == (0, StepKind(bound), True)
        assert next_price_words(later, found) == (
            "0.00 EUR for the next unit: what was charged before the plan changed pays for it"
        )
        assert not next_unit(first, quantity(20), segment=goes_on).is_charged_before


class TestEdge:
    @given(edged_prices(), usages, segments)
    def test_the_place_changes_at_the_edge_and_one_unit_before_it_does_not(
        self, terms: PriceTerms, usage: Usage, segment: Segment
    ) -> None:
        found = next_unit(terms, usage, segment=segment)
        edge = found.edge
        if edge is None:
            return
        least = one_more(terms, quantity(0)).quantity
        is_on_the_grid = Fraction(edge.metered) == edge.left * Fraction(least)

        there = Usage(usage.quantity + edge.metered, usage.count)
        if not is_on_the_grid:
            there = Usage(there.quantity + Decimal("0.000000001"), usage.count)
        at_edge = next_unit(terms, there, segment=segment)
        assert self.where(at_edge) != self.where(found)
        if edge.kind is EdgeKind.TIER:
            assert at_edge.place == edge.tier
        if edge.left >= 1:
            last = next_unit(terms, Usage(there.quantity - least, usage.count), segment=segment)
            assert self.where(last) == self.where(found)

    @staticmethod
    def where(found: object) -> tuple[object, bool]:
        return found.place, bool(found.included_left)  # type: ignore[attr-defined]

    @given(edged_prices(), usages, segments)
    def test_its_amount_is_that_of_the_unit_behind_it(
        self, terms: PriceTerms, usage: Usage, segment: Segment
    ) -> None:
        found = next_unit(terms, usage, segment=segment)
        if found.edge is None:
            return

        there = Usage(usage.quantity + found.edge.metered, usage.count)
        assert found.edge.amount == next_unit(terms, there, segment=segment).amount

    @pytest.mark.parametrize(
        ("used", "amount", "left", "behind"),
        [("0", 1, 100, "3.8"), ("98", 1, 2, "3.8"), ("99", 1, 1, "3.8"), ("100", "3.8", None, None)],
    )
    def test_graduated_tiers_are_counted_down(
        self, used: str, amount: object, left: int | None, behind: str | None
    ) -> None:
        found = next_unit(PriceTerms(currency="EUR", charge=Graduated(tiers=TIERS)), quantity(used))

        assert found.amount == Fraction(str(amount))
        assert (found.edge and found.edge.left) == left
        assert (found.edge and found.edge.amount) == (behind and Fraction(behind))

    def test_by_volume_all_units_are_priced_anew_behind_the_edge(self) -> None:
        found = next_unit(PriceTerms(currency="EUR", charge=Volume(tiers=TIERS)), quantity(60))

        assert found.edge is not None
        assert (found.amount, found.edge.left, found.edge.reprices) == (1, 40, 100)
        # 101 units at 0.80 and 3.00 once, less 100 units at 1.00.
        assert found.edge.amount == Fraction("-16.2")

    def test_included_usage_comes_before_any_tier(self) -> None:
        terms = PriceTerms(currency="EUR", charge=Graduated(tiers=TIERS), included=Decimal(30))

        before, behind = next_unit(terms, quantity("29.5")), next_unit(terms, quantity(30))

        assert before.edge is not None
        assert (before.edge.kind, before.edge.left, before.included_left) == (
            EdgeKind.INCLUDED, Fraction("0.5"), Fraction("0.5"),
        )  # fmt: skip
        assert behind.edge is not None
        assert (behind.edge.kind, behind.edge.left, behind.included_left) == (EdgeKind.TIER, 100, 0)

    def test_a_begun_package_has_free_units_left(self) -> None:
        charge = Package(amount=Decimal(5), size=Decimal(10), counting=Packages.WHOLE)
        found = next_unit(PriceTerms(currency="EUR", charge=charge), quantity(13))

        assert found.edge is not None
        assert (found.amount, found.edge.kind, found.edge.left, found.edge.amount) == (
            0, EdgeKind.PACKAGE, 7, 5,
        )  # fmt: skip

    def test_a_plan_change_leaves_a_part_of_the_tiers(self) -> None:
        half = replace(WHOLE_PERIOD, counted_before=Usage(Decimal(70)))

        found = next_unit(
            PriceTerms(currency="EUR", charge=Graduated(tiers=TIERS)), quantity(10), segment=half
        )

        assert found.edge is not None
        assert found.edge.left == 20
