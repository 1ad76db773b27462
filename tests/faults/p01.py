"""P1: every row is accounted for, wherever a worker is killed."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

from tests.faults import books, sabotage
from tests.faults.load import Load, Size, make_load
from tests.faults.points import POINTS
from tests.faults.site import (
    Outcome,
    Site,
    keep,
    open_batches,
    settle,
    source_ids,
    states,
    write_catalogue,
)
from tests.faults.workers import Workers

SENTENCE = "Every row is accounted for"
COUNT = 200
LINES = 5_000
SMALL = 20
KILLS_PER_FILE = 5
OPEN_MAX = 12
ORDERS_OPEN = 4
RUN_SECONDS_MAX = 1_800.0


def run(site: Site) -> Outcome:
    """Send the load while workers die at named points and at any moment; then hold the books to the files."""
    kills = site.count or COUNT
    outcome = Outcome("P1", SENTENCE, site.seed, faults_asked=kills)
    size = Size(files=max(6, -(-kills // KILLS_PER_FILE)), lines=lines_for(kills))
    load = make_load(site.directory / "load", seed=site.seed, size=size)
    kill_and_compare(site, load, kills=kills, outcome=outcome)
    return outcome


def lines_for(kills: int) -> int:
    """A handful of kills needs no more lines than it can meet."""
    return LINES if kills > SMALL else LINES // 5


def kill_and_compare(site: Site, load: Load, *, kills: int, outcome: Outcome) -> Workers:
    """Deliver a load under kills and fill in the outcome."""
    write_catalogue(load)
    workers = Workers(
        env=site.env,
        directory=site.directory / "workers",
        lease_seconds=site.lease_seconds,
        ring_seconds=site.ring_seconds,
        more={"FAULTS_SABOTAGE": site.sabotage},
    )
    workers.start()
    try:
        deliver_under_kills(site, load, workers, kills=kills)
        settled = settle(site.conninfo, tend=workers.tend, seconds=site.settle_seconds)
    finally:
        workers.stop()
    deaths = workers.deaths()
    outcome.faults = len(deaths)
    outcome.mid_batch = sum(death.is_mid_batch for death in deaths)
    outcome.mid_transaction = sum(death.in_transaction for death in deaths)
    recoveries = workers.recoveries()
    outcome.recoveries = [seconds for seconds in recoveries if seconds is not None]
    outcome.require("a killed batch was never taken over", holds=None not in recoveries)
    outcome.require(f"batches are left: {states(site.conninfo)}", holds=settled)
    outcome.require(
        f"not all batches are done: {states(site.conninfo)}", holds=set(states(site.conninfo)) == {"done"}
    )
    outcome.figures.append(
        f"killed: {sum(death.how == 'worker' for death in deaths)} whole workers, "
        f"{sum(death.how == 'child' for death in deaths)} pool children; "
        f"{len({death.point for death in deaths} & set(POINTS))} of {len(POINTS)} named points, "
        f"{sum(death.point == 'any moment' for death in deaths)} at any moment"
    )
    compare(site, load, outcome)
    outcome.check_faults()
    return workers


def compare(site: Site, load: Load, outcome: Outcome) -> None:
    """Hold the books to the files and add what differs."""
    comparison = books.compare(site.conninfo, load)
    outcome.rows += comparison.rows
    outcome.differences += comparison.differences
    outcome.failures += comparison.lines


def deliver_under_kills(site: Site, load: Load, workers: Workers, *, kills: int) -> None:
    """Keep some batches on their way while half of the kills wait at named points and half come at any moment."""
    chance = random.Random(site.seed)
    sources = source_ids()
    waiting = list(load.files)
    ways = [("child", "child", "child", "child", "worker")[number % 5] for number in range(kills)]
    named = [
        (point, ways[number])
        for number, point in enumerate(
            _points(chance, kills // 2, sabotage.POINTS.get(site.sabotage, POINTS))
        )
    ]
    moments = ways[len(named) :]
    deadline = time.monotonic() + RUN_SECONDS_MAX
    while time.monotonic() < deadline:
        workers.tend()
        on_their_way = open_batches(site.conninfo)
        while waiting and on_their_way < OPEN_MAX:
            keep(load, waiting.pop(0), sources=sources)
            on_their_way += 1
        while named and workers.open_orders() < ORDERS_OPEN:
            point, how = named.pop()
            workers.order(point, how=how)
        # The last files are kept back for the last kills.
        if moments and workers.kill_one_at_work(chance, how=moments[-1]):
            moments.pop()
        if not waiting and not on_their_way:
            return
        if not moments and not named and not workers.open_orders() and not waiting:
            return
        time.sleep(chance.uniform(0.05, 0.35))


def _points(chance: random.Random, count: int, all_points: Sequence[str]) -> list[str]:
    """Every named point as often as every other."""
    points: list[str] = []
    while len(points) < count:
        points += chance.sample(all_points, len(all_points))
    return points[:count]
