"""Four writers for ten minutes, with inserts, repeats, revisions, conflicts and reverts mixed: not one deadlock."""

from __future__ import annotations

import random
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

import psycopg

from tests.faults.cluster import manage, wait_until
from tests.faults.load import Load, Size, make_load
from tests.faults.site import (
    SETTLE_SECONDS_MAX,
    Outcome,
    Site,
    keep,
    open_batches,
    source_ids,
    states,
    write_catalogue,
)  # fmt: skip
from tests.faults.workers import Workers

SENTENCE = "Writers never deadlock"
# Seconds, not faults.
COUNT = 600
SIZE = Size(files=8, lines=400, accounts=6, repeats=0.2, conflicts=0.05, revisions=0.4)
OPEN_MAX = 12
REVERT_SHARE = 0.25
REVERT_SECONDS_MAX = 60.0


def run(site: Site) -> Outcome:
    """Keep two workers of two processes busy for a while and count the deadlocks that the server has seen."""
    seconds = site.count or COUNT
    outcome = Outcome("deadlocks", SENTENCE, site.seed)
    workers = Workers(
        env=site.env, directory=site.directory / "workers", lease_seconds=site.lease_seconds,
        ring_seconds=site.ring_seconds, chunk_lines=80, more={"FAULTS_SABOTAGE": site.sabotage},
    )  # fmt: skip
    feeder = Feeder(site)
    workers.start()
    try:
        until = time.monotonic() + seconds
        # A short run goes on until at least one batch has been taken out among the others.
        while time.monotonic() < until or (
            not feeder.done["confirmed"] and time.monotonic() < until + REVERT_SECONDS_MAX
        ):
            workers.tend()
            feeder.feed()
            time.sleep(0.1)
        settled = wait_until(partial(_is_idle, site, workers), seconds=SETTLE_SECONDS_MAX, poll=0.3)
    finally:
        workers.stop()
    outcome.require(f"batches are left: {states(site.conninfo)}", holds=settled)
    _judge(site, outcome, feeder, seconds)
    return outcome


def _is_idle(site: Site, workers: Workers) -> bool:
    """Whether no work is left. A batch that is being reverted counts as done meanwhile, so its state tells nothing."""
    workers.tend()
    with psycopg.connect(site.conninfo) as connection:
        return (
            connection.execute(
                "SELECT FROM insights_workitem WHERE state IN ('waiting', 'leased') LIMIT 1"
            ).fetchone()
            is None
        )


def _judge(site: Site, outcome: Outcome, feeder: Feeder, seconds: float) -> None:
    # The server counts when a session ends or pauses, and these have ended.
    with psycopg.connect(site.conninfo) as connection:
        found = connection.execute(
            "SELECT deadlocks, xact_commit, xact_rollback FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
        (lines,) = connection.execute("SELECT coalesce(sum(received), 0) FROM insights_batch").fetchone() or (
            0,
        )
        verdicts = connection.execute(
            "SELECT sum(new), sum(replaced), sum(duplicate), sum(stale), sum(rejected) FROM insights_batch"
        ).fetchone()
    deadlocks, commits, rollbacks = found or (-1, 0, 0)
    outcome.rows, outcome.differences = lines, deadlocks
    outcome.faults_asked, outcome.faults = 1, feeder.done["confirmed"]
    outcome.require(f"{deadlocks} deadlocks", holds=deadlocks == 0)
    outcome.require(
        f"batches {states(site.conninfo)}", holds=set(states(site.conninfo)) <= {"done", "reverted"}
    )
    done = manage(site.env, "verify_books")
    outcome.require(f"verify_books: {done.stdout[-500:]} {done.stderr[-500:]}", holds=done.returncode == 0)
    outcome.figures.append(
        f"4 writers for {seconds:.0f} s: {dict(feeder.done)}; {deadlocks} deadlocks in {commits} commits and "
        f"{rollbacks} rollbacks"
    )
    named = ("new", "replaced", "duplicate", "stale", "rejected")
    outcome.figures.append(
        "lines " + ", ".join(f"{n} {v}" for n, v in zip(named, verdicts or (), strict=False))
    )
    outcome.check_faults()


class Feeder:
    """Delivers each round's files twice, and takes batches out of the books in between."""

    def __init__(self, site: Site) -> None:
        from tests import factories

        self._site = site
        self._chance = random.Random(site.seed)
        self._staff = factories.make_user("staff@example.com", is_staff=True)
        self._round = 0
        self._waiting: list[tuple[Load, int]] = []
        self._sources: dict[str, int] = {}
        self.done: Counter[str] = Counter()

    def feed(self) -> None:
        """Deliver until enough is on its way, and now and then ask for a revert or confirm one."""
        for _place in range(OPEN_MAX - open_batches(self._site.conninfo)):
            if not self._waiting:
                self._next_round()
            load, number = self._waiting.pop()
            keep(load, load.files[number], sources=self._sources)
            self.done["delivered"] += 1
        if self._chance.random() < REVERT_SHARE:
            self._revert()

    def _next_round(self) -> None:
        self._round += 1
        load = make_load(
            self._site.directory / f"load-{self._round}", seed=self._site.seed + self._round, size=SIZE,
            prefix=f"round{self._round}",
        )  # fmt: skip
        write_catalogue(load, are_accounts_only=self._round > 1)
        self._sources = source_ids()
        self._waiting = [(load, number) for number in range(len(load.files))] * 2
        self._chance.shuffle(self._waiting)

    def _revert(self) -> None:
        from accounts.tenancy import as_staff
        from insights import tasks
        from insights.feeds.revert_operations import UnableToRevert, ask_revert, confirm_revert

        with psycopg.connect(self._site.conninfo) as connection:
            prepared = connection.execute(
                "SELECT b.public_id FROM insights_batchrevert v JOIN insights_batch b ON b.id = v.batch_id "
                "WHERE v.prepared_at IS NOT NULL AND v.confirmed_at IS NULL LIMIT 1"
            ).fetchone()
            fresh = connection.execute(
                "SELECT public_id FROM insights_batch b WHERE state = 'done' AND NOT EXISTS "
                "(SELECT FROM insights_batchrevert v WHERE v.batch_id = b.id) ORDER BY random() LIMIT 1"
            ).fetchone()
        now = datetime.now(UTC)
        # A worker may have the batch in hand just now.
        with suppress(UnableToRevert), as_staff():
            if prepared:
                tasks.ring(confirm_revert(public_id=prepared[0], actor=self._staff, reason="a test", now=now))
                self.done["confirmed"] += 1
            elif fresh:
                tasks.ring(ask_revert(public_id=fresh[0], actor=self._staff, now=now))
                self.done["asked"] += 1
