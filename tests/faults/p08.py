"""P8: positions have no gap and rise in the order of commits; watermarks only rise; no reader misses a change."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field

import psycopg

from tests.faults.load import Size, make_load
from tests.faults.p01 import compare
from tests.faults.site import Outcome, Site, keep, open_batches, settle, source_ids, write_catalogue
from tests.faults.workers import Workers

SENTENCE = "Positions and watermarks only rise, and no reader misses a change"
COUNT = 10
READERS = 3
WRITERS = 8
SLOW_SECONDS_MAX = 1.0
RUN_SECONDS_MAX = 300.0


def run(site: Site) -> Outcome:
    """Let eight writers commit slowly, roll back and die while readers follow; each must see every change once."""
    kills = site.count or COUNT
    outcome = Outcome("P8", SENTENCE, site.seed, faults_asked=kills)
    load = make_load(site.directory / "load", seed=site.seed, size=Size(files=max(16, 3 * kills), lines=400))
    write_catalogue(load)
    workers = Workers(
        env=site.env, directory=site.directory / "workers", processes=WRITERS // 2, lease_seconds=site.lease_seconds,
        ring_seconds=site.ring_seconds, chunk_lines=50,
        more={"FAULTS_SABOTAGE": site.sabotage, "FAULTS_SLOW": str(SLOW_SECONDS_MAX)},
    )  # fmt: skip
    readers = [Reader(site.conninfo) for _ in range(READERS)]
    workers.start()
    for reader in readers:
        reader.start()
    try:
        sources = source_ids()
        for file in load.files:
            keep(load, file, sources=sources)
        _kill(site, workers, kills)
        settled = settle(site.conninfo, tend=workers.tend, seconds=site.settle_seconds)
    finally:
        workers.stop()
        for reader in readers:
            reader.stop()
    deaths = workers.deaths()
    outcome.faults, outcome.mid_batch = len(deaths), len(deaths)
    outcome.mid_transaction = sum(death.in_transaction for death in deaths)
    outcome.recoveries = [seconds for seconds in workers.recoveries() if seconds is not None]
    outcome.require("batches are left", holds=settled)
    _check(site, outcome, readers, rolled_back=workers.count_lines("rollbacks.jsonl"))
    compare(site, load, outcome)
    outcome.check_faults()
    return outcome


def _kill(site: Site, workers: Workers, kills: int) -> None:
    chance = random.Random(site.seed)
    deadline = time.monotonic() + RUN_SECONDS_MAX
    done = 0
    while done < kills and open_batches(site.conninfo) and time.monotonic() < deadline:
        workers.tend()
        time.sleep(chance.uniform(0.5, 2.0))
        done += workers.kill_one_at_work(chance, how="child")


def _check(site: Site, outcome: Outcome, readers: list[Reader], *, rolled_back: int) -> None:
    with psycopg.connect(site.conninfo) as connection:
        committed = connection.execute(
            "SELECT position, id FROM insights_ledgerentry ORDER BY position"
        ).fetchall()
        disordered = connection.execute(
            "SELECT count(*) FROM (SELECT committed_at < lag(committed_at) OVER (ORDER BY position) AS is_late "
            "FROM insights_ledgerentry) AS entries WHERE is_late"
        ).fetchone()
    positions = [row[0] for row in committed]
    outcome.require("positions have gaps", holds=positions == list(range(1, len(positions) + 1)))
    outcome.require(f"{disordered} positions are out of the order of commits", holds=disordered == (0,))
    for number, reader in enumerate(readers, 1):
        missed = len(set(committed) - set(reader.seen))
        outcome.rows += len(reader.seen)
        outcome.differences += missed
        outcome.require(f"reader {number} missed {missed} of {len(committed)} changes", holds=not missed)
        outcome.require(f"reader {number}: {reader.faults[:3]}", holds=not reader.faults)
    outcome.figures.append(
        f"{len(committed)} commits, {rolled_back} rolled back at the last statement; {READERS} readers looked "
        f"{sum(reader.looks for reader in readers)} times"
    )
    outcome.require("nothing was rolled back", holds=rolled_back > 0)


@dataclass
class Reader:
    """Follows the ledger by position alone, as a feed of changes would."""

    conninfo: str
    seen: list[tuple[int, int]] = field(default_factory=list)
    marks: dict[int, object] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    looks: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        assert self._thread is not None
        self._thread.join(30)

    def _follow(self) -> None:
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            while not self._ended.wait(0.05):
                self._look(connection)
            self._look(connection)

    def _look(self, connection: psycopg.Connection) -> None:
        self.looks += 1
        last = self.seen[-1][0] if self.seen else 0
        rows = connection.execute(
            "SELECT position, id FROM insights_ledgerentry WHERE position > %s ORDER BY position", [last]
        ).fetchall()
        for row in rows:
            if row[0] != last + 1:
                self.faults.append(f"position {row[0]} follows {last}")
            last = row[0]
        self.seen += rows
        for mark_id, complete_to in connection.execute("SELECT id, complete_to FROM insights_watermark"):
            before = self.marks.get(mark_id)
            if before is not None and complete_to < before:
                self.faults.append(f"watermark {mark_id} fell from {before} to {complete_to}")
            self.marks[mark_id] = complete_to
