"""What P33 downloads: the records, a curl that fetches them, and somebody who replaces them meanwhile."""

from __future__ import annotations

import csv
import hashlib
import random
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

import psycopg

SECONDS_MAX = 180
PATH = "/api/v1/usage.csv?kind=records&meter=bytes_out&from=2026-10-01&to=2026-10-31"
HOURS = 500


@dataclass(frozen=True, slots=True)
class World:
    """An account with many records, its key, and its series by what the CSV calls them."""

    account_id: int
    key: str
    rows: int
    series: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Fetched:
    """What curl said, what it kept, and the address of the proof."""

    exit_code: int
    status: int
    path: Path
    download_id: str

    def sha256(self) -> str:
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @property
    def size_bytes(self) -> int:
        return self.path.stat().st_size


def make_world(*, rows: int, reference: str = "reader") -> World:
    """Put so many records of one account into the database."""
    from accounts.tenancy import as_worker, connection
    from insights.models import Meter, Source
    from tests import factories
    from tests.exports.records import make_records

    account = factories.make_account(reference)
    with as_worker():
        meter = Meter.objects.filter(key="bytes_out").first() or factories.make_meter()
        source = Source.objects.filter(slug="edge").first() or factories.make_source("edge", clock_zone="")
    made = make_records(account, meter, source, series=rows // HOURS, hours=HOURS)
    user = factories.make_user(f"{reference}@example.com")
    _row, key = factories.make_api_key(account, created_by=user)
    with as_worker(), connection().cursor() as cursor:
        cursor.execute(
            "SELECT id, dimensions ->> 'endpoint' FROM insights_series WHERE account_id = %s ORDER BY id",
            [account.pk],
        )
        series = tuple(cursor.fetchall())
    return World(account.pk, key, made, series)


def fetch(port: int, world: World, directory: Path, *, name: str = "download") -> Fetched:
    """Download the records with curl."""
    body, head = directory / f"{name}.csv", directory / f"{name}.head"
    for path in (body, head):
        path.unlink(missing_ok=True)
    done = subprocess.run(
        ["curl", "--silent", "--max-time", str(SECONDS_MAX), "--output", str(body), "--dump-header", str(head),
         "--header", f"Authorization: Bearer {world.key}", f"http://127.0.0.1:{port}{PATH}"],
        check=False, timeout=SECONDS_MAX + 30,
    )  # fmt: skip
    body.touch()
    lines = head.read_text().splitlines() if head.exists() else []
    status = int(lines[0].split()[1]) if lines else 0
    named = [line.partition(":")[2].strip() for line in lines if line.lower().startswith("download-id:")]
    return Fetched(done.returncode, status, body, named[0] if named else "")


class Replacer:
    """Replaces the records of one series after the other by a higher revision, in a random order it remembers."""

    def __init__(self, conninfo: str, world: World, seed: int) -> None:
        self._conninfo, self._world = conninfo, world
        self._chance = random.Random(seed)
        self.revision = 1
        self.order: list[str] = []
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin a further round, of the next revision."""
        self.revision += 1
        self.order = []
        self._ended.clear()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Go on to the end of the round, so that the next one begins with equal revisions."""
        if self._thread is not None:
            self._thread.join(SECONDS_MAX)

    def _work(self) -> None:
        series = list(self._world.series)
        self._chance.shuffle(series)
        with psycopg.connect(self._conninfo) as link:
            for series_id, endpoint in series:
                link.execute(
                    "WITH gone AS (DELETE FROM insights_usagerecord WHERE account_id = %(account)s "
                    "AND series_id = %(series)s RETURNING *) "
                    "INSERT INTO insights_usagerecord (account_id, series_id, window_start, row_id, entry_id, "
                    "batch_id, line_no, revision, quantity) SELECT account_id, series_id, window_start, row_id, "
                    "entry_id, batch_id, line_no, %(revision)s, quantity FROM gone",
                    {"account": self._world.account_id, "series": series_id, "revision": self.revision},
                )
                link.commit()
                self.order.append(endpoint)


def judge_snapshot(path: Path, world: World, replacer: Replacer) -> list[str]:
    """Say what a whole download has twice, has not, or has from two moments."""
    seen: set[tuple[str, str]] = set()
    revisions: dict[str, set[str]] = {}
    twice = 0
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            place = (row["endpoint"], row["window_start"])
            twice += place in seen
            seen.add(place)
            revisions.setdefault(row["endpoint"], set()).add(row["revision"])
    faults = []
    if twice or len(seen) != world.rows:
        faults.append(f"{twice} rows come twice, {world.rows - len(seen)} are missing")
    if torn := [endpoint for endpoint, found in revisions.items() if len(found) > 1]:
        faults.append(f"{len(torn)} series are of two moments")
    new = {endpoint for endpoint, found in revisions.items() if found == {str(replacer.revision)}}
    # What was replaced when the download began is what was replaced first.
    if new != set(replacer.order[: len(new)]):
        faults.append(f"{len(new)} replaced series are not the first that were replaced")
    return faults
