"""Quantities in words stand in a unit that a reader knows: packs as what is in them, GB and GiB with their size."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insights.billing.next_unit_words import countdown_words, next_price_words, reprice_words
from insights.billing.price_words import amount_each, quantity_words, scale_of_price, unit_size_words
from insights.rating.charges import ChargeModel, Graduated, Package, Packages, PerUnit, Tier, Volume
from insights.rating.next_unit import next_unit
from insights.rating.rate import Usage
from insights.rating.terms import Conversion, PriceTerms
from insights.values.quantity import exact_in, exact_with_unit

TIERS = (
    Tier(above=Decimal(0), up_to=Decimal(100), unit_amount=Decimal("1.20")),
    Tier(above=Decimal(100), up_to=None, unit_amount=Decimal("0.90")),
)
PACKS = Conversion(unit="100k connections", units_per=Decimal(100_000))
GB = Conversion(unit="GB", units_per=Decimal(10**9))
GIB = Conversion(unit="GiB", units_per=Decimal(2**30))
PER_UNIT = PerUnit(unit_amount=Decimal("0.10"))


def terms(charge: ChargeModel, unit: str, conversion: Conversion | None, included: str = "0") -> PriceTerms:
    return PriceTerms(
        currency="EUR", charge=charge, unit=unit, conversion=conversion, included=Decimal(included)
    )


class TestCountdown:
    def test_packs_are_counted_down_in_what_is_in_them(self) -> None:
        priced = terms(Graduated(tiers=TIERS), "connections", PACKS)

        words = countdown_words(priced, next_unit(priced, Usage(Decimal(7_803_000))))

        assert words == "2,197,000 more connections until 0.90 EUR per 100k connections"

    def test_a_gigabyte_stays_one(self) -> None:
        priced = terms(Graduated(tiers=TIERS), "bytes", GB)

        words = countdown_words(priced, next_unit(priced, Usage(Decimal(87_500_000_000))))

        assert words == "12.5 more GB until 0.90 EUR per GB"

    def test_included_packs_are_left_in_what_is_in_them(self) -> None:
        priced = terms(PER_UNIT, "connections", PACKS, included="3")

        words = countdown_words(priced, next_unit(priced, Usage(Decimal(50_000))))

        assert (
            words == "250,000 connections of included usage left, then 0.10 EUR for the next 100k connections"
        )

    def test_what_is_priced_anew_is_said_in_what_is_in_a_pack(self) -> None:
        priced = terms(Volume(tiers=TIERS), "connections", PACKS)

        words = reprice_words(priced, next_unit(priced, Usage(Decimal(7_803_000))))

        assert words == "Going over it prices all 10,000,000 connections anew"


class TestBlocks:
    """A price for 100,000 is told for 100,000 wherever it is told."""

    BLOCKS = Package(amount=Decimal("1.50"), size=Decimal(100_000), counting=Packages.PRO_RATA)

    def test_the_next_one_costs_its_part_of_a_block(self) -> None:
        priced = terms(self.BLOCKS, "requests", None)

        assert next_price_words(priced, next_unit(priced, Usage(Decimal(7)))) == (
            "1.50 EUR per 100,000 requests, for the next one too"
        )

    def test_what_follows_included_usage_costs_the_same(self) -> None:
        priced = terms(self.BLOCKS, "requests", None, included="50")

        found = next_unit(priced, Usage(Decimal(7)))

        assert next_price_words(priced, found) == "0.00 EUR for the next request"
        assert countdown_words(priced, found) == (
            "43 requests of included usage left, then 1.50 EUR per 100,000 requests, for the next one too"
        )

    def test_a_difference_has_the_same_price(self) -> None:
        priced = terms(self.BLOCKS, "requests", None)

        assert amount_each(Fraction("0.000015"), priced) == "1.50 EUR per 100,000 requests"
        assert amount_each(Fraction("0.10"), terms(PER_UNIT, "bytes", GB)) == "0.10 EUR per GB"

    def test_packs_are_a_unit_of_their_own_beside_a_bill(self) -> None:
        scale = scale_of_price(terms(PER_UNIT, "connections", PACKS))

        assert scale is not None
        assert exact_with_unit(Decimal(2_197_000), "connections", scale) == "21.97 \u00d7 100k connections"


class TestUnits:
    @pytest.mark.parametrize(
        ("unit", "conversion", "words"),
        [
            ("bytes", GB, "1 GB is 1,000,000,000 bytes (decimal)"),
            ("B", GIB, "1 GiB is 1,073,741,824 B (binary)"),
            ("connections", PACKS, ""),
            ("bytes", None, ""),
        ],
    )
    def test_a_unit_says_how_large_it_is_and_by_which_numbers(
        self, unit: str, conversion: Conversion | None, words: str
    ) -> None:
        assert unit_size_words(terms(PER_UNIT, unit, conversion)) == words

    def test_a_size_of_its_own_is_believed_and_not_the_name(self) -> None:
        own = Conversion(unit="GB", units_per=Decimal(2**30))

        assert unit_size_words(terms(PER_UNIT, "bytes", own)) == "1 GB is 1,073,741,824 bytes (binary)"

    def test_a_unit_that_begins_with_a_number_stands_behind_a_cross(self) -> None:
        assert quantity_words(Fraction("21.97"), "100k units") == "21.97 \u00d7 100k units"

    @given(st.decimals(min_value=0, max_value=10**18, places=3), st.sampled_from([GB, GIB]))
    def test_a_quantity_in_the_unit_of_the_price_is_the_metered_one(
        self, quantity: Decimal, conversion: Conversion
    ) -> None:
        scale = scale_of_price(terms(PER_UNIT, "bytes", conversion))

        assert scale is not None
        assert Fraction(scale.number_of(quantity)) == Fraction(quantity) / Fraction(conversion.units_per)

    def test_more_decimals_than_a_quantity_has_are_rounded_and_say_so(self) -> None:
        scale = scale_of_price(terms(PER_UNIT, "bytes", GIB))

        assert exact_in(Decimal(2**31), scale) == "2"
        assert exact_in(Decimal(2**31 + 1), scale) == "about 2"
        assert exact_in(Decimal(12_345_678_901), scale) == "about 11.497809"
