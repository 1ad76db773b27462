"""P10: one bad batch harms no other. It is set aside after three deaths, and the good ones hardly notice."""

from __future__ import annotations

import time

import psycopg

from tests.faults.load import Load, Size, make_load
from tests.faults.p01 import compare
from tests.faults.site import Outcome, Site, keep, settle, source_ids, wait_for, write_catalogue
from tests.faults.workers import Workers

SENTENCE = "One bad batch harms no other"
COUNT = 200
DEATHS_MAX = 3
SLOWER_MAX = 2.0
SETTLE_SECONDS = 240.0


def run(site: Site) -> Outcome:
    """Time the good batches without the bad one, then among them one that kills whoever reads it."""
    good = site.count or COUNT
    outcome = Outcome("P10", SENTENCE, site.seed, faults_asked=DEATHS_MAX)
    load = make_load(site.directory / "load", seed=site.seed, size=Size(files=2 * good + 1, lines=100))
    write_catalogue(load)
    workers = Workers(
        env=site.env, directory=site.directory / "workers", lease_seconds=site.lease_seconds,
        ring_seconds=site.ring_seconds, chunk_lines=50, more={"FAULTS_SABOTAGE": site.sabotage},
    )  # fmt: skip
    workers.start()
    try:
        without = _time(site, load, workers, range(1, good + 1))
        poison = keep(load, load.files[0], sources=source_ids(), name="poison")
        beside = _time(site, load, workers, range(good + 1, 2 * good + 1))
        limit = site.settle_seconds if site.sabotage else SETTLE_SECONDS
        settled = settle(site.conninfo, tend=workers.tend, seconds=limit)
    finally:
        workers.stop()
    deaths = [death for death in workers.deaths() if death.batch == poison]
    outcome.faults = outcome.mid_batch = len(deaths)
    outcome.recoveries = [seconds for seconds in workers.recoveries() if seconds is not None][
        : DEATHS_MAX - 1
    ]
    outcome.require(f"{len(deaths)} deaths by one batch", holds=len(deaths) == DEATHS_MAX)
    outcome.require("batches are left", holds=settled)
    outcome.require(
        "the bad batch was not set aside", holds=_state(site, poison) == ("quarantined", "quarantined")
    )
    outcome.require_in_time(
        f"{good} good batches took {beside:.1f} s beside it and {without:.1f} s without",
        holds=beside <= SLOWER_MAX * without + 1.0,
    )
    outcome.figures.append(
        f"{good} good batches: {without:.1f} s without the bad one, {beside:.1f} s beside it"
    )
    compare(site, load, outcome)
    outcome.check_faults()
    return outcome


def _time(site: Site, load: Load, workers: Workers, numbers: range) -> float:
    """Seconds from the first delivery of these files until the last of them is counted."""
    began = time.monotonic()
    sources = source_ids()
    ids = [keep(load, load.files[number], sources=sources) for number in numbers]
    wait_for(site.conninfo, ids, tend=workers.tend)
    return time.monotonic() - began


def _state(site: Site, batch: int) -> tuple[str, str]:
    with psycopg.connect(site.conninfo) as connection:
        row = connection.execute(
            "SELECT state, error_code FROM insights_batch WHERE id = %s", [batch]
        ).fetchone()
    return (row[0], row[1]) if row else ("absent", "")
