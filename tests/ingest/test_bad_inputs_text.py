"""Texts: what cannot be seen is refused, what only looks dangerous is kept as it is."""

from __future__ import annotations

import pytest

from insights.ingest.outcomes import RejectedLine
from insights.ingest.refusals import VALUE_CHARACTERS_MAX, shown
from tests.ingest.deliveries import FORMS, Bare, accepted, body, outcome, parse, refused, row, source


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("field", ["account", "meter", "row_id", "unit", "region"])
@pytest.mark.parametrize(
    "text",
    [
        "a\x00b",
        "a\u202eb",
        "a\u2066b",
        "a\u2069b",
        "a\u200bb",
        "a\u200db",
        "a\x1b[31mb",
        "a\x7fb",
        "a\x85b",
        "a\tb",
        "a\ufeffb",
        "a\u2028b",
        "a\U000e0041b",
        "\tb",
    ],
)
def test_invisible_characters_are_refused(form: str, field: str, text: str) -> None:
    assert refused(form, **{field: text}) == "control_char"


@pytest.mark.parametrize("form", FORMS)
def test_invisible_characters_are_refused_in_ignored_columns_too(form: str) -> None:
    definition = source(ignored=("note",))

    assert refused(form, definition, note="a\x00b") == "control_char"
    assert accepted(form, definition, note="anything, really").row_id == "r1"


@pytest.mark.parametrize("form", ["ndjson", "json"])
@pytest.mark.parametrize("token", [r'{"a": ["b\u0000"]}', r'{"\u0000": 1}'])
def test_nesting_does_not_hide_an_invisible_character(form: str, token: str) -> None:
    assert refused(form, source(ignored=("note",)), note=Bare(token)) == "control_char"


@pytest.mark.parametrize("form", ["ndjson", "json"])
@pytest.mark.parametrize("field", ["account", "row_id", "region"])
def test_half_a_surrogate_pair_is_refused(form: str, field: str) -> None:
    assert refused(form, **{field: Bare(r'"a\ud800"')}) == "encoding"


@pytest.mark.parametrize("form", FORMS)
def test_length_is_counted_in_code_points(form: str) -> None:
    assert refused(form, region="a" + "\u0301" * 200) == "field_too_long"
    assert accepted(form, region="\U0001f600" * 200).dimensions == (("region", "\U0001f600" * 200),)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "text",
    [
        "\U0001f600",
        "\U00020000",
        "=1+1",
        "+cmd",
        "-2+3",
        "@SUM(1)",
        '=HYPERLINK("http://x","y")',
        "=cmd|' /C calc'!A0",
        "\uff1d1+1",
        '"=1',
        ";=1",
        "<script>",
        '"><img src=x onerror=alert(1)>',
        "{{7*7}}",
        "{% x %}",
        "'; DROP TABLE--",
        "%",
        "_",
        "back\\slash",
        "../..",
        "C:\\",
        "file://",
        "null",
        "None",
        "undefined",
        "N/A",
        "true",
        "a b",
    ],
)
def test_text_stays_text(form: str, text: str) -> None:
    found = accepted(form, region=text, row_id=text)

    assert found.dimensions == (("region", text),)
    assert found.row_id == text


@pytest.mark.parametrize("form", FORMS)
def test_replacement_characters_are_taken_and_counted(form: str) -> None:
    parsed = parse(body(form, [row(region="a\ufffdb")]), form=form)

    if form == "csv":
        assert parsed.replacement_characters == 1
    assert parsed.accepted[0].dimensions == (("region", "a\ufffdb"),)


@pytest.mark.parametrize("form", FORMS)
def test_a_refused_value_is_shown_short_and_harmless(form: str) -> None:
    found = outcome(form, row_id="\x1b[31m" + "x" * 1000)

    assert isinstance(found, RejectedLine)
    assert len(found.value) <= VALUE_CHARACTERS_MAX
    assert found.value.isprintable()


def test_shown_escapes_what_cannot_be_stored_or_seen() -> None:
    assert shown("a\x00\u202e\ud800\U000e0001b") == "a\\x00\\u202e\\ud800\\U000e0001b"
