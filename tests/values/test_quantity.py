"""Exact text for files, scaled text for screens, exact conversion or none."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights.values.quantity import (
    MINUS,
    THIN_SPACE,
    InexactConversion,
    Scale,
    UnknownConversion,
    convert,
    exact_text,
    exact_with_unit,
    fits,
    grouped_text,
    one_of,
    scale_for,
    scaled,
    units_per,
)

quantities = st.decimals("-9999999999999999999", "9999999999999999999", places=9)


@pytest.mark.parametrize(
    ("quantity", "text"),
    [
        ("0", "0"),
        ("-0.00", "0"),
        ("100", "100"),
        ("1E+3", "1000"),
        ("1E-9", "0.000000001"),
        ("1.500", "1.5"),
        ("-2.50", "-2.5"),
        ("9999999999999999999.999999999", "9999999999999999999.999999999"),
    ],
)
def test_exact_text_has_every_digit_and_no_exponent(quantity: str, text: str) -> None:
    assert exact_text(Decimal(quantity)) == text


@settings(max_examples=300)
@given(quantities)
def test_exact_text_reads_back_as_the_same_number(quantity: Decimal) -> None:
    assert Decimal(exact_text(quantity)) == quantity
    assert fits(quantity)


@pytest.mark.parametrize(
    ("quantity", "unit", "text"),
    [
        ("0", "B", "0 B"),
        ("999", "B", "999 B"),
        ("1000", "B", "1 kB"),
        ("62500000000", "bytes", "62.5 GB"),
        ("999960", "B", "1 MB"),
        ("999940", "B", "999.9 kB"),
        ("1234567890123456789", "B", "1,235 PB"),
        ("-1500", "B", f"{MINUS}1.5 kB"),
        ("999", "requests", "999 requests"),
        ("1234567", "requests", "1.235 M requests"),
        ("1200", "", "1.2 k"),
        ("307012.077", "kWh", "307,012 kWh"),
        ("0.141", "kWh", "0.141 kWh"),
        ("0.000000001", "kWh", "0.000000001 kWh"),
        ("36.5", "hours", "36.5 hours"),
        ("2.34565", "h", "2.346 h"),
    ],
)
def test_a_screen_shows_four_digits_and_a_fitting_unit(quantity: str, unit: str, text: str) -> None:
    assert str(scaled(Decimal(quantity), unit)).replace(THIN_SPACE, " ") == text


def test_the_exact_number_stands_beside_the_scaled_one() -> None:
    assert scaled(Decimal("1234567.5"), "B").exact == "1234567.5 B"


def test_a_column_shares_one_scale() -> None:
    scale = scale_for("B", Decimal(2_000_000))

    assert scale == Scale("MB", 6)
    assert scaled(Decimal(1500), "B", scale=scale).number == "0.0015"


@pytest.mark.parametrize(
    ("unit", "one"),
    [
        ("hours", "hour"), ("bytes", "byte"), ("queries", "query"), ("addresses", "address"), ("boxes", "box"),
        ("series", "series"), ("unit", "unit"), ("GB", "GB"), ("100k units", "100k units"), ("gas", "gas"),
    ],
)  # fmt: skip
def test_one_of_a_unit_is_named_by_its_singular(unit: str, one: str) -> None:
    assert one_of(unit) == one


@pytest.mark.parametrize(
    ("quantity", "unit", "scale", "text"),
    [
        ("1", "hours", None, "1\u202fhour"),
        ("1.5", "hours", None, "1.5\u202fhours"),
        ("0", "hours", None, "0\u202fhours"),
        ("1250000000", "bytes", Scale("GB", 9), "1.25\u202fGB"),
        ("1073741824", "bytes", Scale("GiB", 0, 30), "1\u202fGiB"),
        ("1", "", None, "1"),
    ],
)
def test_every_digit_stands_before_the_unit_it_is_in(
    quantity: str, unit: str, scale: Scale | None, text: str
) -> None:
    assert exact_with_unit(Decimal(quantity), unit, scale) == text


def test_grouping_keeps_every_digit() -> None:
    assert grouped_text(Decimal("-1234567.891")) == f"{MINUS}1,234,567.891"


@pytest.mark.parametrize(
    ("quantity", "factor", "expected"),
    [
        ("1.5", "1000000000", "1500000000"),
        ("0.100000", "0.001", "0.0001"),
        ("9999999999999999999", "1.0", "9999999999999999999"),
        ("0", "0.000000001", "0"),
        ("123456789.123456789", "1000", "123456789123.456789"),
    ],
)
def test_a_conversion_is_exact(quantity: str, factor: str, expected: str) -> None:
    assert convert(Decimal(quantity), Decimal(factor)) == Decimal(expected)


@pytest.mark.parametrize(
    ("quantity", "factor", "too_large"),
    [("9999999999999999999", "10", True), ("0.000000001", "0.1", False)],
)
def test_a_conversion_that_does_not_fit_is_refused(quantity: str, factor: str, too_large: bool) -> None:
    with pytest.raises(InexactConversion) as caught:
        convert(Decimal(quantity), Decimal(factor))

    assert caught.value.too_large is too_large


@pytest.mark.parametrize(
    ("factor", "too_large"),
    [("1" * 90, True), ("0." + "1" * 90, False), ("1e999999", True), ("1e-999999", False)],
)
def test_a_factor_of_any_length_refuses_the_quantity_only(factor: str, too_large: bool) -> None:
    with pytest.raises(InexactConversion) as caught:
        convert(Decimal("1234567890123456789.123456789"), Decimal(factor))

    assert caught.value.too_large is too_large


@settings(max_examples=300)
@given(quantity=quantities, power=st.integers(-9, 9))
def test_what_converts_converts_back(quantity: Decimal, power: int) -> None:
    factor, inverse = Decimal(1).scaleb(power), Decimal(1).scaleb(-power)
    try:
        there = convert(quantity, factor)
    except InexactConversion:
        return

    assert convert(there, inverse) == quantity


@pytest.mark.parametrize(
    ("unit", "larger_unit", "number"),
    [
        ("B", "GB", 10**9),
        ("bytes", "GB", 10**9),
        ("B", "GiB", 2**30),
        ("MB", "GB", 1000),
        ("MiB", "GiB", 1024),
        ("kB", "PB", 10**12),
        ("s", "h", 3600),
        ("min", "hours", 60),
        ("request", "request", 1),
    ],
)
def test_a_unit_says_whether_it_is_decimal_or_binary(unit: str, larger_unit: str, number: int) -> None:
    assert units_per(unit, larger_unit) == number


@pytest.mark.parametrize(
    ("unit", "larger_unit"),
    [
        ("B", "h"),
        ("GB", "B"),
        ("MB", "GiB"),
        ("KiB", "GB"),
        ("B", "gb"),
        ("B", "KB"),
        ("request", "requests"),
    ],
)
def test_units_that_do_not_go_together_are_not_guessed(unit: str, larger_unit: str) -> None:
    with pytest.raises(UnknownConversion):
        units_per(unit, larger_unit)
