"""What passes by itself is tried again, and a batch is handed back when the database fails under it."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.db import IntegrityError, OperationalError

from accounts.tenancy import connection
from insights.ingest import work_operations
from insights.ingest.store_operations import ConcurrentChange
from insights.ingest.work_operations import Lease

# Serialization failures, deadlocks, and what a concurrent writer of the same fact shows as.
RETRIES_MAX = 6
RETRYABLE_SQLSTATES = frozenset({"40001", "40P01", "23505"})
# How a server says that it goes away.
LOST_SQLSTATES = frozenset({"08000", "08003", "08006", "57P01", "57P02", "57P03"})
# Disk full, too many connections, a lock that another holds: no batch's fault.
NO_FAULT_SQLSTATES = frozenset({"53100", "53300", "55P03"})
OUTAGE_SECONDS_MAX = 15.0
OUTAGE_POLL_SECONDS = 0.5


def with_retries(write: Callable[[], None]) -> None:
    """Write in a transaction of its own, and again while what stopped it may have passed."""
    for attempt in range(RETRIES_MAX):
        try:
            write()
        except (ConcurrentChange, IntegrityError, OperationalError) as error:
            if attempt + 1 == RETRIES_MAX or not _may_pass(error):
                raise
            time.sleep(0.05 * 2**attempt)
        else:
            return


def _may_pass(error: Exception) -> bool:
    if isinstance(error, ConcurrentChange):
        return True
    return getattr(error.__cause__, "sqlstate", None) in RETRYABLE_SQLSTATES


def hand_back(lease: Lease, error: OperationalError) -> bool:
    """Hand a batch back after the database failed under it, once the database answers; else its lease runs out.

    Return whether another worker is to be told at once.
    """
    sqlstate = getattr(error.__cause__, "sqlstate", None) or ""
    is_lost = not sqlstate or sqlstate in LOST_SQLSTATES
    if not is_lost and sqlstate not in NO_FAULT_SQLSTATES:
        return False
    deadline = time.monotonic() + OUTAGE_SECONDS_MAX
    while time.monotonic() < deadline:
        connection().close()
        try:
            # A batch that brings the database down is set aside in time; a full disk is no batch's fault.
            work_operations.give_back(lease, is_counted=is_lost)
        except OperationalError:
            time.sleep(OUTAGE_POLL_SECONDS)
            continue
        return is_lost
    return False
