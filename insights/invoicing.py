"""The Celery tasks that bring invoices up to date, as beat asks for them by the clock.

A pass that is cut short, by its time or by a kill, is taken up again by the next.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

from celery import shared_task

from accounts.tenancy import as_worker
from insights.billing.run_operations import run_pass

# Well before a task's time is up.
PASS_SECONDS_MAX = 240.0


@shared_task
def draft_invoices() -> int:
    """Draft anew what usage or a change has left behind; return how many subscriptions were looked at."""
    return _pass("draft")


@shared_task
def issue_invoices() -> int:
    """Issue what is due and park what a person has to look at; return how many invoices were issued."""
    return _pass("issue")


def _pass(kind: str) -> int:
    with as_worker():
        run = run_pass(kind, datetime.now(UTC), until=time.monotonic() + PASS_SECONDS_MAX)
    if run is None:
        return 0
    return run.issued if kind == "issue" else run.done
