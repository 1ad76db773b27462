"""Every row that is wrong, or only looks wrong, with the one answer it gets; and files that hold them all.

The numbers are those of the catalogue of bad inputs. A case changes a good row in one place, or is a whole line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from unicodedata import normalize

from tests.ingest.deliveries import FORMS, Bare

CSV = ("csv",)
JSON_FORMS = ("ndjson", "json")
COLUMNS = (
    "account", "meter", "window_start", "window_end", "quantity", "unit", "revision", "row_id", "region",
)  # fmt: skip
GOOD = {
    "account": "ansel",
    "meter": "bytes_out",
    "window_start": "2026-11-23T10:00:00Z",
    "quantity": "5",
    "region": "eu",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row. `code` None means that it is taken, with `quantity`; `line` stands in place of a changed row."""

    number: str
    code: str | None
    field: str = ""
    changes: dict[str, object] | None = None
    line: str | None = None
    forms: tuple[str, ...] = FORMS
    source: str = "edge"
    quantity: Decimal = Decimal(5)


def wrong(number: str, code: str, *values: object, field: str, **options: object) -> list[Case]:
    """Cases that put each of the values into one field, and are refused for it."""
    return [
        Case(number=number, code=code, field=field, changes={field: value}, **options)  # type: ignore[arg-type]
        for value in values
    ]


def right(number: str, *values: object, field: str, **options: object) -> list[Case]:
    """Cases that put each of the values into one field, and are taken."""
    return [
        Case(number=number, code=None, changes={field: value}, **options)  # type: ignore[arg-type]
        for value in values
    ]


def changed(number: str, code: str | None, field: str = "", **changes: object) -> Case:
    """A case that changes several fields at once."""
    return Case(number=number, code=code, field=field, changes=changes)


def at(source: str, number: str, code: str | None, field: str, start: str, end: str = "") -> Case:
    """A window written for another source's clock."""
    changes: dict[str, object] = {"window_start": start, "window_end": end}
    if source == "days":
        changes |= {"meter": "daily", "region": ""}
    return Case(number=number, code=code, field=field, changes=changes, source=source)


def exact(number: str, *texts: str) -> list[Case]:
    """Quantities that are taken digit by digit, written as text and as a bare JSON number."""
    return [
        Case(number=number, code=None, changes={"quantity": value}, quantity=Decimal(text), forms=forms)
        for text in texts
        for value, forms in ((text, FORMS), (Bare(text), JSON_FORMS))
    ]


NUMBERS = [
    *wrong("B2", "number_not_finite", "NaN", "sNaN", "inf", "-Infinity", field="quantity"),
    *wrong("B3", "number_not_finite", Bare("1e400"), Bare("-1e400"), field="quantity", forms=JSON_FORMS),
    *wrong("B4", "precision_exceeded", "1e400", field="quantity"),
    *wrong("B5", "scale_exceeded", "1e-400", field="quantity"),
    *wrong("B5", "scale_exceeded", Bare("1e-400"), field="quantity", forms=JSON_FORMS),
    *wrong("B6", "number_format", "1e3", "1E+3", "0e0", field="quantity"),
    *wrong("B6", "number_format", Bare("1e3"), field="quantity", forms=JSON_FORMS),
    *exact("B7", "0.1"),
    *exact("B8", "9007199254740993", "9007199254740993.0"),
    *wrong("B9", "scale_exceeded", "0.30000000000000004", field="quantity"),
    *wrong("B9", "scale_exceeded", Bare("0.30000000000000004"), field="quantity", forms=JSON_FORMS),
    *wrong("B10", "scale_exceeded", "1.0000000001", field="quantity"),
    *wrong("B11", "precision_exceeded", str(10**30), str(10**19), field="quantity"),
    *wrong("B11", "precision_exceeded", Bare(str(10**30)), field="quantity", forms=JSON_FORMS),
    *exact("B12", "9223372036854775808", "9999999999999999999.999999999"),
    *wrong("B13", "negative_not_allowed", "-1", "-0.000000001", field="quantity"),
    Case(
        number="B14",
        code=None,
        changes={"meter": "corrections", "quantity": "-1", "region": ""},
        quantity=Decimal(-1),
    ),
    *exact("B15", "-0", "-0.0"),
    *exact("B16", "0", "0.000"),
    *wrong("B17", "number_format", "1_000", field="quantity"),
    *wrong("B18", "number_format", "\uff11\uff12", "\u0663", field="quantity"),
    *wrong("B19", "number_format", " 1 ", "1\u00a0", "+5", field="quantity"),
    *wrong("B20", "number_format", "1,5", "1.000,5", "1'000", field="quantity"),
    *wrong("B21", "number_format", "0x10", "0b1", "1/2", "\u00bd", field="quantity"),
    *wrong("B22", "number_format", "true", "false", "null", field="quantity"),
    *wrong("B22", "number_format", Bare("true"), Bare("[]"), Bare("{}"), field="quantity", forms=JSON_FORMS),
    *wrong("B22", "missing_field", "", field="quantity"),
    *wrong("B22", "missing_field", Bare("null"), field="quantity", forms=JSON_FORMS),
    *wrong("B23", "number_format", "007", "1.", ".5", "00", "-", "--1", field="quantity"),
    *wrong("E19", "number_format", "1.23E+10", "1,234.00", "######", "#REF!", field="quantity"),
    *wrong("D15", "number_format", "-1", "0", "1.5", "two", "01", field="revision"),
    *wrong("D15", "precision_exceeded", str(2**31), str(2**63), field="revision"),
]

TIMES = [
    *wrong("C1", "timestamp_format", "2026-01-01", field="window_start"),
    *wrong("C2", "timestamp_naive", "2026-01-01T00:00:00", field="window_start"),
    *wrong("C3", "timestamp_format", "2026-W01-1", field="window_start"),
    *wrong(
        "C4",
        "timestamp_format",
        "20260101T000000Z",
        "2026-01-01 00:00:00Z",
        "2026-01-01t00:00:00Z",
        "2026-01-01T00:00:00z",
        field="window_start",
    ),
    *wrong("C5", "timestamp_format", "2026-06-30T23:59:60Z", field="window_start"),
    *wrong("C6", "timestamp_format", "2026-01-01T24:00:00Z", field="window_start"),
    *wrong(
        "C7",
        "timestamp_format",
        "2026-11-23T10:00:00.1234567Z",
        "2026-11-23T10:00:00.123456789Z",
        field="window_start",
    ),
    *wrong("C8", "timestamp_format", "2026-11-23T10:00:00,5Z", field="window_start"),
    *wrong("C9", "timestamp_format", "\uff12026-11-23T10:00:00Z", field="window_start"),
    *wrong("C10", "timestamp_format", "2026-11-23T10:00:00\u221202:00", field="window_start"),
    *wrong(
        "C11",
        "timestamp_format",
        "2026-11-23T10:00:00+25:00",
        "2026-11-23T10:00:00-00:00",
        field="window_start",
    ),
    *right(
        "C11",
        "2026-11-24T00:00:00+14:00",
        "2026-11-23T11:00:00+01:00",
        "2026-11-23T15:30:00+05:30",
        field="window_start",
    ),
    *wrong(
        "C12",
        "timestamp_format",
        "2026-02-30T00:00:00Z",
        "2025-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        field="window_start",
    ),
    *wrong("C13", "timestamp_too_old", "0001-01-01T00:00:00Z", field="window_start"),
    *wrong("C13", "timestamp_future", "9999-12-31T23:00:00Z", field="window_start"),
    *wrong("C13", "timestamp_format", "10000-01-01T00:00:00Z", "-2026-01-01T00:00:00Z", field="window_start"),
    *wrong(
        "C14", "timestamp_format", "1767225600", "1767225600000", "1767225600000000", field="window_start"
    ),
    *wrong("C14", "timestamp_format", Bare("1767225600"), field="window_start", forms=JSON_FORMS),
    *wrong("C15", "timestamp_future", "2026-11-23T13:00:00Z", field="window_start"),
    *wrong("C16", "timestamp_future", "2062-01-01T00:00:00Z", field="window_start"),
    *wrong("C17", "timestamp_too_old", "2026-10-19T11:00:00Z", field="window_start"),
    *right("C17", "2026-10-19T12:00:00Z", field="window_start"),
    changed("C20", "window_inverted", "window_end", window_end="2026-11-23T10:00:00Z"),
    changed("C20", "window_inverted", "window_end", window_end="2026-11-23T09:00:00Z"),
    changed(
        "C21",
        "window_misaligned",
        "window_start",
        window_start="2026-11-23T10:07:00Z",
        window_end="2026-11-23T11:07:00Z",
    ),
    changed("C21", "window_misaligned", "window_end", window_end="2026-11-23T12:00:00Z"),
    at("days", "C22", None, "", "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"),
    at(
        "days",
        "C23",
        "window_misaligned",
        "window_end",
        "2026-10-25T00:00:00+02:00",
        "2026-10-25T23:00:00+01:00",
    ),
    at("days", "C24", None, "", "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"),
    at("berlin", "C25", None, "", "2026-03-29T02:00:00+01:00"),
    at("berlin", "C25", "timestamp_nonexistent", "window_start", "2026-03-29T02:00:00"),
    at("berlin", "C26", None, "", "2026-10-25T02:00:00+02:00"),
    at("berlin", "C26", None, "", "2026-10-25T02:00:00+01:00"),
    at("berlin", "C26", "timestamp_ambiguous", "window_start", "2026-10-25T02:00:00"),
    *right("C29", "2026-11-23T09:00:00Z", "2026-11-23T08:00:00Z", field="window_start"),
    *wrong("E20", "timestamp_format", "01/02/2026", "45292", field="window_start"),
]

REFERENCES = [
    *wrong("D1", "unknown_meter", "absent", field="meter"),
    changed("D2", "meter_retired", "window_start", meter="retired", region=""),
    changed("D2", None, meter="retired", window_start="2026-11-09T23:00:00Z", region=""),
    *wrong("D3", "bad_unit", "GiB", "b", field="unit"),
    *right("D3", "B", field="unit"),
    Case(
        number="D4", code="forbidden_account", field="account", changes={"account": "absent"}, source="bound"
    ),
    Case(
        number="D5", code="forbidden_account", field="account", changes={"account": "brook"}, source="bound"
    ),
    *wrong("D6", "unknown_account", "absent", "Ansel", field="account"),
    *wrong("D6", "missing_field", "", field="account"),
    changed("D7", None, account="closed", window_start="2026-11-09T23:00:00Z"),
    changed("D8", "account_closed", "window_start", account="closed", window_start="2026-11-10T00:00:00Z"),
    *wrong("D9", "missing_field", "", "   ", field="row_id"),
    *wrong("D10", "field_too_long", "x" * 201, "x" * 256, field="row_id"),
    *right("D10", "x" * 200, field="row_id"),
    *right("D16", "A1", "a1", field="row_id"),
    *right("D17", "e\u0301", field="row_id"),
    *wrong("D18", "field_format", " r1", "r1 ", "r1\u00a0", field="row_id"),
    *right(
        "D19",
        "{12345678-1234-1234-1234-123456789012}",
        "urn:uuid:12345678-1234-1234-1234-123456789012",
        "12345678123412341234123456789012",
        "12345678-1234-1234-1234-123456789012",
        field="row_id",
    ),
    changed(
        "D21", "unknown_field", "region", meter="daily", window_start="2026-11-22T00:00:00Z", region="eu"
    ),
    *wrong(
        "D23", "shape", Bare("null"), Bare("5"), Bare("true"), Bare("{}"), field="region", forms=JSON_FORMS
    ),
    *wrong("D24", "unknown_field", "EUR", field="currency", forms=JSON_FORMS),
    *wrong("F14", "field_format", "  ", "eu ", field="region"),
]

INVISIBLE = (
    "a\x00b", "a\u202eb", "a\u2066b", "a\u2069b", "a\u200bb", "a\u200db", "a\x1b[31mb", "a\x7fb", "a\x85b",
    "a\tb", "a\ufeffb", "\t=1",
)  # fmt: skip
HARMLESS = (
    "\U0001f600", "\U00020000", "=1+1", "+cmd", "-2+3", "@SUM(1)", '=HYPERLINK("http://x","y")',
    "=cmd|' /C calc'!A0", "\uff1d1+1", '"=1', ";=1", "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>', "{{7*7}}", "{% x %}", "'; DROP TABLE insights_usagerecord--", "%", "_",
    "back\\slash", "../..", "C:\\", "file://", "javascript:alert(1)", "null", "None", "undefined", "N/A", "true",
    "a\ufffdb",
)  # fmt: skip

TEXTS = [
    *wrong("F1", "control_char", *INVISIBLE, field="region"),
    *wrong("F4", "control_char", *INVISIBLE, field="row_id"),
    *wrong("F5", "control_char", "a\x1b[31mb", field="account"),
    *wrong("F1", "control_char", Bare(r'"a\u0000b"'), field="row_id", forms=JSON_FORMS),
    *wrong("F2", "encoding", Bare(r'"a\ud800"'), field="row_id", forms=JSON_FORMS),
    *wrong("F2", "encoding", Bare(r'"a\udc00b"'), field="region", forms=JSON_FORMS),
    *wrong("F6", "field_too_long", "a" + "\u0301" * 200, field="region"),
    *right("F7", *HARMLESS, field="region"),
    *right("F12", *HARMLESS, field="row_id"),
]

# A whole line in place of a row; {good} is a good line of its own.
LINES = [
    Case(number="E6", code="csv_quote", line='"{good}', forms=CSV),
    Case(number="E7", code="csv_quote", line='ab"c{good}', forms=CSV),
    Case(number="E7", code="csv_quote", line='"ab"c{good}', forms=CSV),
    Case(number="E8", code="csv_quote", line='"ansel', forms=CSV),
    Case(number="E8", code="csv_quote", line='ansel",bytes_out', forms=CSV),
    Case(number="E10", code="column_count", line="ansel,bytes_out", forms=CSV),
    Case(number="E10", code="column_count", line="{good},", forms=CSV),
    Case(number="E10", code="column_count", line="{good},,,,,,", forms=CSV),
    Case(number="E11", code="missing_field", field="account", line=",,,,,,,,", forms=CSV),
    Case(number="E12", code="control_char", field="account", line="a\x00{good}", forms=CSV),
    Case(number="E13", code="field_too_long", line="{good}" + "x" * 200_000, forms=CSV),
    Case(number="A9", code="duplicate_key", field="quantity", line='{"quantity":1,"quantity":9}', forms=JSON_FORMS),
    Case(number="A11", code="shape", line="[]", forms=JSON_FORMS),
    Case(number="A11", code="shape", line="5", forms=JSON_FORMS),
    Case(number="A11", code="shape", line="null", forms=JSON_FORMS),
    Case(number="A2", code="malformed_json", line='{"quantity":', forms=("ndjson",)),
    Case(number="A3", code="malformed_json", line='{"quantity":1}{}', forms=("ndjson",)),
    Case(number="A8", code="too_deep", line='{"a":' * 40 + "1" + "}" * 40, forms=("ndjson",)),
    Case(number="A7", code="too_deep", line="[" * 10_000, forms=("ndjson",)),
    Case(number="B1", code="malformed_json", line='{"quantity":NaN}', forms=("ndjson",)),
    Case(number="A10", code="number_format", field="quantity", line='{"account":"ansel","meter":"bytes_out",'
         '"window_start":"2026-11-23T10:00:00Z","row_id":"x","quantity":' + "9" * 5000 + "}", forms=("ndjson",)),
]  # fmt: skip

CASES = [*NUMBERS, *TIMES, *REFERENCES, *TEXTS, *LINES]


@dataclass(frozen=True, slots=True)
class Delivery:
    """A file and what it must come to: refused lines as (line, code, field), and the records that are stored,
    by row id, as quantity and region.
    """

    body: bytes
    lines: int
    rejects: list[tuple[int, str, str]]
    stored: dict[str, tuple[Decimal, str]]


def delivery(*, source: str, form: str, good_lines: int) -> Delivery:
    """All cases of a source in one file, each followed by its share of good lines."""
    cases = [case for case in CASES if case.source == source and form in case.forms]
    share = good_lines // len(cases)
    lines: list[str] = []
    rejects: list[tuple[int, str, str]] = []
    stored: dict[str, tuple[Decimal, str]] = {}
    usual = _good(source)
    first_line_no = 2 if form == "csv" else 1
    for number, case in enumerate(cases):
        row_id = f"case-{number}"
        if case.code is None:
            sent = usual | {"row_id": row_id} | (case.changes or {})
            stored[normalize("NFC", str(sent["row_id"]))] = (case.quantity, str(sent["region"]))
        else:
            rejects.append((first_line_no + len(lines), case.code, case.field))
        lines.append(_line(case, form, row_id))
        for good in _good_ids(number, share):
            lines.append(_row(usual, form, good))
            stored[good] = (Decimal(5), str(usual["region"]))
    return Delivery(_body(lines, form), len(lines), rejects, stored)


def mended(*, source: str, form: str) -> Delivery:
    """The refused rows of a delivery, each mended and under the id it was refused with."""
    cases = [case for case in CASES if case.source == source and form in case.forms]
    usual = _good(source)
    stored = {
        f"case-{number}": (Decimal(5), str(usual["region"]))
        for number, case in enumerate(cases)
        if case.code is not None
    }
    lines = [_row(usual, form, row_id) for row_id in stored]
    return Delivery(_body(lines, form), len(lines), [], stored)


def _good_ids(number: int, share: int) -> Iterator[str]:
    return (f"good-{number}-{place}" for place in range(share))


def _good(source: str) -> dict[str, object]:
    if source == "days":
        return GOOD | {"meter": "daily", "window_start": "2026-11-22T00:00:00+01:00", "region": ""}
    return dict(GOOD)


def _line(case: Case, form: str, row_id: str) -> str:
    if case.line is not None:
        return case.line.replace("{good}", _row(GOOD, form, row_id)) if form == "csv" else case.line
    return _row(_good(case.source) | (case.changes or {}), form, row_id)


def _row(values: dict[str, object], form: str, row_id: str) -> str:
    values = {"row_id": row_id} | values
    if form == "csv":
        return ",".join(_cell(str(values.get(name, ""))) for name in COLUMNS)
    members = (
        f"{json.dumps(name)}: {value if isinstance(value, Bare) else json.dumps(value)}"
        for name, value in values.items()
    )
    return "{" + ", ".join(members) + "}"


def _cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if "," in text or '"' in text else text


def _body(lines: Sequence[str], form: str) -> bytes:
    if form == "json":
        return ('{"rows": [' + ",\n".join(lines) + "]}").encode()
    header = [",".join(COLUMNS)] if form == "csv" else []
    return "\n".join([*header, *lines, ""]).encode()
