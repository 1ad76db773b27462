"""Included usage, discounts and bounds, each a step that takes what came before."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings

from insights.rating.adjustments import adjust_steps, discount_step, take_included
from insights.rating.terms import Bound, Discount
from insights.values.share import WHOLE, Share
from insights.values.step import Step, StepKind
from tests.rating import strategies

HALF = Share(1, 2)
exact_quantities = strategies.decimals(0, 60, 3).map(Fraction)


def charged(amount: str) -> Step:
    return Step(kind=StepKind.UNITS, base=Fraction(amount), unit_amount=Fraction(1), amount=Fraction(amount))


def adjusted(amount: str, *, share: Share = WHOLE, **adjustments: object) -> list[Fraction]:
    given_adjustments = {"discounts": (), "minimum": None, "maximum": None, **adjustments}
    steps = adjust_steps([charged(amount)], share=share, **given_adjustments)  # type: ignore[arg-type]
    return [step.amount for step in steps]


class TestIncluded:
    @pytest.mark.parametrize(
        ("units", "used_before", "share", "free", "billed", "billed_before"),
        [
            ("62.5", None, WHOLE, "5", "57.5", None),
            ("5", None, WHOLE, "5", "0", None),
            ("4.999", None, WHOLE, "4.999", "0", None),
            ("3", "0", WHOLE, "3", "0", "0"),
            ("3", "4", WHOLE, "1", "2", "0"),
            ("3", "5", WHOLE, "0", "3", "0"),
            ("3", "9", WHOLE, "0", "3", "4"),
            ("3", None, HALF, "2.5", "0.5", None),
        ],
    )
    def test_free_units_come_first(
        self,
        units: str,
        used_before: str | None,
        share: Share,
        free: str,
        billed: str,
        billed_before: str | None,
    ) -> None:
        taken = take_included(
            Fraction(units),
            included=Decimal(5),
            used_before=None if used_before is None else Fraction(used_before),
            share=share,
        )

        assert (taken.step.quantity if taken.step else 0) == Fraction(free)
        assert taken.billed == Fraction(billed)
        assert taken.billed_before == (None if billed_before is None else Fraction(billed_before))

    @settings(deadline=None)
    @given(exact_quantities, exact_quantities, strategies.decimals(0, 40, 1))
    def test_two_parts_have_no_more_included_than_one(
        self, first: Fraction, second: Fraction, included: Decimal
    ) -> None:
        whole = take_included(first + second, included=included, used_before=None, share=WHOLE)
        part = take_included(first, included=included, used_before=None, share=WHOLE)
        rest = take_included(second, included=included, used_before=first, share=WHOLE)

        assert part.billed + rest.billed == whole.billed
        assert rest.billed_before == part.billed


class TestDiscounts:
    def test_one_after_the_other_each_of_what_is_left(self) -> None:
        ten, twenty = Discount(percent=Decimal(10)), Discount(percent=Decimal(20))

        assert adjusted("100", discounts=(ten, twenty)) == [100, -10, -18]
        assert adjusted("100", discounts=(Discount(amount=Decimal(30)), ten)) == [100, -30, -7]

    @pytest.mark.parametrize(
        ("discount", "share", "amount"),
        [
            (Discount(amount=Decimal(8)), HALF, "-8"),
            (Discount(amount=Decimal(8), is_prorated=True), HALF, "-4"),
            (Discount(amount=Decimal(80)), WHOLE, "-20"),
            (Discount(percent=Decimal(100)), WHOLE, "-20"),
            (Discount(percent=Decimal("0.5")), HALF, "-0.1"),
        ],
    )
    def test_a_discount_takes_no_more_than_there_is(
        self, discount: Discount, share: Share, amount: str
    ) -> None:
        assert discount_step(discount, Fraction(20), share).amount == Fraction(amount)

    def test_nothing_is_taken_off_nothing(self) -> None:
        for discount in (Discount(amount=Decimal(5)), Discount(percent=Decimal(5))):
            assert discount_step(discount, Fraction(0), WHOLE).amount == 0

    def test_of_less_than_nothing_a_percent_comes_back_with_it(self) -> None:
        assert discount_step(Discount(amount=Decimal(5)), Fraction(-3), WHOLE).amount == 0
        assert discount_step(Discount(percent=Decimal(5)), Fraction(-3), WHOLE).amount == Fraction("0.15")
        assert adjusted("0", discounts=(Discount(amount=Decimal(5)),)) == [0]


class TestBounds:
    @pytest.mark.parametrize(
        ("amount", "expected"),
        [
            ("0", ["0", "10"]),
            ("9.999", ["9.999", "0.001"]),
            ("10", ["10"]),
            ("30", ["30"]),
            ("30.001", ["30.001", "-0.001"]),
        ],
    )
    def test_a_line_is_lifted_or_lowered_to_its_bound(self, amount: str, expected: list[str]) -> None:
        bounds = {"minimum": Bound(amount=Decimal(10)), "maximum": Bound(amount=Decimal(30))}

        assert adjusted(amount, **bounds) == [Fraction(text) for text in expected]

    def test_a_prorated_bound_is_for_the_part_of_the_period(self) -> None:
        least = Bound(amount=Decimal(10), is_prorated=True)

        assert adjusted("1", share=HALF, minimum=least) == [1, 4]
        assert adjusted("1", share=HALF, minimum=Bound(amount=Decimal(10))) == [1, 9]
        assert adjusted("9", share=HALF, maximum=least) == [9, -4]

    def test_a_maximum_of_zero_takes_everything(self) -> None:
        assert adjusted("7", maximum=Bound(amount=Decimal(0))) == [7, -7]
