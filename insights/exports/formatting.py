"""What a cell of a download looks like: safe to open in a spreadsheet, and exactly reversible. Pure.

A text that a spreadsheet would take for a formula gets one leading apostrophe. Numbers are written by our own
formatter and never touched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import date

# Spreadsheets skip blanks, quotes and separators before they look for a formula. Spelled out instead of \s,
# so that Python and PostgreSQL, which apply the same pattern, cannot disagree on what a space is.
_BLANKS = " \t\r\n\v\f\u00a0\u1680\u2000-\u200d\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
_QUOTES = "\"'`\u00b4\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u00ab\u00bb\u2039\u203a\uff02\uff07"
_SEPARATORS = ";,\uff1b\uff0c"
# = + @ - with their full-width and small twins; the hyphen stands last, where it is not a range.
_STARTS_FORMULA = "=+@\uff1d\uff0b\uff0d\uff20\ufe62\ufe63\ufe66\ufe6b-"
_BREAKS = "\t\r\n"

# A break counts wherever it stands among the skipped ones: so an apostrophe before it is told from one put there.
FORMULA_PATTERN = f"^[{_BLANKS}{_QUOTES}{_SEPARATORS}]*[{_BREAKS}{_STARTS_FORMULA}]"
_formula = re.compile(FORMULA_PATTERN)
_needs_quotes = re.compile(r'[",\r\n]').search


def safe_text(text: str) -> str:
    """Return the text as a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if _formula.match(text) else text


def original_text(cell: str) -> str:
    """Return the text behind a safe cell: the apostrophe goes only where safe_text put it."""
    return cell[1:] if cell.startswith("'") and _formula.match(cell[1:]) else cell


def csv_lines(rows: Iterable[Iterable[str]]) -> Iterator[bytes]:
    """Yield each row as one line in the quoting of RFC 4180, ended by a line feed as PostgreSQL's lines are."""
    for row in rows:
        yield (",".join(map(_quoted, row)) + "\n").encode()


def _quoted(cell: str) -> str:
    # Python's own writer leaves a lone carriage return bare, and readers take it for the end of the line.
    if _needs_quotes(cell):
        return '"' + cell.replace('"', '""') + '"'
    return cell


def column_names(
    *, fixed_before: tuple[str, ...], dimensions: tuple[str, ...], fixed_after: tuple[str, ...]
) -> list[str]:
    """Return the header; a dimension named like one of our own columns is told apart by a prefix."""
    taken = {*fixed_before, *fixed_after}
    return [*fixed_before, *(f"dimension.{key}" if key in taken else key for key in dimensions), *fixed_after]


def file_name(
    *, kind: str, meter_key: str, first_day: date, last_day: date, position: int | None = None
) -> str:
    """Return a plain ASCII name that says what is in the file, and as known at which position; keys are slugs."""
    known = "" if position is None else f"-as-known-at-position-{position}"
    return f"usage-{meter_key}-{kind}-{first_day.isoformat()}-{last_day.isoformat()}{known}.csv"
