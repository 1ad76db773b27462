"""Worker processes that share a pass, each for its part of the accounts, as the timetable asks with `BILLING_PARTS`.

Nothing of Django is imported before a process has set it up.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from multiprocessing.pool import Pool
from multiprocessing.synchronize import Barrier

SECONDS_MAX = 3_600


@contextmanager
def workers(count: int) -> Iterator[Pool]:
    """So many processes, all of them ready to work."""
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(count + 1)
    with context.Pool(count, _get_ready, (ready,)) as pool:
        ready.wait()
        yield pool


def shared_pass(pool: Pool, count: int, kind: str, now: datetime) -> int:
    """One pass in so many parts at once; how many subscriptions were done. Raises AssertionError if one failed."""
    return sum(pool.map(partial(_part, kind, now, count), range(count), chunksize=1))


def _get_ready(ready: Barrier) -> None:
    import django

    django.setup()
    from usage_portal.celery import prepare_worker

    prepare_worker()
    ready.wait()


def _part(kind: str, now: datetime, count: int, number: int) -> int:
    from accounts.tenancy import as_worker
    from insights.billing.pass_operations import run_pass
    from insights.billing.period_queries import PartOfAccounts

    with as_worker():
        run = run_pass(kind, now, until=time.monotonic() + SECONDS_MAX, part=PartOfAccounts(number, count))
    done, failed = (0, 0) if run is None else (run.done, run.failed)
    assert failed == 0, run and run.problem
    return done
