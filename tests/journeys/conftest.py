"""Real Celery workers for the stories that must go through them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from usage_portal.celery import app

READY_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 30.0


@pytest.fixture
def celery_workers(portal_db: None) -> Iterator[subprocess.Popen[bytes]]:
    """Run one Celery worker with two processes on the tests' own servers."""
    # Whatever an earlier test rang for is gone from the database, so the bell's queue starts empty.
    app.control.purge()
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "usage_portal", "worker", "-c", "2", "-l", "ERROR"],
        env=os.environ | {"PORTAL_MODE": "test"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    )
    try:
        _wait_until_ready(worker)
        yield worker
    finally:
        worker.send_signal(signal.SIGTERM)
        try:
            worker.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


def _wait_until_ready(worker: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < deadline:
        if worker.poll() is not None:
            raise RuntimeError(f"the Celery worker ended with {worker.returncode}")
        if app.control.inspect(timeout=0.5).ping():
            return
    raise RuntimeError("the Celery worker did not answer")
