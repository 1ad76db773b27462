"""Terms that do not hold together are refused by name, before anything is calculated with them."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from decimal import Decimal
from typing import Any

import pytest

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
from insights.rating.figures import InvalidTerms, check_above_zero, check_amount
from insights.rating.terms import Bound, Conversion, Discount, PriceTerms
from insights.values.money import UnknownCurrency

ONE = Decimal(1)


def tier(above: str, up_to: str | None, **more: str) -> Tier:
    prices = {name: Decimal(text) for name, text in more.items()}
    return Tier(above=Decimal(above), up_to=None if up_to is None else Decimal(up_to), **prices)


def terms(charge: Any = None, **more: Any) -> PriceTerms:
    return PriceTerms(**{"currency": "USD", "charge": charge or PerUnit(unit_amount=ONE), **more})


class TestTiers:
    @pytest.mark.parametrize(
        ("tiers", "told"),
        [
            ((), "at least one tier"),
            ((tier("1", None),), "gap: quantities up to 1 fall in no tier"),
            ((tier("0", "10"), tier("11", None)), "gap: quantities above 10 up to 11 fall in no tier"),
            ((tier("0", "99"), tier("100", None)), "gap: quantities above 99 up to 100 fall in no tier"),
            (
                (tier("0", "10"), tier("9.5", None)),
                "overlap: quantities above 9.5 up to 10 fall in tiers 1 and 2",
            ),
            (
                (tier("0", "5"), tier("5", "10"), tier("5", None)),
                "overlap: quantities above 5 up to 10 fall in tiers 2 and 3",
            ),
            ((tier("0", "1000"),), "gap: quantities above 1000 fall in no tier"),
            ((tier("0", None), tier("10", None)), "tier 1 is open, so tier 2 overlaps it"),
            ((tier("0", "0"), tier("0", None)), "tier 1 ends at 0 and holds nothing"),
            ((tier("0", "10"), tier("10", "5"), tier("5", None)), "tier 2 ends at 5 and holds nothing"),
            ((tier("-1", None),), "tier 1 above must be zero or more"),
            ((tier("0", None, unit_amount="-1"),), "tier 1 unit_amount must be zero or more"),
            ((tier("0", None, unit_amount="NaN"),), "tier 1 unit_amount must be a decimal number"),
            ((tier("0", "Infinity"),), "tier 1 up_to must be a decimal number"),
        ],
    )
    def test_a_gap_or_an_overlap_is_named(self, tiers: tuple[Tier, ...], told: str) -> None:
        for model in (Graduated, Volume):
            with pytest.raises(InvalidTerms, match=told):
                terms(model(tiers=tiers))

    @pytest.mark.parametrize(
        ("charge", "told"),
        [
            (Graduated(tiers=(tier("0", None, percent="1"),)), "tier 1 percent is not used"),
            (Volume(tiers=(tier("0", None, percent="1"),)), "tier 1 percent is not used"),
            (Stairstep(tiers=(tier("0", None, unit_amount="1"),)), "tier 1 unit_amount is not used"),
            (
                GraduatedPercentage(tiers=(tier("0", None, unit_amount="1"),)),
                "tier 1 unit_amount is not used",
            ),
        ],
    )
    def test_a_price_that_would_not_be_charged_is_not_taken(self, charge: Any, told: str) -> None:
        with pytest.raises(InvalidTerms, match=told):
            terms(charge, unit="USD")

    def test_tiers_that_touch_are_taken(self) -> None:
        assert terms(Graduated(tiers=(tier("0", "0.5"), tier("0.50", "7"), tier("7", None)))).unit == ""


class TestFigures:
    @pytest.mark.parametrize(
        "text", ["-0.01", "NaN", "sNaN", "Infinity", "-Infinity", "0.0000000000001", "1E+19"]
    )
    def test_a_figure_is_a_bounded_decimal_of_zero_or_more(self, text: str) -> None:
        with pytest.raises(InvalidTerms, match="price must"):
            check_amount("price", Decimal(text))

    @pytest.mark.parametrize(
        "text", ["0", "-0", "0.000000000001", "9999999999999999999.999999999999", "1E+3", "1.0000000000000"]
    )
    def test_any_other_figure_is_taken(self, text: str) -> None:
        check_amount("price", Decimal(text))

    @pytest.mark.parametrize("value", [1, 0.1, "1", None, True])
    def test_what_is_no_decimal_is_not_made_into_one(self, value: object) -> None:
        with pytest.raises(InvalidTerms, match="decimal number"):
            check_amount("price", value)

    def test_nothing_is_divided_by_zero(self) -> None:
        with pytest.raises(InvalidTerms, match="size must be above zero"):
            check_above_zero("size", Decimal("0.00"))


class TestTerms:
    @pytest.mark.parametrize(
        ("more", "told"),
        [
            ({"included": Decimal(-1)}, "included must be zero or more"),
            ({"charge": Flat(amount=Decimal(-1))}, "amount must be zero or more"),
            ({"charge": Flat(amount=ONE), "included": ONE}, "included has no meaning for a flat price"),
            ({"charge": PerUnit(unit_amount=Decimal(-1))}, "unit_amount must be zero or more"),
            (
                {"charge": Package(amount=ONE, size=Decimal(0), counting=Packages.WHOLE)},
                "size must be above zero",
            ),
            (
                {"charge": Package(amount=-ONE, size=ONE, counting=Packages.WHOLE)},
                "amount must be zero or more",
            ),
            ({"charge": Percentage(percent=ONE), "unit": "B"}, "a percentage is taken of USD, not of B"),
            ({"charge": Percentage(percent=ONE)}, "a percentage is taken of USD, not of no unit"),
            ({"charge": Percentage(percent=ONE), "unit": "EUR"}, "not of EUR"),
            (
                {"charge": Percentage(percent=ONE, fixed_amount=ONE), "unit": "USD"},
                "name the meter that counts",
            ),
            ({"charge": Percentage(percent=ONE, count_meter="payments"), "unit": "USD"}, "go together"),
            ({"conversion": Conversion(unit="GB", units_per=Decimal(0))}, "units_per must be above zero"),
            ({"discounts": (Discount(),)}, "discount 1 is either a percent or an amount"),
            ({"discounts": (Discount(percent=ONE, amount=ONE),)}, "discount 1 is either"),
            (
                {"discounts": (Discount(percent=ONE), Discount(percent=Decimal(101)))},
                "discount 2 percent must be 100",
            ),
            ({"discounts": (Discount(percent=ONE, is_prorated=True),)}, "a percent, which is not prorated"),
            ({"discounts": (Discount(amount=-ONE),)}, "discount 1 amount must be zero or more"),
            (
                {"minimum": Bound(amount=Decimal(2)), "maximum": Bound(amount=ONE)},
                "the minimum is above the maximum",
            ),
            ({"minimum": Bound(amount=-ONE)}, "minimum must be zero or more"),
            (
                {"minimum": Bound(amount=ONE), "maximum": Bound(amount=ONE, is_prorated=True)},
                "prorated together or not at all",
            ),
        ],
    )
    def test_what_does_not_hold_together_is_named(self, more: dict[str, Any], told: str) -> None:
        with pytest.raises(InvalidTerms, match=told):
            terms(**more)

    def test_a_currency_that_is_not_known_is_refused(self) -> None:
        with pytest.raises(UnknownCurrency):
            terms(currency="XXX")

    def test_a_converted_unit_may_be_the_currency(self) -> None:
        cents = Conversion(unit="USD", units_per=Decimal(100))

        assert terms(Percentage(percent=ONE), unit="cent", conversion=cents).priced_unit == "USD"

    def test_terms_do_not_change(self) -> None:
        with pytest.raises(FrozenInstanceError):
            terms().currency = "EUR"  # type: ignore[misc]
