"""Money of one currency, and splitting that neither makes nor loses a minor unit."""

from __future__ import annotations

import random
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from insights.values.exact import round_half_away
from insights.values.money import (
    CURRENCY_DECIMALS,
    MixedCurrencies,
    Money,
    UnableToAllot,
    UnknownCurrency,
    allot,
    currency_decimals,
    minor_of,
    split,
    sum_money,
)

TRILLION = 10**12


class TestMoney:
    @pytest.mark.parametrize(
        ("amount", "currency", "minor", "text"),
        [
            ("49.23", "USD", 4923, "49.23 USD"),
            ("0.005", "USD", 1, "0.01 USD"),
            ("-0.005", "USD", -1, "-0.01 USD"),
            ("0.0049", "USD", 0, "0.00 USD"),
            ("999.5", "JPY", 1000, "1000 JPY"),
            ("0.1245", "KWD", 125, "0.125 KWD"),
            ("20", "EUR", 2000, "20.00 EUR"),
        ],
    )
    def test_an_amount_is_rounded_once_to_the_minor_unit(
        self, amount: str, currency: str, minor: int, text: str
    ) -> None:
        money = Money.rounded(Fraction(amount), currency)

        assert money.minor == minor
        assert str(money) == text

    def test_currencies_have_none_two_or_three_decimals(self) -> None:
        assert {currency_decimals(code) for code in CURRENCY_DECIMALS} == {0, 2, 3}
        assert [currency_decimals(code) for code in ("JPY", "USD", "KWD")] == [0, 2, 3]
        assert all(len(code) == 3 and code.isascii() and code.isupper() for code in CURRENCY_DECIMALS)

    @pytest.mark.parametrize("code", ["", "usd", "US", "XXX", "BTC", "USDT", "XAU"])
    def test_an_unknown_currency_is_not_guessed(self, code: str) -> None:
        with pytest.raises(UnknownCurrency, match="not a currency"):
            Money(1, code)

    def test_amounts_of_one_currency_add(self) -> None:
        assert Money(4923, "USD") - Money(2000, "USD") + Money(2000, "USD") == Money(4923, "USD")
        assert -Money(5, "USD") == Money(-5, "USD")
        assert sum_money([Money(1, "JPY"), Money(2, "JPY")], "JPY") == Money(3, "JPY")
        assert sum_money([], "KWD") == Money(0, "KWD")

    def test_currencies_do_not_mix(self) -> None:
        with pytest.raises(MixedCurrencies):
            Money(1, "USD") + Money(1, "EUR")
        with pytest.raises(MixedCurrencies):
            Money(1, "USD") - Money(1, "EUR")
        with pytest.raises(MixedCurrencies):
            sum_money([Money(1, "EUR")], "USD")

    def test_minor_units_of_an_amount_are_exact(self) -> None:
        assert minor_of(Decimal("0.000000000001"), "USD") == Fraction(1, 10**10)
        assert minor_of(Fraction(240, 31), "KWD") == Fraction(240000, 31)


class TestAllot:
    @pytest.mark.parametrize(
        ("total", "parts", "units"),
        [
            (1, ["1/3", "1/3", "1/3"], [1, 0, 0]),
            (2, ["1/3", "2/3", "1"], [0, 1, 1]),
            (3, ["0.5", "0.5", "2"], [1, 0, 2]),
            (-1, ["-1/3", "-1/3", "-1/3"], [-1, 0, 0]),
            (0, ["0.4", "-0.4"], [0, 0]),
            (0, ["0", "0"], [0, 0]),
            (5, ["5", "0"], [5, 0]),
            (8, ["10.5", "0", "-2.1"], [10, 0, -2]),
            (9, ["10.9", "0", "-2.1"], [11, 0, -2]),
        ],
    )
    def test_who_lost_most_gets_the_missing_units(
        self, total: int, parts: list[str], units: list[int]
    ) -> None:
        outcome = allot(total, {number: Fraction(part) for number, part in enumerate(parts)})

        assert list(outcome.values()) == units

    @pytest.mark.parametrize(("total", "parts"), [(3, ["1", "0.5"]), (0, ["1.5"]), (1, []), (1, ["0"])])
    def test_a_total_that_is_not_the_sum_is_refused(self, total: int, parts: list[str]) -> None:
        with pytest.raises(UnableToAllot):
            allot(total, {number: Fraction(part) for number, part in enumerate(parts)})

    @settings(deadline=None)
    @given(st.lists(st.fractions(-1000, 1000, max_denominator=997), min_size=1, max_size=40))
    def test_parts_of_both_signs_add_up(self, parts: list[Fraction]) -> None:
        keyed = dict(enumerate(parts))
        total = round_half_away(sum(parts, Fraction(0)))

        units = allot(total, keyed)

        assert sum(units.values()) == total
        assert all(abs(units[key] - part) < 1 for key, part in keyed.items())
        assert all(units[key] * part >= 0 for key, part in keyed.items())
        assert all(units[key] == 0 for key, part in keyed.items() if part == 0)

    @settings(deadline=None)
    @given(st.lists(st.fractions(-1000, 1000, max_denominator=12), min_size=1, max_size=40))
    def test_turning_every_sign_turns_every_part(self, parts: list[Fraction]) -> None:
        total = round_half_away(sum(parts, Fraction(0)))

        units = allot(total, dict(enumerate(parts)))
        mirrored = allot(-total, {key: -part for key, part in enumerate(parts)})

        assert mirrored == {key: -unit for key, unit in units.items()}


class TestSplit:
    @settings(deadline=None)
    @given(
        st.integers(-TRILLION, TRILLION),
        st.lists(st.integers(1, TRILLION), min_size=1, max_size=500),
        st.randoms(),
    )
    def test_pennies_are_neither_made_nor_lost(
        self, total: int, weights: list[int], chance: random.Random
    ) -> None:
        keyed = {number: Fraction(weight) for number, weight in enumerate(weights)}
        shuffled = list(keyed.items())
        chance.shuffle(shuffled)
        whole = sum(weights)

        parts = split(total, keyed)

        assert sum(parts.values()) == total
        assert all(abs(parts[key] * whole - total * weight) < whole for key, weight in keyed.items())
        assert all(part * total >= 0 for part in parts.values())
        assert split(total, dict(shuffled)) == parts

    def test_eighty_one_equal_lines_lose_nothing(self) -> None:
        """Rounded one by one, as Autumn did before its fix, the same lines come to something else."""
        total = 10_000
        weights = {f"line {number:02}": Fraction(1) for number in range(81)}

        parts = split(total, weights)

        one_by_one = 81 * round_half_away(Fraction(total, 81))
        assert one_by_one == 9_963
        assert sum(parts.values()) == total
        assert sorted(set(parts.values())) == [123, 124]
        assert [key for key, part in parts.items() if part == 124] == sorted(weights)[:37]

    def test_eighty_one_unequal_lines_keep_their_two_cents(self) -> None:
        """A charge of 40.50 over 81 lines that each lose a fortieth of a cent when they are rounded alone."""
        exact = dict.fromkeys(range(81), Fraction("50.025"))
        total = round_half_away(sum(exact.values(), Fraction(0)))

        parts = allot(total, exact)

        # 81 times 50.025 is 4,052.025; one by one the lines come to 4,050, two cents less.
        assert sum(round_half_away(part) for part in exact.values()) == 4_050
        assert sum(parts.values()) == total == 4_052
        assert [key for key, part in parts.items() if part == 51] == [0, 1]

    @settings(deadline=None)
    @given(
        st.integers(-TRILLION, TRILLION),
        st.lists(st.fractions(-1000, 1000, max_denominator=12), min_size=1, max_size=40),
        st.integers(1, 10**9),
    )
    def test_it_is_the_allotment_of_the_exact_parts_in_whatever_unit_the_weights_are(
        self, total: int, weights: list[Fraction], unit: int
    ) -> None:
        keyed = dict(enumerate(weights))
        whole = sum(weights, Fraction(0))
        assume(whole)

        exact = allot(total, {key: total * weight / whole for key, weight in keyed.items()})

        assert split(total, keyed) == exact
        whole_numbers = {key: int(weight * 27_720 * unit) for key, weight in keyed.items()}
        assert split(total, whole_numbers) == exact

    def test_weights_may_be_quantities_with_a_correction(self) -> None:
        assert split(100, {"a": Fraction(12), "b": Fraction(-2)}) == {"a": 120, "b": -20}

    def test_nothing_to_split_by_is_said(self) -> None:
        assert split(0, {"a": Fraction(0)}) == {"a": 0}
        assert split(0, {}) == {}
        with pytest.raises(UnableToAllot, match="add to zero"):
            split(1, {"a": Fraction(0), "b": Fraction(0)})

    def test_keys_break_ties_whatever_their_kind(self) -> None:
        third = Fraction(1)
        assert split(100, {"c": third, "a": third, "b": third}) == {"c": 33, "a": 34, "b": 33}
        assert split(1, {("eu", "tcp"): third, ("eu", "http"): third}) == {
            ("eu", "tcp"): 0,
            ("eu", "http"): 1,
        }
