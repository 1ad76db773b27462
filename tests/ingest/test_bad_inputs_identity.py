"""Accounts, meters, units, ids and dimensions: what is unknown, foreign or misspelt is refused."""

from __future__ import annotations

from decimal import Decimal

import pytest

from insights.ingest.outcomes import RejectedLine
from insights.ingest.source_definition import UnitConversion
from tests.ingest.deliveries import FORMS, Bare, accepted, body, outcome, parse, refused, row, source

BOUND = source(account_id=1)
JSON_FORMS = ("ndjson", "json")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"meter": "absent"}, "unknown_meter"),
        ({"meter": ""}, "missing_field"),
        ({"meter": "retired", "window_start": "2026-11-10T00:00:00Z"}, "meter_retired"),
        ({"unit": "GiB"}, "bad_unit"),
        ({"unit": "b"}, "bad_unit"),
        ({"account": "absent"}, "unknown_account"),
        ({"account": "Ansel"}, "unknown_account"),
        ({"account": ""}, "missing_field"),
        ({"account": " ansel"}, "field_format"),
        ({"account": "closed", "window_start": "2026-11-10T00:00:00Z"}, "account_closed"),
        ({"row_id": ""}, "missing_field"),
        ({"row_id": "   "}, "missing_field"),
        ({"row_id": "x" * 201}, "field_too_long"),
        ({"row_id": " r1"}, "field_format"),
        ({"row_id": "r1 "}, "field_format"),
        ({"row_id": "r1\u00a0"}, "field_format"),
        ({"meter": "daily", "window_start": "2026-11-22T00:00:00Z", "region": "eu"}, "unknown_field"),
        ({"region": "  "}, "field_format"),
        ({"region": "eu "}, "field_format"),
    ],
)
def test_a_wrong_reference_is_refused(form: str, changes: dict[str, object], code: str) -> None:
    assert refused(form, **changes) == code


@pytest.mark.parametrize("form", FORMS)
def test_usage_before_an_end_is_accepted(form: str) -> None:
    assert accepted(form, account="closed", window_start="2026-11-09T23:00:00Z").account_id == 3
    assert accepted(form, meter="retired", window_start="2026-11-09T23:00:00Z").meter_id == 12


@pytest.mark.parametrize("form", FORMS)
def test_an_unknown_account_is_kept_to_be_tried_again(form: str) -> None:
    found = outcome(form, account="absent")

    assert isinstance(found, RejectedLine)
    assert (found.account_id, found.account_reference, found.retryable) == (None, "absent", True)
    assert found.raw is not None


@pytest.mark.parametrize("form", FORMS)
def test_a_rejected_line_belongs_to_its_account(form: str) -> None:
    found = outcome(form, quantity="many")

    assert isinstance(found, RejectedLine)
    assert (found.account_id, found.field, found.value) == (1, "quantity", "many")


@pytest.mark.parametrize("form", FORMS)
def test_a_bound_source_cannot_tell_foreign_accounts_from_absent_ones(form: str) -> None:
    foreign = outcome(form, BOUND, account="brook")
    absent = outcome(form, BOUND, account="broom")

    assert isinstance(foreign, RejectedLine)
    assert isinstance(absent, RejectedLine)
    assert foreign.code == "forbidden_account"
    assert foreign._replace(value="", raw=None) == absent._replace(value="", raw=None)
    assert (foreign.account_id, foreign.account_reference) == (1, None)


@pytest.mark.parametrize("form", FORMS)
def test_a_bound_source_needs_no_account(form: str) -> None:
    assert accepted(form, BOUND, account=None).account_id == 1
    assert accepted(form, BOUND).account_id == 1


@pytest.mark.parametrize("form", FORMS)
def test_a_declared_conversion_is_exact_and_the_only_one(form: str) -> None:
    definition = source(conversions={"bytes_out": UnitConversion("GB", Decimal(10**9))})

    assert accepted(form, definition, quantity="1.5").quantity == 1_500_000_000
    assert accepted(form, definition, quantity="1.5", unit="GB").quantity == 1_500_000_000
    assert accepted(form, definition, quantity="1.5", unit="B").quantity == Decimal("1.5")
    assert refused(form, definition, quantity="1.5", unit="GiB") == "bad_unit"
    assert refused(form, definition, quantity="99999999999", unit="GB") == "precision_exceeded"


@pytest.mark.parametrize("form", FORMS)
def test_a_conversion_that_loses_digits_is_refused(form: str) -> None:
    definition = source(conversions={"bytes_out": UnitConversion("mB", Decimal("0.001"))})

    assert accepted(form, definition, quantity="0.100000").quantity == Decimal("0.0001")
    assert refused(form, definition, quantity="0.0000001") == "scale_exceeded"


@pytest.mark.parametrize("form", FORMS)
def test_ids_are_case_sensitive_and_opaque(form: str) -> None:
    ids = [
        "A1",
        "a1",
        "{12345678-1234-1234-1234-123456789012}",
        "12345678-1234-1234-1234-123456789012",
        "12345678123412341234123456789012",
        "urn:uuid:12345678-1234-1234-1234-123456789012",
    ]

    parsed = parse(body(form, [row(row_id=row_id) for row_id in ids]), form=form)

    assert [line.row_id for line in parsed.accepted] == ids


@pytest.mark.parametrize("form", FORMS)
def test_two_spellings_of_one_id_are_one_id(form: str) -> None:
    found = accepted(form, account="cafe\u0301", row_id="e\u0301", region="e\u0301")

    assert (found.account_id, found.row_id) == (4, "\u00e9")
    assert found.dimensions == (("region", "\u00e9"),)


@pytest.mark.parametrize("form", FORMS)
def test_dimensions_are_sorted_and_absent_ones_left_out(form: str) -> None:
    assert accepted(form, region="eu", protocol="http").dimensions == (("protocol", "http"), ("region", "eu"))
    assert accepted(form, region="eu", protocol="").dimensions == (("region", "eu"),)
    assert accepted(form).dimensions == ()


@pytest.mark.parametrize("form", JSON_FORMS)
@pytest.mark.parametrize("token", ["null", "5", "true", "{}", "[]", '{"a": 1}'])
def test_a_dimension_is_a_text(form: str, token: str) -> None:
    assert refused(form, region=Bare(token)) == "shape"


@pytest.mark.parametrize("form", JSON_FORMS)
@pytest.mark.parametrize("field", ["account", "meter", "row_id", "unit"])
def test_an_id_is_a_text(form: str, field: str) -> None:
    assert refused(form, **{field: Bare("5")}) == "shape"


@pytest.mark.parametrize("form", JSON_FORMS)
def test_an_unknown_name_in_a_row_is_refused(form: str) -> None:
    found = outcome(form, currency="EUR")

    assert isinstance(found, RejectedLine)
    assert (found.code, found.field) == ("unknown_field", "currency")


@pytest.mark.parametrize("form", FORMS)
def test_a_batch_revision_counts_where_the_row_has_none(form: str) -> None:
    data = body(form, [row(revision=""), row(revision="2")])

    parsed = parse(data, form=form, batch_revision=7)

    assert [line.revision for line in parsed.accepted] == [7, 2]
