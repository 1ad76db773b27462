"""Numbers that look acceptable to ordinary parsers, with the one answer each gets in every form."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.ingest.deliveries import FORMS, Bare, accepted, outcome, refused, source

TEXTS = [
    ("NaN", "number_not_finite"),
    ("sNaN", "number_not_finite"),
    ("inf", "number_not_finite"),
    ("-Infinity", "number_not_finite"),
    ("1e400", "precision_exceeded"),
    ("1e-400", "scale_exceeded"),
    ("1e3", "number_format"),
    ("1E+3", "number_format"),
    ("0e0", "number_format"),
    ("1.23E+10", "number_format"),
    ("0.30000000000000004", "scale_exceeded"),
    ("1.0000000001", "scale_exceeded"),
    (str(10**30), "precision_exceeded"),
    (str(10**19), "precision_exceeded"),
    ("9" * 5000, "number_format"),
    ("1_000", "number_format"),
    ("\uff11\uff12", "number_format"),
    ("\u0663", "number_format"),
    (" 1 ", "number_format"),
    ("1\u00a0", "number_format"),
    ("+5", "number_format"),
    ("1,5", "number_format"),
    ("1.000,5", "number_format"),
    ("1,234.00", "number_format"),
    ("1'000", "number_format"),
    ("0x10", "number_format"),
    ("0b1", "number_format"),
    ("1/2", "number_format"),
    ("\u00bd", "number_format"),
    ("007", "number_format"),
    ("00", "number_format"),
    ("1.", "number_format"),
    (".5", "number_format"),
    ("-", "number_format"),
    ("--1", "number_format"),
    ("######", "number_format"),
    ("#REF!", "number_format"),
    ("true", "number_format"),
    ("null", "number_format"),
    ("-1", "negative_not_allowed"),
    ("\x001", "control_char"),
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("text", "code"), TEXTS)
def test_a_text_that_is_no_plain_decimal_is_refused(form: str, text: str, code: str) -> None:
    assert refused(form, quantity=text) == code


@pytest.mark.parametrize("form", ["ndjson", "json"])
@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("1e400", "number_not_finite"),
        ("-1e400", "number_not_finite"),
        ("1e-400", "scale_exceeded"),
        ("1e3", "number_format"),
        ("1E+20", "precision_exceeded"),
        ("0.30000000000000004", "scale_exceeded"),
        (str(10**30), "precision_exceeded"),
        ("-1", "negative_not_allowed"),
        ("true", "number_format"),
        ("[]", "number_format"),
        ("{}", "number_format"),
        ("null", "missing_field"),
        ('""', "missing_field"),
    ],
)
def test_a_bare_json_value_is_refused_by_the_same_rules(form: str, token: str, code: str) -> None:
    assert refused(form, quantity=Bare(token)) == code


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "text",
    [
        "0",
        "0.1",
        "9007199254740993",
        "9007199254740993.0",
        "9223372036854775808",
        "0.000000001",
        "9999999999999999999.999999999",
        "1.0",
    ],
)
@pytest.mark.parametrize("is_bare", [True, False])
def test_a_plain_decimal_is_taken_exactly(form: str, text: str, is_bare: bool) -> None:
    found = accepted(form, quantity=Bare(text) if is_bare else text)

    assert found.quantity == Decimal(text)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("text", ["-0", "-0.0", "0.000"])
def test_a_zero_has_no_sign(form: str, text: str) -> None:
    for quantity in (text, Bare(text)):
        found = accepted(form, quantity=quantity)

        assert found.quantity == 0
        assert not found.quantity.is_signed()


@pytest.mark.parametrize("form", FORMS)
def test_a_negative_quantity_is_a_correction_where_the_meter_allows_it(form: str) -> None:
    assert accepted(form, meter="corrections", quantity="-1").quantity == -1


@pytest.mark.parametrize("form", FORMS)
def test_a_missing_quantity_is_named(form: str) -> None:
    found = outcome(form, source(columns={**_columns(), "quantity": "bytes"}), bytes="", quantity=None)

    assert (found.code, found.field) == ("missing_field", "bytes")  # type: ignore[union-attr]


def _columns() -> dict[str, str]:
    return {name: name for name in ("account", "meter", "window_start", "row_id")}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("-1", "number_format"),
        ("0", "number_format"),
        ("1.5", "number_format"),
        ("two", "number_format"),
        ("01", "number_format"),
        ("+1", "number_format"),
        ("\u0661", "number_format"),
        (str(2**31), "precision_exceeded"),
        (str(2**63), "precision_exceeded"),
        ("9" * 5000, "number_format"),
    ],
)
def test_a_revision_is_a_whole_number_from_one(form: str, text: str, code: str) -> None:
    assert refused(form, revision=text) == code


@pytest.mark.parametrize("form", FORMS)
def test_a_revision_may_be_left_out_or_be_a_bare_number(form: str) -> None:
    assert accepted(form, revision="").revision == 1
    assert accepted(form, revision=Bare("3")).revision == 3
    assert accepted(form, source(default_revision=4)).revision == 4
