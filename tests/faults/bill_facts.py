"""What the second calculation of bills is about: lines, credits, stretches of plans, records, and where periods end.

Plain Python and exact fractions; nothing of the product. Edges of periods are looked for hour by hour.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from fractions import Fraction
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
DECIMALS = {"USD": 2, "EUR": 2, "JPY": 0, "KWD": 3}
ZERO = Fraction(0)
Span = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Line:
    """One line; `exact` is what it came to before it was rounded, `paid` the lines that a credit pays a part of."""

    key: str
    kind: str
    minor: int
    metered: Fraction | None = None
    billed: Fraction | None = None
    span: Span | None = None
    price: str = ""
    is_taxed: bool = False
    takes_credit: bool = False
    is_ahead: bool = False
    is_usage: bool = False
    exact: Fraction = ZERO
    paid: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Credit:
    """Money that may be used, with what is left of it."""

    key: str
    left: int
    granted_at: datetime
    expires_at: datetime | None
    priority: int
    covers: tuple[str, ...] | None
    is_before_tax: bool
    is_grant: bool


@dataclass(slots=True)
class Invoice:
    """One invoice: its lines, and what rating it again starts from. `left_out` are fees that came back by that."""

    account: str
    kind: str
    span: Span
    whole: Span
    lines: list[Line]
    total: int
    segments: list[Segment] = field(default_factory=list)
    offers: list[Credit] = field(default_factory=list)
    corrections: list[Line] = field(default_factory=list)
    left_out: set[str] = field(default_factory=set)

    @property
    def place(self) -> tuple[str, str, datetime]:
        return self.account, self.kind, self.span[0]


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a period on one plan or add-on."""

    span: Span
    plan: str
    version: Mapping[str, Any]
    policy: str
    counts: Mapping[str, str]
    is_first: bool
    add_on: str = ""


class Row(NamedTuple):
    """One record of usage."""

    source: str
    meter: str
    dimensions: tuple[tuple[str, str], ...]
    window: datetime
    quantity: Fraction


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def number(text: object) -> Fraction:
    return Fraction(str(text))


def rounded(amount: Fraction) -> int:
    """Half away from zero."""
    whole = (abs(amount) * 2 + 1) // 2
    return int(whole) if amount >= 0 else -int(whole)


def shared_out(total: int, weights: Mapping[str, int]) -> dict[str, int]:
    """Largest remainder, the smaller key first among equals."""
    whole = sum(weights.values())
    exact = {key: Fraction(total * weight, whole) for key, weight in weights.items()} if whole else {}
    parts = {key: (1 if part >= 0 else -1) * int(abs(part)) for key, part in exact.items()}
    sign = 1 if total >= 0 else -1
    by_loss = sorted((sign * (parts[key] - part), key) for key, part in exact.items() if part)
    for _, key in by_loss[: abs(total - sum(parts.values()))]:
        parts[key] += sign
    return parts


def line_key(*parts: str) -> str:
    """What a line is called: its parts, or their digest where one of them has parts itself."""
    if not any(":" in part for part in parts):
        return ":".join(parts)
    digest = sha256("\n".join(f"{len(part)} {part}" for part in parts).encode()).hexdigest()
    return f"{parts[0]}:{digest}"


def share(part: Span, whole: Span) -> Fraction:
    return Fraction(
        (part[1] - part[0]) // timedelta(seconds=1), (whole[1] - whole[0]) // timedelta(seconds=1)
    )


# Periods.


@cache
def edge(zone: str, anchor: date, months: int) -> datetime:
    """The first hour of UTC on or after which the local date is the anchor's day, so many months on."""
    index = anchor.year * 12 + anchor.month - 1 + months
    year, month = divmod(index, 12)
    following = date(year + (month == 11), (month + 1) % 12 + 1, 1)
    day = min(date(year, month + 1, 1) + timedelta(days=anchor.day - 1), following - timedelta(days=1))
    info = ZoneInfo(zone)
    at = datetime.fromisoformat(f"{day.isoformat()}T00:00:00+00:00") - timedelta(hours=30)
    while at.astimezone(info).date() < day:
        at += HOUR
    before = at - 2 * HOUR
    if before.astimezone(info).utcoffset() != at.astimezone(info).utcoffset():
        # Clocks that go back a minute after midnight have it twice; the day begins at the first.
        first = next(
            before + minute * MINUTE
            for minute in range(121)
            if (before + minute * MINUTE).astimezone(info).date() >= day
        )
        at = first + -(first - before) % HOUR
    return at


class Usage:
    """Every record that was sent so far, by account."""

    def __init__(self, meters: Iterable[Mapping[str, Any]]) -> None:
        self.meters = {meter["key"]: meter for meter in meters}
        self.rows: dict[str, dict[tuple[Any, ...], tuple[int, Row]]] = defaultdict(dict)
        # Where something changed since an account was last billed.
        self.changed: dict[str, set[datetime]] = defaultdict(set)

    def deliver(self, source: str, path: Path) -> None:
        with path.open(newline="") as file:
            for cells in csv.DictReader(file):
                named = self.meters[cells["meter"]]["dimensions"]
                dimensions = tuple(sorted((name, cells[name]) for name in named if cells[name]))
                row = Row(
                    source,
                    cells["meter"],
                    dimensions,
                    instant(cells["window_start"]),
                    number(cells["quantity"]),
                )
                known = self.rows[cells["account"]]
                revision = int(cells["revision"])
                if row[:4] not in known or known[row[:4]][0] < revision:
                    known[row[:4]] = (revision, row)
                    self.changed[cells["account"]].add(row.window)

    def of(self, account: str, span: Span) -> dict[str, list[Row]]:
        """The records of a stretch of time, by meter."""
        found: dict[str, list[Row]] = defaultdict(list)
        for _, row in self.rows[account].values():
            if span[0] <= row.window < span[1]:
                found[row.meter].append(row)
        return found

    def quantity(self, meter: str, rows: Iterable[Row]) -> Fraction:
        """What the meter makes of these records."""
        how = self.meters[meter]["aggregation"]
        rows = list(rows)
        if how == "count":
            return Fraction(len(rows))
        if how == "unique_count":
            unique = self.meters[meter]["unique_dimensions"]
            return Fraction(
                len(
                    {
                        (tuple(dict(row.dimensions).get(name) for name in unique), row.window)
                        for row in rows
                        if row.quantity
                    }
                )
            )
        if how in ("max", "latest"):
            series: dict[Any, list[Row]] = defaultdict(list)
            for row in rows:
                series[row.source, row.dimensions].append(row)
            if how == "max":
                return sum((max(row.quantity for row in many) for many in series.values()), ZERO)
            return sum((max(many, key=lambda row: row.window).quantity for many in series.values()), ZERO)
        return sum((row.quantity for row in rows), ZERO)
