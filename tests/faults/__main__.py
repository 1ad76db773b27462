"""`./portal faults`: tries each promise on servers of its own and says what held."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import time
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from tests.faults.cluster import Cluster
from tests.faults.site import Outcome, Site, close_connections

PROMISES = {
    "P1": "p01",
    "P2": "p02",
    "P3": "p03",
    "P4": "p04",
    "P5": "p05",
    "P6": "p06",
    "P7": "p07",
    "P8": "p08",
    "P9": "p09",
    "P10": "p10",
    "P11": "p11",
    "P12": "p12",
    "P13": "p13",
    "P14": "p14",
    "P15": "p15",
    "P16": "p16",
    "P17": "p17",
    "P18": "p18",
    "P19": "p19",
    "P20": "p20",
    "P21": "p21",
    "P22": "p22",
    "P29": "p29",
    "P33": "p33",
    "P38": "p38",
    "P39": "p39",
    "disk": "disk",
    "P41": "p41",
    "P43": "p43",
    "deadlocks": "deadlocks",
    "backfill": "backfill",
}
LEASE_SECONDS = 30.0
# What a sabotage needs to show is there after a few faults.
SABOTAGE_COUNT = {
    "P1": 12,
    "P2": 8,
    "P3": 24,
    "P4": 60,
    "P5": 6,
    "P6": 8,
    "P7": 500,
    "P8": 2,
    "P9": 1,
    "P10": 20,
    "P11": 1_000_000,
    "P12": 8,
    "P13": 24,
    "P14": 200,
    "P15": 6,
    "P16": 8,
    "P17": 8,
    "P18": 16,
    "P19": 24,
    "P20": 24,
    "P21": 30,
    "P22": 60,
    "P33": 4,
    "P39": 3,
    "disk": 1,
    "P41": 3,
    "P43": 200,
    "deadlocks": 40,
    "backfill": 2,
}
SABOTAGE_LEASE_SECONDS = 5.0
# What a sample tries: each promise with few faults, so that all of them fit into some minutes.
SAMPLE_COUNT = {
    "P1": 5,
    "P2": 2,
    "P3": 12,
    "P4": 40,
    "P5": 2,
    "P6": 4,
    "P7": 600,
    "P8": 1,
    "P9": 1,
    "P10": 8,
    "P11": 150_000,
    "P12": 16,
    "P13": 24,
    "P14": 1_000,
    "P15": 20,
    "P16": 6,
    "P17": 16,
    "P18": 12,
    "P19": 16,
    "P20": 16,
    "P21": 30,
    "P22": 60,
    "P33": 3,
    "P38": 20,
    "P39": 2,
    "disk": 1,
    "P41": 3,
    "P43": 40,
    "deadlocks": 6,
    "backfill": 4,
}
SAMPLE_LEASE_SECONDS = 3.0


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="./portal faults", description=__doc__)
    parser.add_argument(
        "--promise",
        action="append",
        choices=list(PROMISES),
        help="only this one; may be repeated",
    )
    parser.add_argument("--seed", type=int, help="repeat a run")
    parser.add_argument(
        "--count", type=int, help="how many faults to inject, instead of each promise's own number"
    )
    parser.add_argument(
        "--lease", type=float, help="seconds a worker's lease lasts; the product's 30 by default"
    )
    parser.add_argument("--sample", action="store_true", help="few faults of each; being slow is only told")
    parser.add_argument("--sabotage", action="store_true", help="break each promise; its check must turn red")
    options = parser.parse_args(arguments)
    promises = options.promise or list(PROMISES)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    var = Path(os.environ["PORTAL_VAR"])
    cluster = Cluster(var)
    print(f"seed {seed}", flush=True)
    began = time.monotonic()
    try:
        cluster.start()
        os.environ.update(cluster.env)
        import django

        cluster.fresh_database()
        django.setup()
        passed = [held for name in promises if (held := _try(name, cluster, var, seed, options)) is not None]
    finally:
        cluster.stop()
    print(f"{time.monotonic() - began:.0f} s in all")
    print(f"{passed.count(True)} passed, {passed.count(False)} failed")
    return 0 if all(passed) else 1


def _try(name: str, cluster: Cluster, var: Path, seed: int, options: argparse.Namespace) -> bool | None:
    directory = var / "tried" / name
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    close_connections()
    cluster.fresh_database()
    site = Site(
        env=cluster.env,
        directory=directory,
        seed=seed,
        count=_count(name, options),
        lease_seconds=_lease_seconds(options),
        sabotage=name if options.sabotage else "",
        cluster=cluster,
        is_sample=options.sample,
    )
    began = time.monotonic()
    module = import_module(f"tests.faults.{PROMISES[name]}")
    try:
        outcome = module.run(site)
    except Exception:
        outcome = Outcome(name, module.SENTENCE, seed, failures=[traceback.format_exc()], has_crashed=True)
    outcome.seconds = time.monotonic() - began
    if not options.sample:
        outcome.failures += outcome.late
    return _report(outcome, is_sabotaged=options.sabotage)


def _count(name: str, options: argparse.Namespace) -> int | None:
    if options.count:
        return int(options.count)
    if options.sabotage:
        return SABOTAGE_COUNT.get(name)
    return SAMPLE_COUNT.get(name) if options.sample else None


def _lease_seconds(options: argparse.Namespace) -> float:
    if options.lease:
        return float(options.lease)
    if options.sample:
        return SAMPLE_LEASE_SECONDS
    return SABOTAGE_LEASE_SECONDS if options.sabotage else LEASE_SECONDS


def _report(outcome: Outcome, *, is_sabotaged: bool) -> bool | None:
    if outcome.skipped:
        print(f"{outcome.promise} {outcome.sentence}: SKIPPED, {outcome.skipped}", flush=True)
        return None
    is_red = bool(outcome.failures)
    if is_sabotaged:
        verdict = "red, as it must be" if is_red else "STAYED GREEN under its sabotage"
        if outcome.has_crashed:
            verdict = "crashed, which tells nothing"
    else:
        verdict = "failed" if is_red else "passed"
    print(f"{outcome.promise} {outcome.sentence}: {verdict} ({outcome.seconds:.0f} s, seed {outcome.seed})")
    print("\n".join(outcome.lines()), flush=True)
    return is_red == is_sabotaged and not outcome.has_crashed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
