"""Measures how long a small batch takes to be visible while a large upload goes in."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

from tests.bench import site
from tests.bench.figures import Report, p50_p95
from tests.bench.rows import ONE_HOUR, Plan, write_files
from tests.bench.site import Site

SMALL_ROWS = 1_000
SMALL_BATCHES_MAX = 200
SECONDS_MAX = 10


def measure(running: Site, plan: Plan, report: Report, *, files: int) -> None:
    """Send the large upload in one thread, and small ones of another source one after the other."""
    site.empty_database()
    site.open_accounts(plan)
    large = site.open_sender("bench-large", key_kind="window")
    paths = write_files(running.directory, plan, numbers=plan.in_order(), key_kind="window", files=files)
    taken: list[float] = []
    loading = threading.Thread(target=lambda: taken.append(site.send_all(running, large, paths)))
    small = site.open_sender("bench-small", key_kind="window")
    bodies = _small_bodies(running.directory, plan)
    seconds = []
    loading.start()
    while loading.is_alive() and bodies:
        began = time.perf_counter()
        site.send(running, small, bodies.pop())
        site.wait_until_visible([small.source_id])
        seconds.append(time.perf_counter() - began)
    loading.join()
    if not taken or not seconds:
        raise RuntimeError("the large upload did not go in")
    p50, p95 = p50_p95(seconds)
    report.say(
        f"{SMALL_ROWS:,} rows visible beside {plan.records:,}, p50",
        f"{p50 / 1000:.1f} s ({len(seconds)} batches)",
    )
    report.at_most(f"{SMALL_ROWS:,} rows visible beside {plan.records:,}, p95", p95 / 1000, SECONDS_MAX, " s")


def _small_bodies(directory: Path, plan: Plan) -> list[bytes]:
    """Batches of the same series from before the large upload; no two hold the same row."""
    records = SMALL_ROWS * SMALL_BATCHES_MAX
    small = replace(plan, records=records, start=plan.start - -(-records // len(plan.series)) * ONE_HOUR)
    where = directory / "small"
    where.mkdir(exist_ok=True)
    paths = write_files(where, small, numbers=small.in_order(), key_kind="window", files=SMALL_BATCHES_MAX)
    return [path.read_bytes() for path in paths]
