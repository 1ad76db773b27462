"""Each charge model against another way of calculating the same, and what a piece of a period costs in its tiers."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights.rating.charge_models import Units, bounds_of, charge_steps, tier_number
from insights.rating.charges import (
    Flat,
    Graduated,
    GraduatedPercentage,
    Package,
    Packages,
    Percentage,
    PerUnit,
    Stairstep,
    Tier,
    Volume,
)
from insights.values.share import WHOLE, Share
from insights.values.step import StepKind
from tests.rating import strategies

exact_quantities = strategies.decimals(0, 400, 3).map(Fraction)
TIERS = (
    Tier(above=Decimal(0), up_to=Decimal(10), unit_amount=Decimal(1), flat_amount=Decimal(5)),
    Tier(above=Decimal(10), up_to=Decimal(100), unit_amount=Decimal("0.5"), flat_amount=Decimal(3)),
    Tier(above=Decimal(100), up_to=None, unit_amount=Decimal("0.1")),
)


def cost(charge: object, billed: Fraction, **more: object) -> Fraction:
    units = Units(billed=billed, **more)  # type: ignore[arg-type]
    return sum((step.amount for step in charge_steps(charge, units)), Fraction(0))  # type: ignore[arg-type]


def cost_from_the_top(charge: Graduated, quantity: Fraction) -> Fraction:
    """All of it at the first tier's price, then at each bound the change of price for what is above the bound."""
    first = charge.tiers[0]
    total = quantity * Fraction(first.unit_amount)
    for tier, following in pairwise(charge.tiers):
        above = max(Fraction(0), quantity - Fraction(following.above))
        total += above * (Fraction(following.unit_amount) - Fraction(tier.unit_amount))
    entered = [tier for tier in charge.tiers if quantity > tier.above]
    if not entered and charge.flat_at_zero:
        entered = [first]
    return total + sum((Fraction(tier.flat_amount) for tier in entered), Fraction(0))


class TestGraduated:
    @settings(deadline=None)
    @given(strategies.graduated_charges(), exact_quantities)
    def test_two_formulas_agree(self, charge: Graduated, quantity: Fraction) -> None:
        assert cost(charge, quantity) == cost_from_the_top(charge, quantity)

    @settings(deadline=None)
    @given(strategies.graduated_charges(), exact_quantities, exact_quantities)
    def test_more_never_costs_less(self, charge: Graduated, quantity: Fraction, more: Fraction) -> None:
        assert cost(charge, quantity + more) >= cost(charge, quantity)

    @settings(deadline=None)
    @given(strategies.graduated_charges(), exact_quantities)
    def test_every_fraction_of_a_unit_is_in_one_tier(self, charge: Graduated, quantity: Fraction) -> None:
        steps = [step for step in charge_steps(charge, Units(billed=quantity)) if step.kind is StepKind.TIER]

        assert sum((step.quantity for step in steps), Fraction(0)) == quantity
        assert [step.tier for step in steps] == sorted({step.tier for step in steps if step.tier})
        for step in steps[:-1]:
            assert step.up_to is not None
            assert step.above is not None
            assert step.quantity == step.up_to - step.above

    @settings(deadline=None)
    @given(strategies.graduated_charges(), exact_quantities, exact_quantities)
    def test_going_on_costs_what_is_left_of_the_whole(
        self, charge: Graduated, before: Fraction, after: Fraction
    ) -> None:
        whole = cost(charge, before + after)

        assert cost(charge, before) + cost(charge, after, counted_before=before) == whole

    @settings(deadline=None)
    @given(strategies.graduated_charges(), exact_quantities, strategies.shares)
    def test_the_same_pace_costs_the_same_in_a_part_of_a_period(
        self, charge: Graduated, quantity: Fraction, share: Share
    ) -> None:
        part = cost(charge, quantity * share.fraction, tier_share=share)

        assert part == cost(charge, quantity) * share.fraction

    @pytest.mark.parametrize(
        ("quantity", "amount"),
        [
            ("0", "0"),
            ("0.000000001", "5.000000001"),
            ("10", "15"),
            ("10.5", "18.25"),
            ("100", "63"),
            ("110", "64"),
        ],
    )
    def test_edges(self, quantity: str, amount: str) -> None:
        assert cost(Graduated(tiers=TIERS), Fraction(quantity)) == Fraction(amount)

    @pytest.mark.parametrize(
        ("before", "quantity", "amount"),
        [
            (None, "0", "5"),
            (None, "1", "6"),
            ("0", "0", "0"),
            ("0", "1", "1"),
            ("10", "1", "3.5"),
            ("10.5", "1", "0.5"),
        ],
    )
    def test_a_flat_amount_is_due_once(self, before: str | None, quantity: str, amount: str) -> None:
        charge = Graduated(tiers=TIERS, flat_at_zero=True)
        counted = None if before is None else Fraction(before)

        assert cost(charge, Fraction(quantity), counted_before=counted) == Fraction(amount)


class TestVolume:
    @settings(deadline=None)
    @given(strategies.tier_lists(), exact_quantities)
    def test_all_units_have_the_price_of_one_tier(self, tiers: tuple[Tier, ...], quantity: Fraction) -> None:
        tier = next(each for each in tiers if each.up_to is None or quantity <= each.up_to)
        expected = quantity * Fraction(tier.unit_amount) + (Fraction(tier.flat_amount) if quantity else 0)

        assert cost(Volume(tiers=tiers), quantity) == expected

    @pytest.mark.parametrize(
        ("before", "quantity", "amount"),
        [
            (None, "10", "15"),
            (None, "10.5", "8.25"),
            ("5", "5", "5"),
            ("5", "6", "6"),
            ("10", "1", "3.5"),
            ("50", "1", "0.5"),
        ],
    )
    def test_going_on_charges_new_units_at_the_tier_of_all(
        self, before: str | None, quantity: str, amount: str
    ) -> None:
        counted = None if before is None else Fraction(before)

        assert cost(Volume(tiers=TIERS), Fraction(quantity), counted_before=counted) == Fraction(amount)

    def test_no_units_and_a_flat_amount_at_zero(self) -> None:
        assert cost(Volume(tiers=TIERS, flat_at_zero=True), Fraction(0)) == 5
        assert cost(Volume(tiers=TIERS), Fraction(0)) == 0


class TestStairstep:
    @pytest.mark.parametrize(
        ("before", "quantity", "at_zero", "amount"),
        [
            (None, "0", False, "0"),
            (None, "0", True, "5"),
            (None, "10", False, "5"),
            (None, "10.1", False, "3"),
            ("0", "4", False, "5"),
            ("0", "4", True, "0"),
            ("4", "0", False, "0"),
            ("4", "0", True, "0"),
            ("4", "6", False, "0"),
            ("4", "7", False, "-2"),
            ("50", "60", False, "-3"),
        ],
    )
    def test_the_step_reached_less_the_step_before(
        self, before: str | None, quantity: str, at_zero: bool, amount: str
    ) -> None:
        tiers = tuple(
            Tier(above=tier.above, up_to=tier.up_to, flat_amount=tier.flat_amount) for tier in TIERS
        )
        charge = Stairstep(tiers=tiers, flat_at_zero=at_zero)
        counted = None if before is None else Fraction(before)

        steps = charge_steps(charge, Units(billed=Fraction(quantity), counted_before=counted))

        assert sum((step.amount for step in steps), Fraction(0)) == Fraction(amount)
        assert sum((step.quantity for step in steps), Fraction(0)) == Fraction(quantity)


class TestPackages:
    @settings(deadline=None)
    @given(exact_quantities, st.integers(1, 40), exact_quantities)
    def test_whole_packages_are_counted_once(self, before: Fraction, size: int, after: Fraction) -> None:
        charge = Package(amount=Decimal(1), size=Decimal(size), counting=Packages.WHOLE)

        first = cost(charge, before)

        assert before <= first * size < before + size
        assert first + cost(charge, after, counted_before=before) == cost(charge, before + after)

    @pytest.mark.parametrize(
        ("quantity", "whole", "pro_rata"),
        [
            ("0", "0", "0"),
            ("0.001", "1", "0.0005"),
            ("2", "1", "1"),
            ("2.001", "2", "1.0005"),
            ("4", "2", "2"),
        ],
    )
    def test_begun_packages_in_whole_or_in_part(self, quantity: str, whole: str, pro_rata: str) -> None:
        for counting, expected in ((Packages.WHOLE, whole), (Packages.PRO_RATA, pro_rata)):
            charge = Package(amount=Decimal(1), size=Decimal(2), counting=counting)
            assert cost(charge, Fraction(quantity)) == Fraction(expected)


class TestPercentages:
    def test_a_count_has_a_fee_even_without_money(self) -> None:
        charge = Percentage(percent=Decimal("2.9"), fixed_amount=Decimal("0.3"), count_meter="payments")

        steps = charge_steps(charge, Units(billed=Fraction(0), count=Fraction(3)))

        assert [(step.kind, step.amount, step.quantity) for step in steps] == [
            (StepKind.COUNT_FEE, Fraction("0.9"), Fraction(0))
        ]

    @settings(deadline=None)
    @given(strategies.tier_lists(with_percent=True), exact_quantities)
    def test_graduated_percent_is_graduated_with_hundredths(
        self, tiers: tuple[Tier, ...], quantity: Fraction
    ) -> None:
        as_units = tuple(
            Tier(
                above=tier.above,
                up_to=tier.up_to,
                unit_amount=tier.percent.scaleb(-2),
                flat_amount=tier.flat_amount,
            )
            for tier in tiers
        )

        assert cost(GraduatedPercentage(tiers=tiers), quantity) == cost(Graduated(tiers=as_units), quantity)

    def test_a_tier_without_percent_still_shows_its_percent(self) -> None:
        tiers = (Tier(above=Decimal(0), up_to=None),)

        (step,) = charge_steps(GraduatedPercentage(tiers=tiers), Units(billed=Fraction(7)))

        assert (step.percent, step.unit_amount, step.amount) == (0, None, 0)


class TestOthers:
    def test_flat_is_the_same_for_any_quantity_and_speaks_for_all_of_it(self) -> None:
        for quantity in (Fraction(0), Fraction(1), Fraction(10**18)):
            (step,) = charge_steps(Flat(amount=Decimal(20)), Units(billed=quantity))
            assert (step.amount, step.quantity) == (20, quantity)

    def test_per_unit_has_nothing_to_say_about_nothing(self) -> None:
        assert charge_steps(PerUnit(unit_amount=Decimal(1)), Units(billed=Fraction(0))) == ()


class TestTiers:
    @pytest.mark.parametrize(
        ("quantity", "number"),
        [("0", 1), ("10", 1), ("10.000000001", 2), ("100", 2), ("101", 3), ("1e18", 3)],
    )
    def test_a_bound_is_in_the_lower_tier(self, quantity: str, number: int) -> None:
        assert tier_number(TIERS, Fraction(quantity), WHOLE) == number

    def test_bounds_shrink_with_their_part_of_a_period(self) -> None:
        assert bounds_of(TIERS[1], Share(1, 3)) == (Fraction(10, 3), Fraction(100, 3))
        assert bounds_of(TIERS[2], Share(1, 3)) == (Fraction(100, 3), None)
        assert tier_number(TIERS, Fraction(10, 3), Share(1, 3)) == 1
        assert tier_number(TIERS, Fraction(11, 3), Share(1, 3)) == 2

    def test_tiers_that_are_closed_hold_nothing_above(self) -> None:
        with pytest.raises(ValueError, match="not open"):
            tier_number(TIERS[:1], Fraction(11), WHOLE)
