"""One breakage for each promise, applied in the worker's or web server's own process; the promise must turn red."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

Application = Callable[..., Any]


def _counters_after_the_commit() -> None:
    """P1: the counters are updated once the rows are committed, instead of with them."""
    from django.db import transaction

    from insights.ingest import chunk_operations

    close_chunk = chunk_operations.close_chunk

    def later(run: Any, read: Any, stored: Any) -> None:
        transaction.on_commit(lambda: close_chunk(run, read, stored), using="worker")

    chunk_operations.close_chunk = later


WORKER: dict[str, Callable[[], None]] = {"P1": _counters_after_the_commit}
WEB: dict[str, Callable[[Application], Application]] = {}


def apply_to_worker(promise: str) -> None:
    if promise in WORKER:
        WORKER[promise]()


def apply_to_web(application: Application) -> Application:
    wrap = WEB.get(os.environ.get("FAULTS_SABOTAGE", ""))
    return wrap(application) if wrap else application
