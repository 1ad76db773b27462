"""Makes the files that senders send: new facts, repeats, conflicts, corrections, mistakes, from one seed.

Knows how senders write and nothing of how the product reads. The standard load is 40 files of 5,000 lines.
"""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

ZONES = (
    "UTC",
    "Europe/London",
    "America/New_York",
    "Asia/Tokyo",
    "Asia/Kolkata",
    "America/Sao_Paulo",
)
CURRENCIES = ("USD", "EUR", "GBP")
# Both changes of the clocks in London and New York lie within these windows.
FIRST_WINDOW = datetime(2025, 10, 20, tzinfo=UTC)
HOURS = 24 * 21
REGIONS = ("eu-west", "us-east", "ap-south")
PROTOCOLS = ("https", "grpc", "")

COLUMNS = (
    "account",
    "meter",
    "window_start",
    "quantity",
    "unit",
    "revision",
    "endpoint",
    "region",
    "protocol",
)
UNIT = "unit"
PLAIN_FILES = 0.4


@dataclass(frozen=True, slots=True)
class AccountPlan:
    reference: str
    zone: str
    currency: str


@dataclass(frozen=True, slots=True)
class MeterPlan:
    key: str
    aggregation: str
    dimensions: tuple[str, ...] = ("endpoint", "region", "protocol")


@dataclass(frozen=True, slots=True)
class SourcePlan:
    slug: str
    key_kind: str
    lateness_seconds: int


@dataclass(frozen=True, slots=True)
class FilePlan:
    name: str
    source: str
    form: str


@dataclass(frozen=True, slots=True)
class Load:
    """Everything that is sent in one run; the oracle reads the same from `directory`."""

    directory: Path
    accounts: tuple[AccountPlan, ...]
    meters: tuple[MeterPlan, ...]
    sources: tuple[SourcePlan, ...]
    files: tuple[FilePlan, ...]

    def body(self, file: FilePlan) -> bytes:
        return (self.directory / file.name).read_bytes()


@dataclass(frozen=True, slots=True)
class Size:
    """How much is sent. Shares are of all lines; `conflicts` may only be nonzero where order is allowed to decide."""

    files: int = 40
    lines: int = 5_000
    accounts: int = 50
    repeats: float = 0.03
    conflicts: float = 0.01
    invalid: float = 0.02
    late: float = 0.05
    revisions: float = 0.12


AGGREGATIONS = ("sum",) * 6 + ("count", "time_weighted_sum", "max", "latest", "unique_count", "latest")


def make_load(directory: Path, *, seed: int, size: Size = Size(), prefix: str = "acct") -> Load:
    """Write the files and the plan, and return the plan."""
    directory.mkdir(parents=True, exist_ok=True)
    load = Load(
        directory=directory,
        accounts=tuple(
            AccountPlan(f"{prefix}-{number:03d}", ZONES[number % len(ZONES)], CURRENCIES[number % 3])
            for number in range(size.accounts)
        ),
        meters=tuple(
            MeterPlan(f"meter_{number:02d}", aggregation) for number, aggregation in enumerate(AGGREGATIONS)
        ),
        sources=(SourcePlan("edge", "window", 3_600), SourcePlan("bookings", "row_id", 0)),
        files=tuple(
            FilePlan(f"file-{number:04d}.{form}", ("edge", "bookings")[number % 2], form)
            for number in range(size.files)
            for form in [("csv", "ndjson")[number // 2 % 2]]
        ),
    )
    for source in load.sources:
        writer = _Writer(load, source, size, random.Random(f"{seed} {source.slug}"))
        for file in load.files:
            if file.source == source.slug:
                (directory / file.name).write_bytes(writer.file(file.form))
    write_plan(load)
    return load


def write_plan(load: Load) -> None:
    """Keep what a reader of the files has to know beside them."""
    plan = {
        name: [asdict(item) for item in getattr(load, name)]
        for name in ("accounts", "meters", "sources", "files")
    }
    (load.directory / "plan.json").write_text(json.dumps(plan, indent=1))


Cells = dict[str, str]


class _Writer:
    """Writes one source's files, remembering what has been sent."""

    def __init__(self, load: Load, source: SourcePlan, size: Size, chance: random.Random) -> None:
        self.load, self.source, self.size, self.chance = load, source, size, chance
        self.columns = (*COLUMNS, "row_id") if source.key_kind == "row_id" else COLUMNS
        # One entry a fact: its highest revision and each revision's cells.
        self.sent: list[list[Cells]] = []

    def file(self, form: str) -> bytes:
        # A file without anything odd in it is read and stored by columns, and most files of real senders are such.
        is_plain = form == "csv" and self.chance.random() < PLAIN_FILES
        rows = self._plain_rows() if is_plain else [self._row(form) for _ in range(self.size.lines)]
        self.chance.shuffle(rows)
        if form == "csv":
            lines = [
                ",".join(self.columns),
                *(row if isinstance(row, str) else self._csv(row) for row in rows),
            ]
        else:
            lines = [json.dumps(row) for row in rows]
        return ("\n".join(lines) + "\n").encode()

    def _plain_rows(self) -> list[Cells | str]:
        """New facts only, or the ones last sent once more."""
        latest = [revisions[-1] for revisions in self.sent[-self.size.lines :]]
        if len(latest) == self.size.lines and self.chance.random() < 0.3:
            return list(latest)
        return [self._new() for _ in range(self.size.lines)]

    def _csv(self, row: Cells) -> str:
        return ",".join(row.get(name, "") for name in self.columns)

    def _row(self, form: str) -> Cells | str:
        size, pick = self.size, self.chance.random()
        for share, make in (
            (size.invalid, lambda: self._mistake(form)),
            (size.repeats, self._repeat),
            (size.conflicts, self._conflict),
            (size.revisions, self._revise),
        ):
            if pick < share:
                return make()
            pick -= share
        return self._new(is_late=pick < size.late)

    def _new(self, *, is_late: bool = False) -> Cells:
        number = len(self.sent)
        load = self.load
        account = load.accounts[self.chance.randrange(len(load.accounts))]
        meter = load.meters[self.chance.randrange(len(load.meters))]
        # Late windows lie in the first days; the rest moves on as the files do.
        hour = self.chance.randrange(72) if is_late else 72 + number * 7 % (HOURS - 72)
        row = {
            "account": account.reference,
            "meter": meter.key,
            "window_start": f"{FIRST_WINDOW + timedelta(hours=hour):%Y-%m-%dT%H:00:00Z}",
            "quantity": self._quantity(),
            "unit": UNIT,
            # Numbered by the fact, so that no two facts of a window source share an identity.
            "endpoint": f"e{number // HOURS}-{number % 7}",
            "region": self.chance.choice(REGIONS),
            "protocol": self.chance.choice(PROTOCOLS),
        }
        if self.source.key_kind == "row_id":
            row["row_id"] = f"row-{number}"
        if self.chance.random() < 0.5:
            row["revision"] = "1"
        self.sent.append([row])
        return row

    def _quantity(self) -> str:
        pick = self.chance.random()
        if pick < 0.02:
            return "0"
        if pick < 0.03:
            return f"1000000000000000000.{self.chance.randrange(1, 10**9):09d}"
        if pick < 0.5:
            return str(self.chance.randrange(1, 10**6))
        return f"{self.chance.randrange(10**6)}.{self.chance.randrange(1, 10**9):09d}"

    def _known(self) -> list[Cells] | None:
        return self.sent[self.chance.randrange(len(self.sent))] if self.sent else None

    def _repeat(self) -> Cells:
        known = self._known()
        return self.chance.choice(known) if known else self._new()

    def _conflict(self) -> Cells:
        known = self._known()
        return {**self.chance.choice(known), "quantity": self._quantity()} if known else self._new()

    def _revise(self) -> Cells:
        known = self._known()
        if known is None or len(known) >= 4:
            return self._new()
        row = {**known[-1], "revision": str(len(known) + 1), "quantity": self._quantity()}
        if self.source.key_kind == "row_id" and self.chance.random() < 0.3:
            # A row id may move: to another window, or to other dimensions.
            row["region"] = self.chance.choice(REGIONS)
            hour = self.chance.randrange(HOURS)
            row["window_start"] = f"{FIRST_WINDOW + timedelta(hours=hour):%Y-%m-%dT%H:00:00Z}"
        known.append(row)
        return row

    def _mistake(self, form: str) -> Cells | str:
        row = self._new()
        self.sent.pop()
        kinds = {
            "unknown_account": {"account": "nobody-we-know"},
            "unknown_meter": {"meter": "meter_99"},
            "number_format": {"quantity": "12a"},
            "scale_exceeded": {"quantity": "1.0123456789"},
            "negative_not_allowed": {"quantity": "-5"},
            "missing_field": {"quantity": ""},
            "window_misaligned": {"window_start": row["window_start"].replace(":00:00Z", ":07:00Z")},
            "timestamp_naive": {"window_start": row["window_start"].rstrip("Z")},
            "bad_unit": {"unit": "furlong"},
        }
        kind = self.chance.choice([*kinds, "column_count"])
        if kind == "column_count":
            return self._csv(row) + ",one too many" if form == "csv" else {**row, "quantity": ""}
        return {**row, **kinds[kind]}
