"""What archiving and restoring share: who asks, one at a time, and locks that are never waited for long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

from django.db import OperationalError, transaction

from accounts.operations import record_act
from accounts.tenancy import connection, current_alias
from insights.models import UsageMonth
from insights.values.months import month_text

# Readers wait behind a lock that waits, so each try is short; what reads for long is waited for between tries. A little
# longer than PostgreSQL's deadlock_timeout, after which an automatic vacuum gives way.
LOCK_MILLISECONDS = 1_500
LOCK_TRIES = 60
LOCK_PAUSE_SECONDS = 2.0
LOCK_NOT_AVAILABLE = "55P03"
# Whoever archives or restores holds this lock for the session.
_ALONE = "SELECT pg_try_advisory_lock(hashtext('portal archive'), 0)"
_NOT_ALONE = "SELECT pg_advisory_unlock(hashtext('portal archive'), 0)"
_ALL_CHUNKS_DONE = "SELECT pg_advisory_xact_lock(hashtext('portal usage months'), 0)"


class UnableToArchive(Exception):
    """The month may not be archived or restored, or not now; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Which month, who asks for it, and why; the reason is kept and audited."""

    month: date
    actor_name: str
    reason: str


@contextmanager
def alone() -> Iterator[None]:
    """Keep every other archiving and restoring out; raises UnableToArchive."""
    with connection().cursor() as cursor:
        cursor.execute(_ALONE)
        if not cursor.fetchone()[0]:
            raise UnableToArchive("Another month is being archived or restored.")
    try:
        yield
    finally:
        with connection().cursor() as cursor:
            cursor.execute(_NOT_ALONE)


def with_short_locks(act: Callable[[], UsageMonth]) -> UsageMonth:
    """Try a transaction until its locks are free, each time for a moment only."""
    for attempt in range(LOCK_TRIES):
        if attempt:
            time.sleep(LOCK_PAUSE_SECONDS)
        try:
            with transaction.atomic(using=current_alias()):
                with connection().cursor() as cursor:
                    cursor.execute(f"SET LOCAL lock_timeout = {LOCK_MILLISECONDS}")
                return act()
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                raise
    raise UnableToArchive(
        "Somebody reads usage records all the time, such as a long download; try again later."
    )


def wait_for_chunks() -> None:
    """Wait until no chunk is under way, and let none begin before the caller's transaction ends."""
    with connection().cursor() as cursor:
        cursor.execute(_ALL_CHUNKS_DONE)


def audit(request: Request, month: UsageMonth, *, act: str) -> None:
    """Leave an entry in the audit trail, in the transaction of the act."""
    record_act(
        account=None,
        actor=None,
        actor_name=request.actor_name,
        act=act,
        subject=month_text(request.month),
        details={
            "reason": request.reason.strip()[:200],
            "records": month.records,
            "file": month.file_name,
            "file_sha256": month.file_sha256,
        },
    )
