"""On which line of a TOML text each field begins, and so where the faults of a plan file are. Pure.

Reads only texts that TOML's own reader has taken: it looks for beginnings and ends, and checks nothing.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from insights.billing.plan_faults import InvalidPlan, PlanFault
from insights.billing.toml_table import parse_toml

Path = tuple[str | int, ...]

_BLANKS = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:\\.|[^"\\])*"|'[^']*'""")
# Longest first: three quotes begin a text of several lines, which may end with two quotes of its own.
_SCALAR = re.compile(
    r'"{3}(?:\\.|[^\\])*?"{3,5}' + r"|'{3}.*?'{3,5}" + r'|"(?:\\.|[^"\\])*"' + r"|'[^']*'" + r"|[^,\]}#\n]+",
    re.DOTALL,
)
_SAID_LINE = re.compile(r"\(at line ([0-9]+), column [0-9]+\)")
_SAID_END = "(at end of document)"


def located(text: str, faults: Iterable[PlanFault]) -> tuple[PlanFault, ...]:
    """The faults of the text, each with the line of its field, or of the table that lacks it.

    A fault of which the text does not tell the line has none.
    """
    try:
        values = parse_toml(text)
        lines = line_numbers(text)
    except InvalidPlan as error:
        said = _said_line(str(error), text)
        return tuple(replace(fault, line=said) for fault in faults)
    except RecursionError:
        return tuple(faults)
    return tuple(replace(fault, line=_line_of(_path_of(fault, values), lines)) for fault in faults)


def _said_line(message: str, text: str) -> int | None:
    """The line that TOML's own reader names."""
    if match := _SAID_LINE.search(message):
        return int(match[1])
    return text.count("\n") + 1 if _SAID_END in message else None


def _line_of(path: Path | None, lines: Mapping[Path, int]) -> int | None:
    if path is None:
        return None
    known = (path[:length] for length in range(len(path), 0, -1))
    return next((lines[each] for each in known if each in lines), 1)


def _path_of(fault: PlanFault, values: Mapping[str, Any]) -> Path | None:
    """Where a fault's table and field stand, from words such as `price out, cell 2, tier 1`."""
    head, *rest = fault.table.split(", ")
    path = _head_path(head, values)
    if path is None:
        return None
    for part in rest:
        name, _, number = part.partition(" ")
        path += (f"{name}s", int(number) - 1) if number.isascii() and number.isdigit() else (name,)
    return (*path, fault.field) if fault.field else path


def _head_path(head: str, values: Mapping[str, Any]) -> Path | None:
    if head in ("plan", "version"):
        return () if head == "plan" else ("version",)
    key = head.removeprefix("price ")
    number = key.removeprefix("number ")
    if number != key and number.isascii() and number.isdigit():
        return ("prices", int(number) - 1)
    prices = values.get("prices")
    rows = prices if isinstance(prices, list) else []
    found = [place for place, row in enumerate(rows) if isinstance(row, dict) and row.get("key") == key]
    # Of two prices with one key, the words do not say which.
    return ("prices", found[0]) if len(found) == 1 else None


def line_numbers(text: str) -> dict[Path, int]:
    """The line, from 1, on which each field, table and element of a list begins."""
    reader = _Reader(text, starts=[match.end() for match in re.finditer("\n", text)])
    reader.read()
    return reader.lines


@dataclass(slots=True)
class _Reader:
    """A place in the text, and what was found before it."""

    text: str
    starts: list[int]
    at: int = 0
    lines: dict[Path, int] = field(default_factory=dict)
    # The number of the last table of each list of tables that has headers of its own.
    last: dict[Path, int] = field(default_factory=dict)

    def read(self) -> None:
        base: Path = ()
        while self.skip_blanks():
            if self.text.startswith("[", self.at):
                base = self.read_header()
            else:
                self.read_pair(base)

    def skip_blanks(self) -> str:
        """Go on to the next thing that counts, and show its first character; empty at the end."""
        match = _BLANKS.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return self.text[self.at : self.at + 1]

    def read_header(self) -> Path:
        depth = 2 if self.text.startswith("[[", self.at) else 1
        start, self.at = self.at, self.at + depth
        keys = self.read_keys()
        self.at += depth
        path: Path = ()
        for number, key in enumerate(keys, 1):
            path = (*path, key)
            if depth == 2 and number == len(keys):
                self.last[path] = self.last.get(path, -1) + 1
            if path in self.last:
                self.note(start, path)
                path = (*path, self.last[path])
        self.note(start, path)
        return path

    def note(self, place: int, path: Path) -> None:
        self.lines.setdefault(path, bisect_right(self.starts, place) + 1)

    def read_pair(self, base: Path) -> None:
        self.skip_blanks()
        start = self.at
        path = (*base, *self.read_keys())
        self.note(start, path)
        self.at += 1
        self.read_value(path)

    def read_keys(self) -> list[str]:
        keys: list[str] = []
        while True:
            self.skip_blanks()
            match = _KEY.match(self.text, self.at)
            if match is None:
                return keys
            self.at = match.end()
            keys.append(_plain(match[0]))
            if self.skip_blanks() != ".":
                return keys
            self.at += 1

    def read_value(self, path: Path) -> None:
        first = self.skip_blanks()
        self.note(self.at, path)
        if first == "[":
            self.read_list(path)
        elif first == "{":
            self.read_inline_table(path)
        else:
            match = _SCALAR.match(self.text, self.at)
            self.at = match.end() if match else self.at + 1

    def read_list(self, path: Path) -> None:
        self.at += 1
        number = 0
        while self.skip_blanks() not in ("]", ""):
            self.read_value((*path, number))
            number += 1
            self.at += self.skip_blanks() == ","
        self.at += 1

    def read_inline_table(self, path: Path) -> None:
        self.at += 1
        while self.skip_blanks() not in ("}", ""):
            self.read_pair(path)
            self.at += self.skip_blanks() == ","
        self.at += 1


def _plain(key: str) -> str:
    """A key as it is meant: with escapes resolved when it stands in quotes."""
    return key if key[0] not in "\"'" else str(tomllib.loads(f"key = {key}")["key"])
