"""Each cause by itself, calculated by hand: what changed alone is what is named, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from insights.billing.difference_words import difference_sentence
from insights.rating.charges import Flat, Graduated, Package, Packages, Percentage, PerUnit, Stairstep, Tier
from insights.rating.invoice import LineKind
from insights.rating.rate import Segment, Usage, correct_line, rate_line
from insights.rating.terms import Bound, Conversion, Discount, PriceTerms
from insights.scenarios.difference import compare_bills
from insights.scenarios.effects import Effect
from insights.scenarios.facts import BilledLine, BillFacts, DifferentCurrencies, OfferedPrice
from insights.values.share import Share
from tests.scenarios.pairs import MARCH

GB = Conversion(unit="GB", units_per=Decimal(10**9))
TIERS = Graduated(
    tiers=(
        Tier(above=Decimal(0), up_to=Decimal(100), unit_amount=Decimal("0.10")),
        Tier(above=Decimal(100), up_to=None, unit_amount=Decimal("0.08"), flat_amount=Decimal(1)),
    )
)


def per_unit(amount: str = "0.10", **more: Any) -> PriceTerms:
    return PriceTerms(
        currency=more.pop("currency", "USD"), charge=PerUnit(unit_amount=Decimal(amount)), unit="unit", **more
    )


def priced(charge: Any, **more: Any) -> PriceTerms:
    return PriceTerms(currency="USD", charge=charge, unit=more.pop("unit", "unit"), **more)


def used(
    terms: PriceTerms, quantity: str, *, segment: Segment | None = None, count: str = "0", **more: Any
) -> BilledLine:
    """A line of usage, as it is billed."""
    own = segment or Segment()
    rated = rate_line(terms, Usage(Decimal(quantity), Decimal(count)), segment=own)
    values: dict[str, Any] = {
        "key": "usage",
        "position": 1,
        "kind": LineKind.CHARGE,
        "name": "Requests",
        "service_start": MARCH.start,
        "price_key": "requests",
        "plan_key": "a",
        "meter_key": "requests",
        **more,
    }
    return BilledLine(
        minor=rated.amount.minor,
        quantity=Decimal(quantity),
        terms=terms,
        segment=own,
        steps=rated.steps,
        **values,
    )


def fee(terms: PriceTerms, count: str | None = None, **more: Any) -> BilledLine:
    line = used(
        terms, count or "1", **{"key": "fee", "name": "Fee", "price_key": "fee", "meter_key": "", **more}
    )
    return line if count else replace(line, quantity=None)


def whole(kind: LineKind, minor: int, key: str = "whole") -> BilledLine:
    return BilledLine(key=key, position=9, kind=kind, name=key, minor=minor, service_start=MARCH.start)


def bill(*lines: BilledLine, offers: tuple[OfferedPrice, ...] = (), currency: str = "USD") -> BillFacts:
    return BillFacts(currency=currency, lines=lines, offers=offers)


def causes(before: BillFacts, after: BillFacts) -> dict[Effect, Fraction]:
    """Exact minor units by cause."""
    found: dict[Effect, Fraction] = {}
    for part in compare_bills(before, after).parts:
        found[part.effect] = found.get(part.effect, Fraction(0)) + part.exact
    return found


def half() -> Segment:
    share = Share(1, 2)
    return Segment(share=share, tier_share=share)


class TestUsage:
    def test_more_units_at_the_price_they_have(self) -> None:
        assert causes(bill(used(per_unit(), "50")), bill(used(per_unit(), "70"))) == {Effect.USAGE: 200}

    def test_more_units_of_which_some_are_free(self) -> None:
        terms = per_unit(included=Decimal(5))

        # 4 before, all free; 8 now: 4 more at 0.10, one more of them free.
        assert causes(bill(used(terms, "4")), bill(used(terms, "8"))) == {
            Effect.USAGE: 40,
            Effect.INCLUDED: -10,
        }

    def test_more_units_that_reach_another_tier(self) -> None:
        # 5.00 before; 10.00 + 8.00 + 1.00 now. 150 more at 0.10, then the tier's 1.00 less 100 at 0.02.
        assert causes(bill(used(priced(TIERS), "50")), bill(used(priced(TIERS), "200"))) == {
            Effect.USAGE: 1500,
            Effect.TIER_MIX: -100,
        }

    def test_a_step_up_is_the_tier_alone(self) -> None:
        charge = Stairstep(
            tiers=(
                Tier(above=Decimal(0), up_to=Decimal(10), flat_amount=Decimal(5)),
                Tier(above=Decimal(10), up_to=None, flat_amount=Decimal(12)),
            )
        )

        assert causes(bill(used(priced(charge), "9")), bill(used(priced(charge), "11"))) == {
            Effect.TIER_MIX: 700
        }

    def test_whole_packages_come_in_steps_of_usage(self) -> None:
        charge = Package(amount=Decimal(3), size=Decimal(100), counting=Packages.WHOLE)

        assert causes(bill(used(priced(charge), "150")), bill(used(priced(charge), "180"))) == {}
        assert causes(bill(used(priced(charge), "150")), bill(used(priced(charge), "201"))) == {
            Effect.USAGE: 300
        }

    def test_counts_of_another_meter_are_usage(self) -> None:
        terms = priced(
            Percentage(percent=Decimal(3), fixed_amount=Decimal("0.30"), count_meter="payments"), unit="USD"
        )

        # 3 % of 100 more, and 5 more payments at 0.30.
        assert causes(bill(used(terms, "100", count="10")), bill(used(terms, "200", count="15"))) == {
            Effect.USAGE: 450
        }

    def test_a_value_that_had_no_line_had_no_usage(self) -> None:
        terms, values = per_unit(), (("region", "eu"),)
        rest = used(terms, "10", key="rest")
        offers = (
            OfferedPrice(
                price_key="requests", plan_key="a", meter_key="requests", values=values, terms=terms,
                service_start=MARCH.start,
            ),
            OfferedPrice(
                price_key="requests", plan_key="a", meter_key="requests", values=(), terms=terms,
                service_start=MARCH.start,
            ),
        )  # fmt: skip

        assert causes(
            bill(rest, offers=offers), bill(rest, used(terms, "30", values=values), offers=offers)
        ) == {Effect.USAGE: 300}

    def test_two_segments_take_more_in_the_proportion_they_had(self) -> None:
        first = used(priced(TIERS), "90", key="1")
        going_on = Segment(counted_before=Usage(Decimal(90)))
        second = used(priced(TIERS), "30", key="2", segment=going_on, service_start=MARCH.end)
        first_now = used(priced(TIERS), "180", key="1")
        later = Segment(counted_before=Usage(Decimal(180)))
        second_now = used(priced(TIERS), "60", key="2", segment=later, service_start=MARCH.end)

        found = causes(bill(first, second), bill(first_now, second_now))

        # 120 units came to 11.60 and 1.00 for the tier; 120 more at that average; 240 come to 21.20 and 1.00.
        assert found == {Effect.USAGE: 1160, Effect.TIER_MIX: -200}


class TestPrices:
    def test_another_price_for_the_same(self) -> None:
        assert causes(bill(used(per_unit(), "50")), bill(used(per_unit("0.08"), "50"))) == {
            Effect.PRICE: -100
        }

    def test_a_price_change_counts_at_the_new_usage(self) -> None:
        assert causes(bill(used(per_unit(), "50")), bill(used(per_unit("0.08"), "70"))) == {
            Effect.USAGE: 200,
            Effect.PRICE: -140,
        }

    def test_more_included_usage_is_not_a_lower_price(self) -> None:
        old, new = per_unit(included=Decimal(5)), per_unit("0.08", included=Decimal(15))

        # 45 charged before; 35 at the old price and then at the new one.
        assert causes(bill(used(old, "50")), bill(used(new, "50"))) == {
            Effect.INCLUDED: -100,
            Effect.PRICE: -70,
        }

    def test_another_unit_is_a_price(self) -> None:
        old = per_unit("0.10", included=Decimal(5), conversion=GB)
        new = per_unit(
            "0.0001", included=Decimal(5000), conversion=Conversion(unit="MB", units_per=Decimal(10**6))
        )

        assert causes(bill(used(old, "62500000000")), bill(used(new, "62500000000"))) == {}
        dearer = per_unit(
            "0.0002", included=Decimal(5000), conversion=Conversion(unit="MB", units_per=Decimal(10**6))
        )
        assert causes(bill(used(old, "62500000000")), bill(used(dearer, "62500000000"))) == {
            Effect.PRICE: 575
        }

    def test_what_was_free_has_a_price_now(self) -> None:
        assert causes(bill(used(per_unit(exempt_reason="beta"), "50")), bill(used(per_unit(), "60"))) == {
            Effect.PRICE: 600
        }

    def test_a_fee_of_the_same_plan_is_dearer(self) -> None:
        assert causes(
            bill(fee(priced(Flat(amount=Decimal(20)), unit=""))),
            bill(fee(priced(Flat(amount=Decimal(25)), unit=""))),
        ) == {Effect.PRICE: 500}

    def test_a_meter_split_by_other_values_is_one_price(self) -> None:
        terms, dearer = per_unit(), per_unit("0.20")
        before = bill(used(terms, "50"))
        after = bill(used(dearer, "20", key="eu", values=(("region", "eu"),)), used(terms, "40", key="rest"))

        # 10 more at 0.10, then 20 of 60 at 0.20.
        assert causes(before, after) == {Effect.USAGE: 100, Effect.PRICE: 200}


class TestPlansAndTime:
    def test_another_plan_is_one_cause(self) -> None:
        before = bill(
            used(per_unit(included=Decimal(5)), "50"), fee(priced(Flat(amount=Decimal(20)), unit=""))
        )
        after = bill(
            used(per_unit("0.05"), "60", plan_key="b"),
            fee(priced(Flat(amount=Decimal(30)), unit=""), plan_key="b"),
        )

        # 45 x 0.10 before. 10 more at 0.10 make 5.50; 60 x 0.05 is 2.50 less, and the fee is 10.00 more.
        assert causes(before, after) == {Effect.USAGE: 100, Effect.PLAN_CHANGE: -250 + 1000}

    def test_a_change_inside_the_period(self) -> None:
        before = bill(fee(priced(Flat(amount=Decimal(20)), unit="", is_prorated=True)))
        parts = [
            fee(
                priced(Flat(amount=Decimal(amount)), unit="", is_prorated=True),
                key=plan,
                plan_key=plan,
                segment=half(),
            )
            for plan, amount in (("a", 20), ("b", 50))
        ]

        assert causes(before, bill(*parts)) == {Effect.PLAN_CHANGE: 1500}

    def test_the_lines_of_a_change_take_their_rounding_with_them(self) -> None:
        """As the ruler of the bill has it: what the lines came to, less what one line on the old plan would have."""
        before = bill(used(per_unit("0.333"), "2"))
        third = Segment(share=Share(1, 3))
        parts = [
            used(per_unit("0.333"), "1", key=str(number), plan_key=plan, segment=third)
            for number, plan in enumerate(("a", "b", "a"))
        ]

        # One line of 3 comes to 0.999, which is 1.00; three lines of 0.333 come to 0.33 each.
        found = causes(before, bill(*parts))

        assert found[Effect.PLAN_CHANGE] == -1
        # 0.666 was rounded up by 0.4 of a cent, and 0.999 would be by 0.1.
        assert found == {
            Effect.USAGE: Fraction("33.3"),
            Effect.PLAN_CHANGE: -1,
            Effect.ROUNDING: Fraction("-0.3"),
        }

    def test_a_part_of_a_period(self) -> None:
        terms = priced(Flat(amount=Decimal(20)), unit="", is_prorated=True)

        assert causes(bill(fee(terms, segment=half())), bill(fee(terms))) == {Effect.PRORATION: 1000}

    def test_more_seats_now_and_for_a_part_of_the_period_before(self) -> None:
        """In advance: 5 seats for the next period, 2 more for the half of this one that was billed with 3."""
        terms = per_unit("10", is_prorated=True)
        before = bill(fee(terms, "3"))
        stretch = fee(terms, "5", key="now", segment=half(), service_start=MARCH.start)
        ahead = fee(terms, "5", key="next", service_start=MARCH.end)
        back = correct_line(
            rate_line(terms, Usage(Decimal(3))), rate_line(terms, Usage(Decimal(3)), segment=half())
        )
        given_back = replace(
            fee(terms, "3", key="correction:1"), minor=back.amount.minor, steps=back.steps, is_given_back=True
        )

        assert causes(before, bill(given_back, stretch, ahead)) == {
            Effect.USAGE: 2000,
            Effect.PRORATION: 1000,
        }

    def test_an_add_on_and_a_fee_of_one_bill(self) -> None:
        once = priced(Flat(amount=Decimal(99)), unit="")
        offer = OfferedPrice(
            price_key="setup", plan_key="a", meter_key="", values=(), terms=once, service_start=MARCH.start
        )
        usage = used(per_unit(), "1")
        before = bill(usage, fee(once, price_key="setup"), offers=(offer,))
        after = bill(
            usage,
            fee(once, price_key="extra", plan_key="extra", is_add_on=True, key="add-on"),
            offers=(offer,),
        )

        assert causes(before, after) == {Effect.FEES: -9900, Effect.ADD_ON: 9900}


class TestWhatFollows:
    def test_steps_around_the_charge_have_causes_of_their_own(self) -> None:
        terms = per_unit(discounts=(Discount(percent=Decimal(10)),), maximum=Bound(amount=Decimal(8)))

        # 5.00 less 0.50; then 10.00 less 1.00, lowered by 1.00.
        assert causes(bill(used(terms, "50")), bill(used(terms, "100"))) == {
            Effect.USAGE: 500,
            Effect.DISCOUNTS: -50,
            Effect.MAXIMUM: -100,
        }

    @pytest.mark.parametrize(
        ("kind", "effect"),
        [
            (LineKind.CORRECTION, Effect.CORRECTIONS),
            (LineKind.DISCOUNT, Effect.DISCOUNTS),
            (LineKind.MINIMUM, Effect.MINIMUM),
            (LineKind.MAXIMUM, Effect.MAXIMUM),
            (LineKind.CREDIT, Effect.CREDITS),
            (LineKind.TAX, Effect.TAX),
            (LineKind.CARRIED, Effect.CARRIED),
        ],
    )
    def test_each_line_of_the_whole_bill_is_its_cause(self, kind: LineKind, effect: Effect) -> None:
        assert causes(bill(whole(kind, 300)), bill(whole(kind, 450))) == {effect: 150}
        assert causes(bill(), bill(whole(kind, 450))) == {effect: 450}

    def test_rounding_is_what_rounding_took(self) -> None:
        # 0.333 is 0.33 and 0.666 is 0.67.
        found = causes(bill(used(per_unit("0.333"), "1")), bill(used(per_unit("0.333"), "2")))

        assert found == {Effect.USAGE: Fraction("33.3"), Effect.ROUNDING: Fraction("0.7")}
        [usage, rounding] = compare_bills(
            bill(used(per_unit("0.333"), "1")), bill(used(per_unit("0.333"), "2"))
        ).parts
        assert (usage.amount.minor, rounding.amount.minor) == (33, 1)

    def test_bills_of_different_currencies_have_no_difference(self) -> None:
        with pytest.raises(DifferentCurrencies):
            compare_bills(bill(), bill(currency="JPY"))


def test_causes_that_cancel_out_say_their_currency() -> None:
    before = bill(used(per_unit(), "100"), whole(LineKind.TAX, 500))
    after = bill(used(per_unit(), "110"), whole(LineKind.TAX, 400))

    found = compare_bills(before, after)

    assert not found.change.minor
    assert difference_sentence(found, "March 2026") == (
        "As much as March 2026: 1.00 USD more for usage (Requests), 1.00 less for tax."
    )


def test_causes_of_a_change_leave_the_currency_to_the_change() -> None:
    found = compare_bills(bill(used(per_unit(), "100")), bill(used(per_unit(), "110")))

    assert difference_sentence(found, "March 2026") == (
        "1.00 USD more than March 2026: 1.00 more for usage (Requests)."
    )
