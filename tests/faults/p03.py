"""P3: the same row any number of times counts once, whichever way it comes, a year later and without Redis' memory."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import psycopg

from tests.faults import books
from tests.faults.cluster import manage
from tests.faults.load import FIRST_WINDOW, FilePlan, Load, Size, make_load
from tests.faults.p01 import compare
from tests.faults.senders import at_once, make_source_keys, send
from tests.faults.site import Outcome, Site, keep, settle, source_ids, write_catalogue
from tests.faults.workers import Workers

SENTENCE = "The same row counts once, for ever"
COUNT = 600
CLIENTS = 8
TIMES = 3
LINES = 300
LATER_DAYS = 400


def run(site: Site) -> Outcome:
    """Deliver every file three times at once by three ways, then again 400 days on, then again around a FLUSHALL."""
    deliveries = site.count or COUNT
    outcome = Outcome("P3", SENTENCE, site.seed, faults_asked=deliveries)
    load = make_load(
        site.directory / "load", seed=site.seed, size=Size(files=max(4, deliveries // TIMES), lines=LINES)
    )
    age = datetime.now(UTC) - FIRST_WINDOW
    # Young enough today and too old in 400 days.
    write_catalogue(load, max_age_days=age.days + 30)
    cluster = site.servers()
    cluster.start_web()
    workers = Workers(
        env=site.env, directory=site.directory / "workers", lease_seconds=site.lease_seconds,
        ring_seconds=site.ring_seconds, chunk_lines=100, more={"FAULTS_SABOTAGE": site.sabotage},
    )  # fmt: skip
    try:
        ways = _ways(site, load)
        _deliver(site, workers, load, ways, outcome)
        compare(site, load, outcome)
        single = books.digest(site.conninfo)
        last = _last_batch(site)
        _deliver(
            site,
            replace(workers, more=workers.more | {"FAULTS_CLOCK_DAYS": str(LATER_DAYS)}),
            load,
            ways[:1],
            outcome,
        )
        outcome.require("400 days later the books changed", holds=books.digest(site.conninfo) == single)
        commands = [partial(deliver_by_command, site, load, slug) for slug in source_ids()]
        flushing = _flushing(site, ways[0], len(load.files))
        _deliver(site, workers, load, [flushing, ways[1]], outcome, also=commands)
        outcome.require("a flushed Redis changed the books", holds=books.digest(site.conninfo) == single)
        _check_repeats(site, outcome, behind=last)
    finally:
        cluster.stop_web()
    outcome.check_faults()
    return outcome


Way = Callable[[FilePlan], Any]


def _ways(site: Site, load: Load) -> list[Way]:
    keys, sources, port = make_source_keys(load), source_ids(), site.servers().port

    def by_http(file: FilePlan) -> Any:
        return send(port, keys[file.source], load, file).is_accepted

    def by_gzip(file: FilePlan) -> Any:
        return send(port, keys[file.source], load, file, is_gzip=True).is_accepted

    def by_file(file: FilePlan) -> Any:
        return keep(load, file, sources=sources)

    return [by_http, by_file, by_gzip]


def _flushing(site: Site, way: Way, files: int) -> Way:
    """Forget everything in Redis a few times while the files come."""
    count = iter(range(files))

    def deliver(file: FilePlan) -> Any:
        if next(count) % max(1, files // 4) == 0:
            site.servers().flush_redis()
        return way(file)

    return deliver


def _deliver(
    site: Site,
    workers: Workers,
    load: Load,
    ways: list[Way],
    outcome: Outcome,
    also: Sequence[Callable[[], Any]] = (),
) -> None:
    jobs: list[Callable[[], Any]] = [partial(way, file) for way in ways for file in load.files]
    jobs += also
    random.Random(site.seed).shuffle(jobs)
    workers.start()
    try:
        answers = at_once(jobs, clients=CLIENTS)
        settled = settle(site.conninfo, tend=workers.tend, seconds=site.settle_seconds)
    finally:
        workers.stop()
    outcome.faults += len(jobs)
    outcome.require(f"{answers.count(False)} deliveries were not accepted", holds=False not in answers)
    outcome.require("deliveries are left", holds=settled)


def deliver_by_command(site: Site, load: Load, source: str) -> bool:
    """Hand all files of a source to the command that people use."""
    names = [str(load.directory / file.name) for file in load.files if file.source == source]
    return manage(site.env, "ingest", source, *names, "--no-wait").returncode == 0


def _last_batch(site: Site) -> int:
    with psycopg.connect(site.conninfo) as connection:
        row = connection.execute("SELECT max(id) FROM insights_batch").fetchone()
    return int(row[0]) if row else 0


def _check_repeats(site: Site, outcome: Outcome, *, behind: int) -> None:
    """A repeat may say duplicate, and refuse again what was refused; it may not say anything else."""
    with psycopg.connect(site.conninfo) as connection:
        rows = connection.execute(
            "SELECT count(*), sum(received), sum(duplicate), sum(new + replaced + stale), "
            "count(*) FILTER (WHERE rejected <> (SELECT min(f.rejected) FROM insights_batch f "
            "WHERE f.sha256 = b.sha256 AND f.id <= %s)) FROM insights_batch b WHERE id > %s",
            [behind, behind],
        ).fetchone()
    assert rows is not None
    batches, received, duplicate, otherwise, unlike = rows
    outcome.rows += received
    outcome.differences += otherwise
    outcome.require(f"{otherwise} repeated lines were not duplicates", holds=otherwise == 0)
    outcome.require(f"{unlike} repeats refused other lines than the first time", holds=unlike == 0)
    outcome.figures.append(
        f"{outcome.faults} deliveries; {batches} repeats after the first round: "
        f"{duplicate} of {received} lines duplicate"
    )
