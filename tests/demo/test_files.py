"""The demo's files: read back by other rules than they were written, they come to the expected totals."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from insights.ingest.catalogue import AccountFact, Catalogue, MeterFact
from insights.ingest.lines import open_delivery
from insights.ingest.parse import parse_chunk
from insights.ingest.source_definition import SourceDefinition, parse_source_toml
from usage_portal.demo.broken import list_broken_lines
from usage_portal.demo.company import Company, build_company
from usage_portal.demo.files import EDGE_HEADER, DemoBatch, iter_batches
from usage_portal.demo.meters import METERS, METERS_BY_KEY
from usage_portal.demo.sources import SOURCES, describe_sources
from usage_portal.demo.totals import expected_totals

NOW = datetime(2026, 11, 23, 14, 20, tzinfo=UTC)
CAST = (
    "quillfern-media", "skeldhavn-logistics", "pellucid-health", "hoshizora-learning", "plover-parcel",
    "tinwhistle-radio", "drift-and-dory", "ashgrove-observatory", "marrow-lane-press",
)  # fmt: skip


@pytest.fixture(scope="module")
def company() -> Company:
    return build_company(now=NOW, only=CAST)


@pytest.fixture(scope="module")
def batches(company: Company) -> tuple[DemoBatch, ...]:
    return tuple(iter_batches(company))


def _rows(batch: DemoBatch, definition: SourceDefinition) -> Iterator[Mapping[str, str]]:
    """Yield each line by our field names, as the source's definition maps them."""
    ours = {column: name for name, column in definition.columns.items()}
    for row in csv.DictReader(io.StringIO(batch.body.decode()), strict=True):
        yield {ours.get(column, column): cell for column, cell in row.items()} | dict(definition.constants)


class _Reader:
    """Keeps the highest revision of every identity, which is all that a portal has to do to be right."""

    def __init__(self, broken: Counter[str]) -> None:
        self.broken = broken
        self.current: dict[tuple[str, ...], tuple[int, int, Mapping[str, str]]] = {}
        self.verdicts: Counter[str] = Counter()

    def read(self, batch: DemoBatch) -> None:
        definition = parse_source_toml(SOURCES[batch.source_slug])
        lines = batch.body.decode().splitlines()[1:]
        for line, row in zip(lines, _rows(batch, definition), strict=True):
            if self.broken[line]:
                self.verdicts["rejected"] += 1
                continue
            place = tuple(f"{name}={row[name]}" for name in sorted(row) if _is_place(name) and row[name])
            identity = (
                (batch.source_slug, row["row_id"])
                if "row_id" in row
                else (batch.source_slug, row["account"], row["meter"], row["window_start"], *place)
            )
            self._keep(identity, int(row["revision"]), int(row["quantity"]), row)

    def _keep(self, identity: tuple[str, ...], revision: int, quantity: int, row: Mapping[str, str]) -> None:
        before = self.current.get(identity)
        if before is None:
            self.verdicts["new"] += 1
        elif revision > before[0]:
            self.verdicts["replaced"] += 1
        elif revision < before[0]:
            self.verdicts["stale"] += 1
            return
        else:
            assert quantity == before[1]
            self.verdicts["duplicate"] += 1
            return
        self.current[identity] = (revision, quantity, row)


def _is_place(name: str) -> bool:
    return name.removeprefix("dimension.") in ("endpoint", "region", "protocol", "domain")


@pytest.fixture(scope="module")
def reader(company: Company, batches: tuple[DemoBatch, ...]) -> _Reader:
    reader = _Reader(Counter(line.text.rstrip("\n") for line in list_broken_lines(company)))
    for batch in batches:
        reader.read(batch)
    return reader


def test_what_is_read_comes_to_the_expected_totals(company: Company, reader: _Reader) -> None:
    zones = {account.reference: ZoneInfo(account.billing_zone) for account in company.accounts}
    records: Counter[tuple[str, ...]] = Counter()
    quantities: defaultdict[tuple[str, ...], int] = defaultdict(int)
    for identity, (_, quantity, row) in reader.current.items():
        local = datetime.fromisoformat(row["window_start"]).astimezone(zones[row["account"]])
        key = (row["account"], identity[0], row["meter"], f"{local:%Y-%m}")
        records[key] += 1
        is_counted_once = METERS_BY_KEY[row["meter"]].aggregation == "unique_count"
        quantities[key] += int(quantity > 0) if is_counted_once else quantity

    expected = {
        (total.account, total.source, total.meter, total.month): (total.records, total.quantity)
        for total in expected_totals(company)
    }

    assert {key: (records[key], quantities[key]) for key in records} == expected


def test_every_kind_of_verdict_occurs(company: Company, reader: _Reader) -> None:
    assert set(reader.verdicts) == {"new", "replaced", "duplicate", "stale", "rejected"}
    assert reader.verdicts["rejected"] == len(list_broken_lines(company))


def test_about_sixty_lines_are_broken_in_many_ways() -> None:
    broken = list_broken_lines(build_company(now=NOW, only=(*CAST, "halyard-commerce")))

    assert 50 <= len(broken) <= 70
    assert len({line.code for line in broken}) >= 8
    assert len({line.text for line in broken}) == len(broken)


def test_each_broken_line_is_refused_with_the_code_it_claims() -> None:
    company = build_company(now=NOW, only=(*CAST, "halyard-commerce"))
    broken = [line for line in list_broken_lines(company) if line.code != "id_conflict"]
    catalogue = Catalogue(
        accounts={
            account.reference: AccountFact(
                id=number,
                state=account.state,
                closed_at=account.state_since if account.state == "closed" else None,
            )
            for number, account in enumerate(company.accounts, start=1)
        },
        meters={
            meter.key: MeterFact(number, meter.key, meter.unit, meter.grain_seconds, meter.dimensions)
            for number, meter in enumerate(METERS, start=1)
        },
    )
    delivery = open_delivery(
        [(EDGE_HEADER + "".join(line.text for line in broken)).encode()],
        definition=parse_source_toml(SOURCES["edge"]),
        dimension_keys=catalogue.dimension_keys,
        form="csv",
    )

    parsed = parse_chunk(
        next(delivery.chunks()),
        header=delivery.header,
        definition=parse_source_toml(SOURCES["edge"]),
        catalogue=catalogue,
        now=NOW,
    )

    assert [line.code for line in sorted(parsed.rejected, key=lambda line: line.line_no)] == [
        line.code for line in broken
    ]


def test_names_are_unique_and_files_within_limits(batches: tuple[DemoBatch, ...]) -> None:
    assert len({batch.name for batch in batches}) == len(batches)
    assert [batch.received_order for batch in batches] == sorted(batch.received_order for batch in batches)
    for batch in batches:
        assert batch.body.count(b"\n") <= 250_000
        assert batch.complete_to is None or batch.complete_to <= NOW


def test_late_lines_come_after_the_watermark_passed_them(batches: tuple[DemoBatch, ...]) -> None:
    late = [batch for batch in batches if batch.name.endswith("-late.csv")]
    assert late
    for batch in late:
        before = [
            other.complete_to
            for other in batches
            if other.source_slug == batch.source_slug
            and other.received_order < batch.received_order
            and other.complete_to is not None
        ]
        starts = [datetime.fromisoformat(line.split(",")[2]) for line in batch.body.decode().splitlines()[1:]]

        assert max(starts) < max(before)


def test_the_sources_are_valid_descriptions() -> None:
    company = build_company(now=NOW)
    for slug, text in describe_sources(company).items():
        definition = parse_source_toml(text)
        assert definition.slug == slug
        assert (definition.ended_at is not None) == (slug == "edge-history")


def test_bytes_do_not_depend_on_the_hash_seed() -> None:
    program = (
        "import hashlib\n"
        "from datetime import UTC, datetime\n"
        "from usage_portal.demo.company import build_company\n"
        "from usage_portal.demo.files import iter_batches\n"
        f"company = build_company(now=datetime(2026, 11, 23, 14, tzinfo=UTC), only={CAST[3:]!r})\n"
        "digest = hashlib.sha256()\n"
        "for batch in iter_batches(company):\n"
        "    digest.update(batch.name.encode() + batch.body)\n"
        "print(digest.hexdigest())\n"
    )
    digest = hashlib.sha256()
    for batch in iter_batches(build_company(now=NOW, only=CAST[3:])):
        digest.update(batch.name.encode() + batch.body)

    for hash_seed in ("1", "2"):
        other = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert other.stdout.strip() == digest.hexdigest()
