"""Reading one TOML table field by field, every fault kept: what is missing, of a wrong type, or not a field at all.

Numbers are texts of digits or whole numbers. A float has lost digits before anybody sees it and is refused.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from insights.billing.plan_faults import InvalidPlan, PlanFault
from insights.rating.figures import InvalidTerms, check_amount
from insights.values.period import YEAR_FIRST, YEAR_LAST

TEXT_CHARACTERS_MAX = 200_000
_NUMBER_CHARACTERS_MAX = 60
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?", re.ASCII)
_KEY = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}", re.ASCII)


@dataclass(frozen=True, slots=True)
class FloatText:
    """A TOML float as it was written."""

    text: str


def parse_toml(text: str) -> dict[str, Any]:
    """The document, or InvalidPlan; hostile nesting and endless numbers are no TOML either."""
    if len(text) > TEXT_CHARACTERS_MAX:
        raise InvalidPlan([PlanFault("the file", "", "too_large", "is too large for the prices of a plan")])
    try:
        return tomllib.loads(text, parse_float=FloatText)
    except RecursionError:
        reason = "tables or lists are nested too deeply"
    except ValueError as error:
        reason = str(error)[:200]
    raise InvalidPlan([PlanFault("the file", "", "not_toml", f"is not TOML: {reason}")])


@dataclass(slots=True)
class TomlTable:
    """One table, its name in messages, and the faults of the whole document, to which it adds its own."""

    values: Mapping[str, Any]
    name: str
    faults: list[PlanFault]
    known: set[str] = field(default_factory=set)

    def fault(self, name: str, code: str, message: str) -> None:
        """Keep a fault of a field of this table."""
        self.faults.append(PlanFault(self.name, name, code, message))

    def has(self, name: str) -> bool:
        """Whether the field is written."""
        return name in self.values

    def refuse_unknown(self) -> None:
        """Keep a fault for each field that nobody asked for."""
        for name in self.values:
            if name not in self.known:
                self.fault(_shown(name), "unknown_field", "is not a field here")

    def get(self, name: str, kind: type | tuple[type, ...], what: str, *, required: bool = False) -> Any:
        """The field if it is of the kind; None, and a fault, if it is not or is required and absent."""
        self.known.add(name)
        if name not in self.values:
            if required:
                self.fault(name, "missing", f"is missing; write {what}")
            return None
        value = self.values[name]
        if isinstance(value, bool) and kind is not bool:
            self.fault(name, "wrong_type", f"must be {what}")
            return None
        if not isinstance(value, kind):
            self.fault(name, "wrong_type", f"must be {what}")
            return None
        return value

    def text(self, name: str, *, longest: int, required: bool = False) -> str:
        """One line of printable text; empty when absent."""
        value: str | None = self.get(name, str, "text in quotes", required=required)
        if value is None:
            return ""
        if required and not value.strip():
            self.fault(name, "missing", "must not be empty")
        elif len(value) > longest:
            self.fault(name, "too_long", f"may have at most {longest} characters")
        elif not value.isprintable():
            self.fault(name, "not_printable", "holds a character that cannot be seen")
        else:
            return value
        return ""

    def key(self, name: str, *, required: bool = False) -> str:
        """A short name for addresses and commands; empty when absent."""
        value = self.text(name, longest=60, required=required)
        if value and not _KEY.fullmatch(value):
            self.fault(name, "not_a_key", "may have lower-case letters, digits, - and _ only")
            return ""
        return value

    def flag(self, name: str, *, absent: bool) -> bool:
        """True or false."""
        value = self.get(name, bool, "true or false")
        return absent if value is None else bool(value)

    def choice(self, name: str, choices: Collection[str], *, absent: str = "", required: bool = False) -> str:
        """One of the words."""
        words = ", ".join(choices)
        value = self.get(name, str, f"one of {words}", required=required)
        if value is None:
            return absent
        if value not in choices:
            self.fault(name, "not_a_choice", f"must be one of {words}")
            return absent
        return str(value)

    def whole(self, name: str, *, absent: int, most: int) -> int:
        """A whole number from zero to `most`."""
        value = self.get(name, int, "a whole number")
        if value is None:
            return absent
        if not 0 <= value <= most:
            self.fault(name, "out_of_range", f"must be from 0 to {most}")
            return absent
        return int(value)

    def number(self, name: str, *, required: bool = False) -> Decimal | None:
        """An exact number of zero or more, as text or whole; None when absent or faulty."""
        self.known.add(name)
        value = self.values.get(name)
        if isinstance(value, FloatText):
            self.fault(
                name, "float", f'is a float; write it in quotes, "{value.text[:40]}", so that it stays exact'
            )
            return None
        value = self.get(name, (str, int), 'a number in quotes, such as "0.10"', required=required)
        if value is None:
            return None
        text = str(value) if isinstance(value, str) or abs(value) < 10**30 else "too large"
        if len(text) > _NUMBER_CHARACTERS_MAX or not _NUMBER.fullmatch(text):
            self.fault(name, "not_a_number", 'must be digits with at most one point, such as "0.10"')
            return None
        number = Decimal(text)
        try:
            check_amount(name, number)
        except InvalidTerms as error:
            self.fault(name, "out_of_range", str(error).removeprefix(f"{name} "))
            return None
        return abs(number)

    def instant(self, name: str, *, required: bool = False) -> datetime | None:
        """A date and time with its distance from UTC, to the second; None when absent or faulty."""
        what = "a date and time with its offset and without quotes, such as 2026-11-01T00:00:00Z"
        value: datetime | None = self.get(name, datetime, what, required=required)
        if value is None:
            return None
        if value.tzinfo is None:
            self.fault(name, "no_zone", f"says no offset; write {what}")
        elif not YEAR_FIRST <= value.year <= YEAR_LAST:
            self.fault(name, "out_of_range", f"must be in the years {YEAR_FIRST} to {YEAR_LAST}")
        elif value.microsecond:
            self.fault(name, "not_whole_seconds", "must be in whole seconds")
        else:
            return value.astimezone(UTC)
        return None

    def texts(self, name: str, *, longest: int = 200) -> tuple[str, ...] | None:
        """A list of printable texts; None when absent or faulty."""
        values: list[Any] | None = self.get(name, list, "a list of texts")
        if values is None:
            return None
        if not all(isinstance(each, str) and each.isprintable() and len(each) <= longest for each in values):
            self.fault(name, "wrong_type", f"must be a list of texts of at most {longest} characters")
            return None
        return tuple(values)

    def table(self, name: str, title: str, *, required: bool = False) -> TomlTable | None:
        """A table inside this one."""
        values = self.get(name, dict, "a table", required=required)
        return None if values is None else TomlTable(values, title, self.faults)

    def tables(self, name: str, *, required: bool = False) -> list[Mapping[str, Any]]:
        """A list of tables, as they are; empty when absent or faulty."""
        values: list[Any] | None = self.get(name, list, "a list of tables", required=required)
        if values is None:
            return []
        if not all(isinstance(each, dict) for each in values):
            self.fault(name, "wrong_type", "must be a list of tables")
            return []
        return values


def _shown(name: str) -> str:
    return name[:60] if name.isprintable() else ascii(name[:60])
