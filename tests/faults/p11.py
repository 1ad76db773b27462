"""P11: big senders do not starve small ones."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import psutil
import psycopg

from tests.faults.load import COLUMNS, FIRST_WINDOW, HOURS, FilePlan, Load, Size, make_load, write_plan
from tests.faults.senders import at_once
from tests.faults.site import Outcome, Site, keep, percentile, settle, source_ids, wait_for, write_catalogue
from tests.faults.workers import Workers

SENTENCE = "Big senders do not starve small ones"
COUNT = 1_000_000
SMALL_FILES = 49
SMALL_LINES = 100
# The command line cuts a large file into parts of 250,000 lines; a smaller one is cut as often here.
PARTS = 4
CLIENTS = 12
# The big files may be done before every small one was sent; so many must have met them.
MEETINGS_MIN = 16
# Each worker ends the chunk in hand, and with it perhaps the one that was claimed at the same moment.
CHUNKS_PASSED_MAX = 6
VISIBLE_SECONDS_MAX = 10.0
BIG_SECONDS_MAX = 120.0
MEMORY_MIB_MAX = 300.0


def run(site: Site) -> Outcome:
    """Send a million rows of one account, and small files of forty-nine others while they are worked on."""
    rows = site.count or COUNT
    outcome = Outcome("P11", SENTENCE, site.seed, faults_asked=MEETINGS_MIN)
    small = make_load(
        site.directory / "load", seed=site.seed, size=Size(files=SMALL_FILES, lines=SMALL_LINES)
    )
    big = _write_big(small, rows)
    write_catalogue(small)
    workers = Workers(
        env=site.env, directory=site.directory / "workers", count=1, lease_seconds=site.lease_seconds,
        ring_seconds=site.ring_seconds, chunk_lines=50_000, more={"FAULTS_SABOTAGE": site.sabotage},
    )  # fmt: skip
    workers.start()
    memory = Memory(workers)
    memory.start()
    try:
        began = time.monotonic()
        big_ids = [keep(big, file, sources=source_ids()) for file in big.files]
        seconds = _send_small(site, small, big_ids)
        outcome.faults = len(seconds)
        wait_for(site.conninfo, big_ids, tend=workers.tend)
        took = time.monotonic() - began
        settle(site.conninfo, tend=workers.tend)
    finally:
        workers.stop()
        memory.stop()
    _judge(site, outcome, seconds=seconds, took=took, rows=rows, memory=memory, big_ids=big_ids)
    outcome.check_faults()
    return outcome


# How many chunks of the large files were committed while one small file waited, at the most.
_CHUNKS_PASSED = """
    SELECT coalesce(max(passed), 0) FROM (
        SELECT count(*) AS passed FROM insights_batch b JOIN insights_ledgerentry e
            ON e.committed_at > b.received_at AND e.committed_at < b.finished_at AND e.batch_id = ANY(%s)
        WHERE b.id <> ALL(%s) GROUP BY b.id
    ) waited
"""


def _judge(
    site: Site,
    outcome: Outcome,
    *,
    seconds: list[float],
    took: float,
    rows: int,
    memory: Memory,
    big_ids: list[int],
) -> None:
    with psycopg.connect(site.conninfo) as connection:
        (counted,) = connection.execute(
            "SELECT sum(new) FROM insights_batch WHERE id = ANY(%s) AND state = 'done'", [big_ids]
        ).fetchone() or (0,)
        (passed,) = connection.execute(_CHUNKS_PASSED, [big_ids, big_ids]).fetchone() or (0,)
    outcome.require(
        f"{passed} chunks of the large files went before a small one that waited",
        holds=passed <= CHUNKS_PASSED_MAX,
    )
    outcome.rows, outcome.differences = rows, rows - (counted or 0)
    slow = percentile(seconds, 95) if seconds else 0.0
    big_max = BIG_SECONDS_MAX * max(rows, 200_000) / 1_000_000
    outcome.require_in_time(
        f"p95 of {slow:.1f} s until small files were visible", holds=slow < VISIBLE_SECONDS_MAX
    )
    outcome.require_in_time(f"{rows} rows took {took:.0f} s", holds=took < big_max)
    outcome.require(f"a worker took {memory.mib_max:.0f} MiB", holds=memory.mib_max < MEMORY_MIB_MAX)
    outcome.require(f"{counted} of {rows} rows counted", holds=counted == rows)
    outcome.figures.append(
        f"{len(seconds)} small files beside {rows} rows, behind at most {passed} chunks: visible after "
        f"p50 {percentile(seconds or [0], 50):.1f} s, p95 {slow:.1f} s, max {max(seconds, default=0):.1f} s; "
        f"the rows took {took:.0f} s; largest worker process {memory.mib_max:.0f} MiB"
    )


def _send_small(site: Site, load: Load, big_ids: list[int]) -> list[float]:
    """Send the small files by a few clients; seconds from sending to visible, of those that met the big ones."""
    sources = source_ids()

    def deliver(file: FilePlan) -> float | None:
        began = time.monotonic()
        if not _is_any_open(site, big_ids):
            return None
        batch = keep(load, file, sources=sources)
        wait_for(site.conninfo, [batch], tend=lambda: None, poll=0.05)
        return time.monotonic() - began

    found = at_once([partial(deliver, file) for file in load.files], clients=CLIENTS)
    return [seconds for seconds in found if seconds is not None]


def _is_any_open(site: Site, batch_ids: list[int]) -> bool:
    with psycopg.connect(site.conninfo) as connection:
        return (
            connection.execute(
                "SELECT 1 FROM insights_batch WHERE id = ANY(%s) AND finished_at IS NULL LIMIT 1", [batch_ids]
            ).fetchone()
            is not None
        )


def _write_big(load: Load, rows: int) -> Load:
    """One account's rows in as many files as the command line would make, each a series after the other."""
    directory = load.directory.with_name("big")
    directory.mkdir()
    part_lines = -(-rows // PARTS)
    chance = random.Random(rows)
    account, written, files = load.accounts[0].reference, 0, []
    hours = [f"{FIRST_WINDOW + timedelta(hours=hour):%Y-%m-%dT%H:00:00Z}" for hour in range(HOURS)]
    while written < rows:
        files.append(FilePlan(f"big-{len(files)}.csv", "edge", "csv"))
        with Path(directory / files[-1].name).open("w") as file:
            file.write(",".join(COLUMNS) + "\n")
            for number in range(written, min(rows, written + part_lines)):
                series, hour = divmod(number, HOURS)
                quantity = chance.randrange(1, 10**9)
                file.write(f"{account},meter_00,{hours[hour]},{quantity},unit,,big-{series},eu-west,https\n")
        written += part_lines
    big = replace(load, directory=directory, files=tuple(files))
    write_plan(big)
    return big


class Memory:
    """The largest resident size that any process of the pool reached."""

    def __init__(self, workers: Workers) -> None:
        self.workers, self.mib_max = workers, 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join(5)

    def _watch(self) -> None:
        while not self._ended.wait(0.25):
            for pid in self.workers.pool():
                try:
                    self.mib_max = max(self.mib_max, psutil.Process(pid).memory_info().rss / 2**20)
                except psutil.Error:
                    continue
