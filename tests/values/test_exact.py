"""One text for every exact number, and rounding that treats both signs alike."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights.values.exact import (
    InvalidNumber,
    decimal_of,
    exact_number_text,
    parse_exact_number,
    round_half_away,
)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (Fraction(0), "0"),
        (Fraction(-5), "-5"),
        (Fraction(115, 2), "57.5"),
        (Fraction(1, 1000), "0.001"),
        (Fraction(-1, 8), "-0.125"),
        (Fraction(240, 31), "240/31"),
        (Fraction(-1, 3), "-1/3"),
        (Fraction(10**18), "1000000000000000000"),
        (Fraction(1, 2**30), "0.000000000931322574615478515625"),
        (Fraction(Decimal("1E+3")), "1000"),
        (Fraction(Decimal("0.10")), "0.1"),
    ],
)
def test_a_number_has_one_text(number: Fraction, text: str) -> None:
    assert exact_number_text(number) == text
    assert parse_exact_number(text) == number


@settings(deadline=None)
@given(st.fractions())
def test_a_number_is_read_back_as_it_was(number: Fraction) -> None:
    assert parse_exact_number(exact_number_text(number)) == number


@settings(deadline=None)
@given(st.decimals("-1e18", "1e18", places=12))
def test_what_came_as_a_decimal_is_written_as_one(number: Decimal) -> None:
    text = exact_number_text(Fraction(number))

    assert "/" not in text
    assert Decimal(text) == number


@pytest.mark.parametrize(
    "text",
    ["", "-0", "0.0", "0.10", "01", "+1", "1.", ".5", "1e3", "1/1", "2/4", "10/5", "1/2", "0/3", "-1/-3", "1/0",
     "1/03", "NaN", "Infinity", " 1", "1 ", "1_000", "\u0661", "1,5"],
)  # fmt: skip
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidNumber):
        parse_exact_number(text)


@pytest.mark.parametrize(
    ("number", "nearest"),
    [
        ("0", 0),
        ("0.4", 0),
        ("0.5", 1),
        ("1.5", 2),
        ("2.5", 3),
        ("2.4999999999999999999999999999999999", 2),
        ("-0.4", 0),
        ("-0.5", -1),
        ("-2.5", -3),
        ("1000000000000000000000000000000.5", 10**30 + 1),
    ],
)
def test_a_half_goes_away_from_zero(number: str, nearest: int) -> None:
    assert round_half_away(Fraction(number)) == nearest


@settings(deadline=None)
@given(st.fractions())
def test_rounding_moves_by_a_half_at_most_and_mirrors(number: Fraction) -> None:
    assert abs(round_half_away(number) - number) <= Fraction(1, 2)
    assert round_half_away(-number) == -round_half_away(number)


def test_units_of_a_decimal_place_keep_their_zeros() -> None:
    assert str(decimal_of(4920, 2)) == "49.20"
    assert str(decimal_of(1000, 0)) == "1000"
    assert str(decimal_of(-5, 3)) == "-0.005"
    assert str(decimal_of(10**60 + 1, 2)).endswith("000.01")
