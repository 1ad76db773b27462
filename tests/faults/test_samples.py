"""A sample of `./portal faults`: each promise with a few faults, on a server with fsync and workers that are killed.

One run for all of them, since starting the servers takes longer than most. Being slow decides nothing here. P7, P9,
P29 and P43 have their samples in tests/bad_inputs and tests/isolation.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.__main__ import PROMISES

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("faults")]

SEED = os.environ.get("SEED", "20261123")
ELSEWHERE = frozenset({"P7", "P9", "P29", "P43"})
SAMPLED = [name for name in PROMISES if name not in ELSEWHERE]
SECONDS_MAX = 1_800
# What the launcher of the tests has set is about their own servers.
OF_THE_TESTS = re.compile(r"(DATABASE_URL|REDIS_URL|CELERY_BROKER_URL)$")


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the run said of each promise: its line and the figures below it."""
    command = [sys.executable, "-m", "tests.faults", "--sample", "--seed", SEED]
    env = {name: value for name, value in os.environ.items() if not OF_THE_TESTS.search(name)}
    done = subprocess.run(
        command + [part for name in SAMPLED for part in ("--promise", name)],
        env=env | {"PORTAL_VAR": str(tmp_path_factory.mktemp("faults"))},
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False, timeout=SECONDS_MAX,
    )  # fmt: skip
    print(done.stdout)
    blocks = re.split(r"^(?=(?:P\d+|disk|deadlocks|backfill) )", done.stdout, flags=re.MULTILINE)
    assert len(blocks) > 1, done.stdout[-2_000:] + done.stderr[-4_000:]
    return {block.partition(" ")[0]: block for block in blocks[1:]}


@pytest.mark.parametrize("promise", SAMPLED)
def test_the_promise_holds_in_a_sample(reports: dict[str, str], promise: str) -> None:
    report = reports.get(promise, "not reached")
    if ": SKIPPED, " in report.partition("\n")[0]:
        pytest.skip(report.strip())

    assert ": passed (" in report.partition("\n")[0], report
