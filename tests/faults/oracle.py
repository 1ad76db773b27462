"""What the books must hold, worked out from the files alone: plain Python, exact decimals, nothing of the product.

Lines are read again by rules of its own. The only thing taken from the database is the order in which stretches of
files were committed, because where two contents of one revision meet, the first one stays.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

WINDOW = timedelta(hours=1)
# The usual 28 digits would round the sum of two large quantities.
EXACT = Context(prec=80)
DIMENSIONS = ("endpoint", "region", "protocol")
_QUANTITY = re.compile(r"(-?)[0-9]+(?:\.([0-9]+))?")
_INSTANT = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(Z?)")

Dimensions = tuple[tuple[str, str], ...]


class Fact(NamedTuple):
    """One line that is a usage record."""

    account: str
    meter: str
    dimensions: Dimensions
    window: datetime
    row_id: str
    revision: int
    quantity: Decimal


class Refused(NamedTuple):
    """One line that is not: why, and the account it names, if there is one."""

    code: str
    account: str | None


class Stretch(NamedTuple):
    """Lines of one delivery that were committed together, in the order of commits."""

    delivery: int
    file: str
    first_line: int
    last_line: int


class Series(NamedTuple):
    account: str
    source: str
    meter: str
    dimensions: Dimensions


@dataclass(frozen=True, slots=True)
class Rollup:
    quantity: Decimal
    records: int
    windows_used: int
    maximum: Decimal
    latest_window: datetime | None
    latest_quantity: Decimal | None


COUNTED = ("new", "replaced", "duplicate", "stale", "rejected")


@dataclass(slots=True)
class Books:
    """Everything that the ledger must say."""

    current: dict[tuple[str, ...], Fact] = field(default_factory=dict)
    revisions: dict[tuple[str, ...], dict[int, Fact]] = field(default_factory=dict)
    past: Counter[tuple[Any, ...]] = field(default_factory=Counter)
    counts: dict[int, Counter[str]] = field(default_factory=dict)
    parts: dict[tuple[int, str], Counter[str]] = field(default_factory=dict)
    rejects: dict[tuple[int, int], str] = field(default_factory=dict)
    watermarks: dict[tuple[str, str], datetime] = field(default_factory=dict)


class Plan:
    """The plan and the lines of every file, read once."""

    def __init__(self, directory: Path) -> None:
        plan = json.loads((directory / "plan.json").read_text())
        self.directory = directory
        self.zones = {row["reference"]: ZoneInfo(row["zone"]) for row in plan["accounts"]}
        self.meters = {row["key"]: row for row in plan["meters"]}
        self.sources = {row["slug"]: row for row in plan["sources"]}
        self.files = {row["name"]: row for row in plan["files"]}
        self._lines: dict[str, dict[int, Fact | Refused]] = {}

    def lines_of(self, name: str) -> dict[int, Fact | Refused]:
        """Each line's number with its record or with the code that refuses it."""
        if name not in self._lines:
            file = self.files[name]
            text = (self.directory / name).read_bytes().decode()
            has_row_id = self.sources[file["source"]]["key_kind"] == "row_id"
            self._lines[name] = dict(self._read(text.split("\n"), file["form"], has_row_id=has_row_id))
        return self._lines[name]

    def names_by_sha256(self) -> dict[bytes, str]:
        """What tells which file a delivery brought, plain or packed."""
        bodies = {name: (self.directory / name).read_bytes() for name in self.files}
        plain = {hashlib.sha256(body).digest(): name for name, body in bodies.items()}
        packed = {
            hashlib.sha256(gzip.compress(body, mtime=0)).digest(): name for name, body in bodies.items()
        }
        return plain | packed

    def _read(self, lines: list[str], form: str, *, has_row_id: bool) -> Iterable[tuple[int, Fact | Refused]]:
        header = lines[0].split(",") if form == "csv" else None
        for line_no, line in enumerate(lines, 1):
            if not line or (header is not None and line_no == 1):
                continue
            cells = line.split(",") if header is not None else []
            if header is not None and len(cells) != len(header):
                yield line_no, Refused("column_count", None)
                continue
            row = json.loads(line) if header is None else dict(zip(header, cells, strict=True))
            meaning = self._meaning(row, has_row_id=has_row_id)
            if isinstance(meaning, str):
                meaning = Refused(meaning, row["account"] if row["account"] in self.zones else None)
            yield line_no, meaning

    def _meaning(self, cells: dict[str, str], *, has_row_id: bool) -> Fact | str:
        if cells["account"] not in self.zones:
            return "unknown_account"
        if cells["meter"] not in self.meters:
            return "unknown_meter"
        if cells.get("unit", "unit") not in ("unit", ""):
            return "bad_unit"
        window, quantity = _window(cells["window_start"]), _quantity(cells["quantity"])
        if isinstance(window, str):
            return window
        if isinstance(quantity, str):
            return quantity
        return Fact(
            account=cells["account"],
            meter=cells["meter"],
            dimensions=tuple(sorted((name, cells[name]) for name in DIMENSIONS if cells.get(name))),
            window=window,
            row_id=cells["row_id"] if has_row_id else "",
            revision=int(cells.get("revision") or 1),
            quantity=quantity,
        )

    def books(self, stretches: Iterable[Stretch]) -> Books:
        """Go through the lines in the order in which they were committed."""
        books = Books()
        for stretch in stretches:
            self._apply(books, stretch)
        return books

    def _apply(self, books: Books, stretch: Stretch) -> None:
        source = self.files[stretch.file]["source"]
        lateness = timedelta(seconds=self.sources[source]["lateness_seconds"])
        lines = self.lines_of(stretch.file)
        counts = books.counts.setdefault(stretch.delivery, Counter())
        for line_no in range(stretch.first_line, stretch.last_line + 1):
            meaning = lines.get(line_no)
            if meaning is None:
                continue
            if isinstance(meaning, Refused):
                account, verdict = meaning.account, meaning.code
            else:
                account, verdict = meaning.account, _judge(books, source, meaning)
            counted = verdict if verdict in COUNTED else "rejected"
            counts[counted] += 1
            if account is not None:
                books.parts.setdefault((stretch.delivery, account), Counter())[counted] += 1
            if counted == "rejected":
                books.rejects[stretch.delivery, line_no] = verdict
            elif isinstance(meaning, Fact):
                mark = meaning.window + WINDOW - lateness
                place = (meaning.account, source)
                books.watermarks[place] = max(mark, books.watermarks.get(place, mark))

    def rollups(self, books: Books) -> dict[tuple[Series, date], Rollup]:
        """The days of every series, in the zone of its account."""
        days: dict[tuple[Series, date], list[Fact]] = {}
        for identity, fact in books.current.items():
            day = fact.window.astimezone(self.zones[fact.account]).date()
            series = Series(fact.account, identity[0], fact.meter, fact.dimensions)
            days.setdefault((series, day), []).append(fact)
        return {
            place: _rollup(facts, self.meters[place[0].meter]["aggregation"]) for place, facts in days.items()
        }


def _window(text: str) -> datetime | str:
    found = _INSTANT.fullmatch(text)
    if found is None:
        return "timestamp_format"
    *parts, zone = found.groups()
    if not zone:
        return "timestamp_naive"
    year, month, day, hour, minute, second = map(int, parts)
    if minute or second:
        return "window_misaligned"
    return datetime(year, month, day, hour, tzinfo=UTC)


def _quantity(text: str) -> Decimal | str:
    if not text:
        return "missing_field"
    found = _QUANTITY.fullmatch(text)
    if found is None:
        return "number_format"
    if len(found[2] or "") > 9:
        return "scale_exceeded"
    return "negative_not_allowed" if found[1] else Decimal(text)


def _judge(books: Books, source: str, fact: Fact) -> str:
    """Say what the line is to what came before it, and remember it."""
    identity = (source, fact.account, fact.row_id) if fact.row_id else (
        source, fact.account, fact.meter, repr(fact.dimensions), fact.window.isoformat()
    )  # fmt: skip
    known = books.revisions.setdefault(identity, {})
    if fact.revision in known:
        return "duplicate" if known[fact.revision] == fact else "id_conflict"
    known[fact.revision] = fact
    current = books.current.get(identity)
    if current is not None and fact.revision < current.revision:
        books.past[source, *fact, "stale"] += 1
        return "stale"
    books.current[identity] = fact
    if current is None:
        return "new"
    books.past[source, *current, "superseded"] += 1
    return "replaced"


def _rollup(facts: list[Fact], aggregation: str) -> Rollup:
    used = [fact.window for fact in facts if fact.quantity > 0]
    latest = max(facts, key=lambda fact: (fact.window, fact.row_id)) if aggregation == "latest" else None
    return Rollup(
        quantity=reduce(EXACT.add, (fact.quantity for fact in facts), Decimal(0)),
        records=len(facts),
        windows_used=len(set(used)) if aggregation == "unique_count" else len(used),
        maximum=max(fact.quantity for fact in facts),
        latest_window=latest and latest.window,
        latest_quantity=latest and latest.quantity,
    )
