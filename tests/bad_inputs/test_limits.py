"""Far too much of anything is refused once its limit is crossed, in bounded memory.

Measured in a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accounts.tenancy import as_worker
from insights.models import Batch
from tests.bad_inputs.too_much import EXPECTED, MEBIBYTE
from tests.bad_inputs.ways import Doors, rows_by_table

PEAK_MEBIBYTES_MAX = 300
# A reader may have one piece more in its hands than the limit it refuses at.
SLACK_BYTES = MEBIBYTE


def reports_of(doors: Doors) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bad_inputs.limits_process", doors.key, str(doors.directory)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@pytest.mark.slow
def test_limits_are_applied_before_the_work(doors: Callable[[str], Doors]) -> None:
    reports = {report["name"]: report for report in reports_of(doors("edge"))}

    print("peak:", max(report["peak_mebibytes"] for report in reports.values()), "MiB")
    by_api = {name: report for name, report in reports.items() if "status" in report}
    assert {name: (report["status"], report["code"]) for name, report in by_api.items()} == {
        name: (status, code) for name, (status, code, _read) in EXPECTED.items()
    }
    assert {report["name"]: report["code"] for report in reports.values() if "status" not in report} == {
        "bomb.csv.gz": "archive_bomb",
        "endless.csv": "field_too_long",
    }
    for name, report in by_api.items():
        assert report["bytes_read"] <= EXPECTED[name][2] + SLACK_BYTES * bool(EXPECTED[name][2]), report
    for report in reports.values():
        assert report["peak_mebibytes"] < PEAK_MEBIBYTES_MAX, report
    with as_worker():
        assert Batch.objects.filter(state="received").count() == 1
        assert Batch.objects.filter(state="refused").count() == len(reports) - 1
    kept = rows_by_table()
    kept_mebibytes = -(-reports["as many as may be"]["bytes_read"] // MEBIBYTE)
    assert (kept.pop("insights_workitem"), kept.pop("insights_batchbytes")) == (1, kept_mebibytes)
    assert set(kept.values()) == {0}
