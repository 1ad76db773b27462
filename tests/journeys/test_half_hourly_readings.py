"""Half-hourly readings of many households, in by the command through Celery and out to the last watt-hour.

Runs on the real data set when it is beside the project (SHARED_DATA or ../shared/data), and always on a small
generated twin with the same quirks: repeated clock times that are distinct intervals, gaps, zeros.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import random
import subprocess
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from accounts.tenancy import as_worker
from insights.ingest.mapping import columns_of
from insights.ingest.source_definition import parse_source_toml
from insights.models import Batch, Meter, Source

PROJECT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("SHARED_DATA", PROJECT.parent / "shared" / "data")) / "usage_sgsc"
HEADER = "customer_id,reading_datetime,calendar_key,event_key,general_supply_kwh,controlled_load_kwh"

pytestmark = [pytest.mark.database, pytest.mark.slow]

Totals = dict[tuple[str, str], tuple[int, Decimal]]


@pytest.fixture
def source(celery_workers: subprocess.Popen[bytes]) -> Source:
    """The source that ships as an example, and its meter."""
    definition = parse_source_toml((PROJECT / "docs" / "examples" / "sgsc.toml").read_text())
    with as_worker():
        Meter.objects.create(
            key="electricity", name="Electricity", unit="kWh", grain_seconds=1800, aggregation="sum"
        )
        return Source.objects.create(**columns_of(definition))


def ingest(path: Path, **options: Any) -> str:
    """Run the command as an operator would; returns what it printed."""
    printed = io.StringIO()
    call_command("ingest", "sgsc", str(path), create_accounts=True, stdout=printed, **options)
    return printed.getvalue().strip()


def control_totals() -> Totals:
    """Run the command and read its CSV."""
    printed = io.StringIO()
    call_command("control_totals", source="sgsc", by="account,month", stdout=printed)
    rows = csv.DictReader(io.StringIO(printed.getvalue()))
    return {(row["account"], row["month"]): (int(row["records"]), Decimal(row["quantity"])) for row in rows}


def write(path: Path, lines: list[str], *, header: str = HEADER) -> Path:
    """Write a delivery."""
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def twin_lines() -> list[str]:
    """Return readings of five households over 40 days with the real set's quirks."""
    chance = random.Random(20131006)
    lines, key = [], 1000
    for customer in range(10_000_001, 10_000_006):
        at = datetime(2013, 9, 10, tzinfo=UTC)
        for _half_hour in range(48 * 40):
            key += 1
            at += timedelta(minutes=30)
            if chance.random() < 0.02:
                continue
            repeats = 2 if at == datetime(2013, 10, 6, 2, 30, tzinfo=UTC) else 1
            for repeat in range(repeats):
                kwh = Decimal(chance.choice([0, chance.randrange(3000)])) / 1000
                lines.append(f"{customer},{at:%Y-%m-%dT%H:%M:%S},{key}{repeat},0,{kwh},")
    return lines


def expected_totals(lines: list[str]) -> Totals:
    """Add up a delivery without any code of the product."""
    totals: dict[tuple[str, str], list[Decimal]] = defaultdict(list)
    for text in lines:
        customer, at, _key, _event, kwh, _load = text.split(",")
        totals[(customer, at[:7])].append(Decimal(kwh))
    return {group: (len(found), sum(found, Decimal(0))) for group, found in totals.items()}


class TestTwin:
    def test_totals_agree_and_no_repeat_or_order_moves_them(self, source: Source, tmp_path: Path) -> None:
        lines = twin_lines()
        expected = expected_totals(lines)

        first = ingest(write(tmp_path / "readings.csv", lines))
        assert (
            first == f"received {len(lines)}, new {len(lines)}, replaced 0, duplicate 0, stale 0, rejected 0"
        )
        assert control_totals() == expected

        by_month_backwards = sorted(lines, key=lambda text: text.split(",")[1], reverse=True)
        again = ingest(write(tmp_path / "again.csv", by_month_backwards))
        assert again.startswith(f"received {len(lines)}, new 0, replaced 0, duplicate {len(lines)}")
        assert control_totals() == expected

    def test_one_changed_value_is_a_conflict_and_replaces_at_a_higher_revision(
        self, source: Source, tmp_path: Path
    ) -> None:
        lines = twin_lines()[:500]
        ingest(write(tmp_path / "readings.csv", lines))
        customer, at, key, event, kwh, load = lines[77].split(",")
        changed = ",".join([customer, at, key, event, str(Decimal(kwh) + 1), load])

        same = ingest(write(tmp_path / "same.csv", [changed]))
        assert same == "received 1, new 0, replaced 0, duplicate 0, stale 0, rejected 1"
        assert control_totals() == expected_totals(lines)

        higher = ingest(write(tmp_path / "higher.csv", [changed]), revision=2)
        assert higher == "received 1, new 0, replaced 1, duplicate 0, stale 0, rejected 0"
        assert control_totals() == expected_totals([*lines[:77], changed, *lines[78:]])

    def test_a_long_file_is_split_into_batches_of_one_upload(
        self, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lines = twin_lines()
        monkeypatch.setattr("insights.ingest.splitting.PART_LINES", 4000)
        packed = tmp_path / "readings.csv.gz"
        packed.write_bytes(gzip.compress("\n".join([HEADER, *lines]).encode()))

        ingest(packed)

        assert control_totals() == expected_totals(lines)
        with as_worker():
            assert Batch.objects.values("upload_id").distinct().count() == 1


@pytest.mark.skipif(not DATA.is_dir(), reason="the Smart-Grid Smart-City data set is not beside the project")
class TestRealData:
    def test_all_customers_and_months_agree_with_the_control_files(
        self, source: Source, tmp_path: Path
    ) -> None:
        with (DATA / "control_by_customer_month.csv").open() as stream:
            expected = {
                (row["customer_id"], row["month"]): (int(row["rows"]), Decimal(row["wh"]) / 1000)
                for row in csv.DictReader(stream)
            }

        printed = ingest(DATA / "sgsc_halfhourly.csv.gz")

        assert printed.startswith("received 1278870, new 1278870,")
        assert len(expected) == 943
        assert control_totals() == expected

        july = tmp_path / "july.csv"
        with gzip.open(DATA / "sgsc_halfhourly.csv.gz", "rt") as stream:
            lines = [text.rstrip("\n") for text in stream if ",2013-07-" in text]
        assert ingest(write(july, lines[::-1])).startswith(
            "received 63847, new 0, replaced 0, duplicate 63847"
        )
        assert control_totals() == expected
