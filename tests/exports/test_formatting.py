"""A cell is safe to open, and the text behind it can be had back exactly."""

from __future__ import annotations

import csv
import io
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insights.exports.formatting import column_names, csv_lines, file_name, original_text, safe_text

FULL_WIDTH = "\uff1d\uff0b\uff0d\uff20"
DANGEROUS = [
    "=1+1",
    "+cmd",
    "-2+3",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    "\tplain",
    '=HYPERLINK("http://x","y")',
    "=cmd|' /C calc'!A0",
    f"{FULL_WIDTH[0]}1+1",
    f"{FULL_WIDTH[1]}1",
    f"{FULL_WIDTH[2]}1",
    f"{FULL_WIDTH[3]}SUM(1)",
    " =1",
    '"=1',
    "'=1",
    ";=1",
    "\u00a0=1",
    "\u3000\u201c=1",
    "''=1",
]
HARMLESS = [
    "",
    "eu-west",
    "api.example.com",
    "'quoted'",
    "a=1",
    "1-2",
    "caf\u00e9",
    "\u6771\u4eac",
    "null",
    "; x",
]


@pytest.mark.parametrize("text", DANGEROUS)
def test_what_a_spreadsheet_would_run_gets_one_apostrophe_and_gives_it_back(text: str) -> None:
    assert safe_text(text) == f"'{text}"
    assert original_text(safe_text(text)) == text


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_harmless_stays_as_it_is(text: str) -> None:
    assert safe_text(text) == original_text(text) == text


@given(st.text(alphabet="=+-@'\"; \ta1\uff1d", max_size=6) | st.text())
def test_every_text_comes_back_and_none_begins_like_a_formula(text: str) -> None:
    cell = safe_text(text)

    assert original_text(cell) == text
    assert cell.lstrip(" \t\r\n\"'`;,")[:1] not in set("=+-@") or cell.startswith("'")


@given(st.lists(st.lists(st.text(alphabet='ab",\n\r; ', max_size=8), min_size=2, max_size=2), max_size=4))
def test_lines_are_read_back_by_any_csv_reader(rows: list[list[str]]) -> None:
    text = b"".join(csv_lines(rows)).decode()

    assert list(csv.reader(io.StringIO(text, newline=""))) == rows


def test_a_dimension_named_like_one_of_our_columns_is_told_apart() -> None:
    names = column_names(fixed_before=("meter",), dimensions=("region", "unit"), fixed_after=("unit",))

    assert names == ["meter", "region", "dimension.unit", "unit"]


def test_the_file_says_what_is_in_it() -> None:
    name = file_name(
        kind="records", meter_key="bytes_out", first_day=date(2026, 11, 1), last_day=date(2026, 11, 30)
    )

    assert name == "usage-bytes_out-records-2026-11-01-2026-11-30.csv"
