"""backfill: workers are killed while a backfill closes; all of it is in the books at one position, or nothing."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg

from tests.faults.load import FilePlan, Load, Size, make_load
from tests.faults.p01 import compare
from tests.faults.site import Outcome, Site, keep, settle, source_ids, write_catalogue
from tests.faults.workers import Workers

SENTENCE = "A backfill is seen whole or not at all"
COUNT = 40
# A third death would set the backfill aside, as promised.
DEATHS_EACH = 2
FILES_EACH = 3
PLAIN_FILES = 4
LINES = 300
ORDER_SECONDS_MAX = 0.6
POINTS = (
    "before lease is held",
    "lease held",
    "before store",
    "staged",
    "new records stored",
    "known looked up",
    "replacements stored",
    "chunk stored",
    "rolled up",
    "batch counted",
    "parts counted",
    "before close",
    "batch closed",
    "watermarks moved",
    "work finished",
    "before position",
    "position taken",
    "committed",
)
# What a customer or a reader of the ledger could see of a backfill, all in one snapshot.
_SEEN = """
    WITH mine AS (SELECT id, state FROM insights_batch WHERE backfill_id = %(backfill)s)
    SELECT (SELECT state FROM insights_backfill WHERE id = %(backfill)s),
        (SELECT count(*) FROM insights_ledgerentry WHERE backfill_id = %(backfill)s AND position IS NOT NULL),
        (SELECT count(*) FROM mine WHERE state = 'done'),
        (SELECT count(*) FROM insights_batchpart WHERE batch_id IN (SELECT id FROM mine)),
        (SELECT count(*) FROM insights_usagerecord WHERE batch_id IN (SELECT id FROM mine)),
        (SELECT count(*) FROM insights_usagerevision WHERE batch_id IN (SELECT id FROM mine)),
        (SELECT position FROM insights_ledgerhead)
"""


def run(site: Site) -> Outcome:
    """Close one backfill after the other under kills, look at each all the while, and hold the books to the files."""
    kills = site.count or COUNT
    outcome = Outcome("backfill", SENTENCE, site.seed, faults_asked=kills)
    load = make_load(
        site.directory / "load",
        seed=site.seed,
        # As many backfills as kills, since an order may come too late to be met.
        size=Size(files=PLAIN_FILES + kills * FILES_EACH * 2, lines=LINES),
    )
    write_catalogue(load)
    workers = Workers(
        env=site.env, directory=site.directory / "workers", lease_seconds=site.lease_seconds,
        ring_seconds=site.ring_seconds, chunk_lines=100, more={"FAULTS_SABOTAGE": site.sabotage},
    )  # fmt: skip
    closer = _Closer(site, load, workers, outcome)
    workers.start()
    try:
        for file in load.files[:PLAIN_FILES]:
            keep(load, file, sources=closer.sources)
        settled = settle(site.conninfo, tend=workers.tend, seconds=site.settle_seconds)
        outcome.require("batches before the first backfill are left", holds=settled)
        for files in _groups(load):
            if len(workers.deaths()) >= kills or outcome.failures:
                break
            closer.close_under_kills(files)
    finally:
        workers.stop()
    deaths = workers.deaths()
    outcome.faults, outcome.mid_batch = len(deaths), sum(death.is_mid_batch for death in deaths)
    outcome.mid_transaction = sum(death.in_transaction for death in deaths)
    outcome.recoveries = [seconds for seconds in workers.recoveries() if seconds is not None]
    outcome.figures.append(
        f"{closer.closed} backfills closed, looked at {closer.looks} times; "
        f"{len({death.point for death in deaths})} of {len(POINTS)} points"
    )
    compare(site, load, outcome)
    outcome.check_faults()
    return outcome


def _groups(load: Load) -> Iterator[list[FilePlan]]:
    """The files of one backfill after the other, of each source in turn."""
    waiting = {source.slug: [] for source in load.sources}  # type: dict[str, list[FilePlan]]
    for file in load.files[PLAIN_FILES:]:
        waiting[file.source].append(file)
    while any(waiting.values()):
        for files in waiting.values():
            yield [files.pop(0) for _ in range(FILES_EACH) if files]


@dataclass(slots=True)
class _Closer:
    """Opens, fills, previews and closes backfills as staff do, and looks at them meanwhile as customers could."""

    site: Site
    load: Load
    workers: Workers
    outcome: Outcome
    closed: int = 0
    looks: int = 0
    sources: dict[str, int] = field(default_factory=source_ids)
    chance: random.Random = field(init=False)
    staff: Any = field(init=False)

    def __post_init__(self) -> None:
        from tests import factories

        self.chance = random.Random(self.site.seed)
        self.staff = factories.make_user("staff@example.com", is_staff=True)

    def close_under_kills(self, files: list[FilePlan]) -> None:
        from accounts.tenancy import as_staff
        from insights import tasks
        from insights.feeds.backfill_operations import ask_preview, confirm_close

        number = self._open(files)
        backfill, position = self._numbers(number)
        with as_staff():
            tasks.ring(ask_preview(public_id=number, actor=self.staff))
        if self._watch(backfill, position, "ready") != "ready":
            return
        wait = self.chance.choice((0.0, self.chance.uniform(0, ORDER_SECONDS_MAX)))
        points = self.chance.sample(POINTS, DEATHS_EACH)
        if wait == 0:
            self._order(points)
        with as_staff():
            tasks.ring(confirm_close(public_id=number, actor=self.staff, reason="a test"))
        if wait:
            time.sleep(wait)
            self._order(points)
        if self._watch(backfill, position, "closed") == "closed":
            self.closed += 1
        for order in (self.workers.directory / "orders").iterdir():
            order.unlink(missing_ok=True)

    def _open(self, files: list[FilePlan]) -> UUID:
        from accounts.tenancy import as_staff
        from insights.feeds.backfill_operations import open_backfill
        from insights.ingest.operations import receive_batch

        with as_staff():
            number = open_backfill(
                slug=files[0].source, actor=self.staff, reason="a test", takes_any_age=True
            )
        for file in files:
            receive_batch(
                pieces=[self.load.body(file)], source_id=self.sources[file.source], via="command",
                name=file.name, backfill=number,
            )  # fmt: skip
        return number

    def _order(self, points: list[str]) -> None:
        for point in points:
            self.workers.order(point, how=self.chance.choice(("child", "child", "child", "worker")))

    def _numbers(self, number: UUID) -> tuple[int, int]:
        with psycopg.connect(self.site.conninfo) as connection:
            row = connection.execute(
                "SELECT b.id, h.position FROM insights_backfill b, insights_ledgerhead h WHERE b.public_id = %s",
                [number],
            ).fetchone()
        assert row is not None
        return row

    def _watch(self, backfill: int, before: int, wanted: str) -> str:
        """Look until the backfill is where it is to be, or is not getting there; return where it is."""
        deadline = time.monotonic() + self.site.settle_seconds
        state = ""
        with psycopg.connect(self.site.conninfo, autocommit=True) as connection:
            while state not in (wanted, "failed") and time.monotonic() < deadline:
                self.workers.tend()
                state, *seen, position = connection.execute(_SEEN, {"backfill": backfill}).fetchone() or ("",)
                self._judge(backfill, state, seen, moved=position - before)
                if self.outcome.failures:
                    break
                time.sleep(0.05)
        self.outcome.require(f"backfill {backfill} is {state}, not {wanted}", holds=state == wanted)
        return state

    def _judge(self, backfill: int, state: str, seen: list[int], *, moved: int) -> None:
        self.looks += 1
        entries, done, parts, records, revisions = seen
        if state == "closed":
            whole = entries == 1 and done == FILES_EACH and parts > 0 and records > 0 and moved == 1
            self.outcome.require(f"backfill {backfill} is closed, with {seen} after {moved}", holds=whole)
        else:
            nothing = not any((entries, done, parts, records, revisions, moved))
            self.outcome.require(
                f"backfill {backfill} is {state} and shows {seen} after {moved}", holds=nothing
            )
