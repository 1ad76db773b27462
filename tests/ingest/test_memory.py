"""Long lines cost no more memory than short ones, neither where they are received nor where they are worked in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from accounts.tenancy import as_worker
from insights.ingest.replay_operations import replay_rejects
from insights.models import Batch
from tests import factories

LINES = 30_000
WORKER_MEBIBYTES_MAX = 300
RECEIVING_MEBIBYTES_MAX = 200


def answers_of(act: str) -> list[int]:
    """What the process that does one act says: figures, its peak the last."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.ingest.long_lines_process", act, str(LINES)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [int(line) for line in done.stdout.splitlines() if line.isdecimal()]


@pytest.mark.slow
@pytest.mark.usefixtures("portal_db")
def test_240_megabytes_of_long_lines_stay_in_bounds() -> None:
    factories.make_meter("bytes_out")
    factories.make_account("ansel")
    factories.make_source("edge", key_kind="row_id", ignored=["note"])

    batch_id, receiving_peak = answers_of("receive")
    [working_peak] = answers_of(str(batch_id))

    with as_worker():
        batch = Batch.objects.get(pk=batch_id)
    replay = replay_rejects(batch_public_id=batch.public_id, submitted_by_id=None)
    [replaying_peak] = answers_of(str(replay.batch_id))

    print(f"receiving: {receiving_peak} MiB, working: {working_peak} MiB, replaying: {replaying_peak} MiB")
    assert (batch.state, batch.new, batch.rejected) == ("done", LINES // 2, LINES // 2)
    assert receiving_peak < RECEIVING_MEBIBYTES_MAX
    assert working_peak < WORKER_MEBIBYTES_MAX
    assert replaying_peak < WORKER_MEBIBYTES_MAX
