"""The rated line: what holds whatever a price says, and what a piece of a line is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights.rating.charges import Flat, Package, Packages, Percentage, PerUnit, Tier, Volume
from insights.rating.rate import (
    Segment,
    UnableToRate,
    Usage,
    converted,
    correct_line,
    rate_line,
    steps_in_order,
    subtract_steps,
)
from insights.rating.terms import Bound, Conversion, Discount, PriceTerms
from insights.values.exact import round_half_away
from insights.values.money import Money, minor_of
from insights.values.share import Share
from insights.values.step import StepKind
from tests.rating import strategies
from tests.rating.proof import proved_amount

PROJECT = Path(__file__).resolve().parents[2]
HALF = Share(1_339_200, 2_678_400)


def usage(quantity: str, count: str = "0") -> Usage:
    return Usage(Decimal(quantity), Decimal(count))


def per_unit(unit_amount: str, **more: object) -> PriceTerms:
    return PriceTerms(currency="USD", charge=PerUnit(unit_amount=Decimal(unit_amount)), **more)  # type: ignore[arg-type]


class TestWholeLines:
    @settings(deadline=None)
    @given(strategies.prices(), strategies.usages, strategies.segments)
    def test_steps_add_to_the_line(self, terms: PriceTerms, used: Usage, segment: Segment) -> None:
        line = rate_line(terms, used, segment=segment)

        assert sum(step.amount_minor for step in line.steps) == line.amount.minor
        assert Money.rounded(line.exact_amount, terms.currency) == line.amount
        assert all(abs(step.amount_minor - minor_of(step.amount, terms.currency)) < 1 for step in line.steps)
        assert all(step.amount_minor * step.amount >= 0 for step in line.steps)

    @settings(deadline=None)
    @given(strategies.prices(), strategies.usages, strategies.segments)
    def test_each_step_follows_from_its_own_figures(
        self, terms: PriceTerms, used: Usage, segment: Segment
    ) -> None:
        line = rate_line(terms, used, segment=segment)

        assert [proved_amount(step) for step in line.steps] == [step.amount for step in line.steps]

    @settings(deadline=None)
    @given(strategies.prices(), strategies.usages, strategies.segments)
    def test_included_exempt_and_billed_are_all_that_was_metered(
        self, terms: PriceTerms, used: Usage, segment: Segment
    ) -> None:
        line = rate_line(terms, used, segment=segment)
        kept = (StepKind.INCLUDED, StepKind.EXEMPT)

        assert sum((step.quantity for step in line.steps), Fraction(0)) == converted(terms, used)
        assert line.metered_quantity == used.quantity
        assert line.billed_quantity == sum(
            (step.quantity for step in line.steps if step.kind not in kept), Fraction(0)
        )

    @settings(deadline=None)
    @given(strategies.prices(), strategies.usages, st.none() | strategies.shares)
    def test_a_line_is_between_its_bounds(self, terms: PriceTerms, used: Usage, share: Share | None) -> None:
        segment = Segment(share=share) if share else Segment()

        line = rate_line(terms, used, segment=segment)

        part = segment.share.fraction
        if not terms.exempt_reason:
            for bound, sign in ((terms.minimum, 1), (terms.maximum, -1)):
                if bound is not None:
                    edge = Fraction(bound.amount) * (part if bound.is_prorated else 1)
                    assert sign * line.exact_amount >= sign * edge
        assert line.exact_amount >= 0


class TestPieces:
    @settings(deadline=None)
    @given(
        strategies.prices(),
        st.lists(strategies.usages, min_size=1, max_size=6),
        st.just(Segment()) | strategies.segments,
    )
    def test_rating_in_pieces_adds_to_rating_at_once(
        self, terms: PriceTerms, pieces: list[Usage], segment: Segment
    ) -> None:
        lines = []
        rated: Usage | None = None
        for piece in pieces:
            lines.append(rate_line(terms, piece, already_rated=rated, segment=segment))
            rated = piece if rated is None else rated + piece
        assert rated is not None

        whole = rate_line(terms, rated, segment=segment)

        assert sum(line.amount.minor for line in lines) == whole.amount.minor
        assert sum((line.exact_amount for line in lines), Fraction(0)) == whole.exact_amount
        assert sum((line.billed_quantity for line in lines), Fraction(0)) == whole.billed_quantity
        for line in lines:
            assert sum(step.amount_minor for step in line.steps) == line.amount.minor
            assert [proved_amount(step) for step in line.steps] == [step.amount for step in line.steps]

    @settings(deadline=None)
    @given(strategies.prices(), strategies.usages, strategies.usages)
    def test_taking_a_piece_back_leaves_nothing_of_it(
        self, terms: PriceTerms, first: Usage, second: Usage
    ) -> None:
        added = rate_line(terms, second, already_rated=first)
        back = Usage(-second.quantity, -second.count)

        removed = rate_line(terms, back, already_rated=first + second)

        assert removed.amount == -added.amount
        assert removed.billed_quantity == -added.billed_quantity
        assert removed.exact_amount == -added.exact_amount

    @settings(deadline=None)
    @given(strategies.graduated_charges(), strategies.usages, strategies.usages)
    def test_a_graduated_piece_has_only_the_steps_of_its_own_units(
        self, charge: object, first: Usage, second: Usage
    ) -> None:
        terms = PriceTerms(currency="USD", charge=charge)  # type: ignore[arg-type]

        piece = rate_line(terms, second, already_rated=first)

        assert all(step.quantity >= 0 and step.amount >= 0 for step in piece.steps)
        assert all(
            step.above is None or step.up_to is None or first.quantity < step.up_to for step in piece.steps
        )

    def test_nothing_rated_yet_is_not_the_same_as_zero_rated(self) -> None:
        terms = PriceTerms(currency="USD", charge=Flat(amount=Decimal(20)))

        assert rate_line(terms, usage("1")).amount == Money(2000, "USD")
        assert rate_line(terms, usage("1"), already_rated=usage("0")).amount == Money(0, "USD")

    def test_a_minimum_is_used_up_before_a_piece_costs_anything(self) -> None:
        terms = per_unit("1", minimum=Bound(amount=Decimal(10)))

        assert rate_line(terms, usage("4")).amount == Money(1000, "USD")
        assert rate_line(terms, usage("5"), already_rated=usage("4")).amount == Money(0, "USD")
        assert rate_line(terms, usage("5"), already_rated=usage("9")).amount == Money(400, "USD")

    def test_the_same_steps_leave_nothing(self) -> None:
        terms = per_unit("0.1", included=Decimal(5), discounts=(Discount(percent=Decimal(10)),) * 2)
        steps = steps_in_order(terms, usage("62.5"), Segment())

        assert [step.kind for step in steps] == [
            StepKind.INCLUDED,
            StepKind.UNITS,
            StepKind.DISCOUNT,
            StepKind.DISCOUNT,
        ]
        assert subtract_steps(steps, steps) == ()
        assert [step.amount for step in subtract_steps((), steps)] == [-step.amount for step in steps]


class TestCorrections:
    @settings(deadline=None)
    @given(
        strategies.prices(), strategies.usages, strategies.usages, strategies.segments, strategies.segments
    )
    def test_what_was_billed_and_its_correction_are_what_it_comes_to_now(
        self, terms: PriceTerms, first: Usage, now: Usage, segment: Segment, other: Segment
    ) -> None:
        billed = rate_line(terms, first, segment=segment)
        rerated = rate_line(terms, now, segment=other)

        correction = correct_line(billed, rerated)

        assert billed.amount + correction.amount == rerated.amount
        assert billed.exact_amount + correction.exact_amount == rerated.exact_amount
        assert billed.billed_quantity + correction.billed_quantity == rerated.billed_quantity
        assert sum(step.amount_minor for step in correction.steps) == correction.amount.minor
        assert [proved_amount(step) for step in correction.steps] == [
            step.amount for step in correction.steps
        ]

    @settings(deadline=None)
    @given(strategies.prices(), strategies.usages)
    def test_nothing_changed_needs_no_correction(self, terms: PriceTerms, used: Usage) -> None:
        line = rate_line(terms, used)

        correction = correct_line(line, rate_line(terms, used))

        assert (correction.steps, correction.amount.minor, correction.metered_quantity) == ((), 0, 0)

    def test_a_fee_paid_in_advance_is_given_back_for_what_was_not_used(self) -> None:
        """20.00 were paid for 31 days, 12 were used: 240/31 = 7.74, so 12.26 come back."""
        fee = PriceTerms(currency="USD", charge=Flat(amount=Decimal(20)), is_prorated=True)
        used = Segment(share=Share(1_036_800, 2_678_400))

        correction = correct_line(rate_line(fee, usage("1")), rate_line(fee, usage("1"), segment=used))

        assert correction.amount == Money(-1226, "USD")
        assert [(step.amount, step.amount_minor, step.is_taken_back) for step in correction.steps] == [
            (Fraction(240, 31), 774, False),
            (Fraction(-20), -2000, True),
        ]

    def test_late_usage_corrects_only_what_it_changes(self) -> None:
        terms = per_unit("0.1", included=Decimal(5))

        correction = correct_line(rate_line(terms, usage("62.5")), rate_line(terms, usage("63.5")))

        assert [(step.kind, step.quantity, step.amount_minor) for step in correction.steps] == [
            (StepKind.UNITS, 1, 10)
        ]


class TestOrder:
    def test_included_usage_comes_before_the_charge_and_after_conversion(self) -> None:
        terms = per_unit(
            "0.1", unit="B", conversion=Conversion(unit="GB", units_per=Decimal(10**9)), included=Decimal(5)
        )

        line = rate_line(terms, usage("62500000000"))

        assert line.metered_quantity == Decimal(62_500_000_000)
        assert line.billed_quantity == Fraction("57.5")
        assert line.amount == Money(575, "USD")

    def test_what_is_held_over_time_is_charged_by_time_whatever_a_plan_change_says(self) -> None:
        terms = per_unit("5", included=Decimal(3), is_prorated=True)
        changed = Segment(share=HALF, tier_share=HALF, counted_before=usage("3"))

        assert rate_line(terms, usage("5"), segment=changed).amount == Money(500, "USD")
        assert rate_line(terms, usage("5"), segment=Segment(share=HALF)).amount == Money(500, "USD")

    def test_a_price_that_is_not_prorated_is_charged_in_full_in_a_part_of_a_period(self) -> None:
        assert rate_line(per_unit("5"), usage("5"), segment=Segment(share=HALF)).amount == Money(2500, "USD")

    def test_the_discount_is_taken_of_the_prorated_amount(self) -> None:
        terms = PriceTerms(
            currency="USD",
            charge=Flat(amount=Decimal(100)),
            is_prorated=True,
            discounts=(Discount(percent=Decimal(10)),),
        )

        line = rate_line(terms, usage("1"), segment=Segment(share=HALF))

        assert [step.amount for step in line.steps] == [50, -5]

    def test_a_count_without_a_fee_for_it_changes_nothing(self) -> None:
        terms = PriceTerms(currency="USD", unit="USD", charge=Percentage(percent=Decimal(1)))

        assert rate_line(terms, usage("100", "7")).steps == rate_line(terms, usage("100")).steps

    def test_a_free_price_still_says_what_it_was_for(self) -> None:
        line = rate_line(per_unit("0"), usage("5"))

        assert [(step.kind, step.quantity) for step in line.steps] == [(StepKind.UNITS, Fraction(5))]
        assert line.amount == Money(0, "USD")


class TestRefusals:
    @pytest.mark.parametrize(
        ("used", "already"),
        [(usage("-1"), None), (usage("1", "-1"), None), (usage("-6"), usage("5")), (usage("1"), usage("-1"))],
    )
    def test_less_than_nothing_has_no_price(self, used: Usage, already: Usage | None) -> None:
        with pytest.raises(UnableToRate, match="less than nothing"):
            rate_line(per_unit("1"), used, already_rated=already)

    def test_taking_back_everything_is_no_refusal(self) -> None:
        line = rate_line(per_unit("1"), usage("-5"), already_rated=usage("5"))

        assert line.amount == Money(-500, "USD")


class TestNumbers:
    @pytest.mark.parametrize(
        ("currency", "amount"),
        [("USD", "333333333333333333.33"), ("JPY", "333333333333333333"), ("KWD", "333333333333333333.333")],
    )
    def test_a_quintillion_is_rated_to_the_last_unit(self, currency: str, amount: str) -> None:
        charge = Package(amount=Decimal(1), size=Decimal(3), counting=Packages.PRO_RATA)
        terms = PriceTerms(currency=currency, charge=charge)

        line = rate_line(terms, usage("1000000000000000000"))

        assert str(line.amount.amount) == amount
        assert line.exact_amount == Fraction(10**18, 3)

    def test_a_half_of_a_minor_unit_goes_away_from_zero_both_ways(self) -> None:
        terms = per_unit("0.005")

        assert rate_line(terms, usage("1")).amount.minor == 1
        assert rate_line(terms, usage("-1"), already_rated=usage("1")).amount.minor == -1

    def test_volume_falls_where_a_tier_makes_everything_cheaper(self) -> None:
        tiers = (
            Tier(above=Decimal(0), up_to=Decimal(99), unit_amount=Decimal(1)),
            Tier(above=Decimal(99), up_to=None, unit_amount=Decimal("0.8")),
        )
        terms = PriceTerms(currency="USD", charge=Volume(tiers=tiers))

        assert rate_line(terms, usage("99")).amount == Money(9900, "USD")
        assert rate_line(terms, usage("100")).amount == Money(8000, "USD")
        assert rate_line(terms, usage("1"), already_rated=usage("99")).amount == Money(-1900, "USD")

    @settings(deadline=None)
    @given(strategies.decimals(0, 10, 6), st.integers(0, 10**12))
    def test_per_unit_agrees_with_whole_numbers(self, unit_amount: Decimal, units: int) -> None:
        line = rate_line(per_unit(str(unit_amount)), Usage(Decimal(units)))
        millionths_of_a_cent = int(unit_amount.scaleb(6)) * units * 100

        assert line.amount.minor == round_half_away(Fraction(millionths_of_a_cent, 10**6))


AGAIN = """
import json, sys
from decimal import Decimal
from insights.rating.rate import Usage, rate_line
from insights.rating.terms_json import parse_terms
from insights.values.step import step_document
for line in sys.stdin:
    case = json.loads(line)
    rated = rate_line(parse_terms(case["terms"]), Usage(Decimal(case["quantity"])))
    print(json.dumps([rated.amount.minor, [step_document(step) for step in rated.steps]]))
"""


def test_another_process_with_another_clock_and_hash_seed_rates_the_same() -> None:
    tiers = [
        {"above": "0", "up_to": "10", "unit_amount": "1", "flat_amount": "0.333", "percent": "0"},
        {"above": "10", "up_to": None, "unit_amount": "0.005", "flat_amount": "0", "percent": "0"},
    ]
    terms = {
        "version": 1, "currency": "USD", "unit": "s", "conversion": {"unit": "h", "units_per": "3600"},
        "included": "1", "discounts": [], "minimum": None, "maximum": None, "timing": "in_arrears",
        "is_prorated": False, "exempt_reason": "",
        "charge": {"model": "graduated", "flat_at_zero": False, "tiers": tiers},
    }  # fmt: skip
    cases = "\n".join(
        json.dumps({"terms": terms, "quantity": str(each)}) for each in (0, 1, 3601, 99999, 10**18)
    )

    answers = {
        subprocess.run(
            [sys.executable, "-c", AGAIN],
            input=cases,
            cwd=PROJECT,
            env=os.environ | {"PYTHONHASHSEED": seed, "TZ": zone, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, zone in (("1", "UTC"), ("4242", "Asia/Kathmandu"))
    }

    assert len(answers) == 1
    assert len(answers.pop().splitlines()) == 5
