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
from insights.models import Source, UsageMonth
from insights.values.months import month_text

# Readers wait behind a lock that waits, so each try is short; what reads for long is waited for between tries. A little
# longer than PostgreSQL's deadlock_timeout, after which an automatic vacuum gives way.
LOCK_MILLISECONDS = 1_500
LOCK_TRIES = 60
LOCK_PAUSE_SECONDS = 2.0
LOCK_REFUSED_SQLSTATES = frozenset({"55P03", "40P01"})
# How long a restore waits for what others write.
WAIT_SECONDS = 60
WAIT_PAUSE_SECONDS = 1.0
# What a command ends with when it may be given again as it is; EX_TEMPFAIL of sysexits.h.
HELD_UP_EXIT_CODE = 75
# Whoever archives or restores holds this lock for the session.
_ALONE = "SELECT pg_try_advisory_lock(hashtext('portal archive'), 0)"
_NOT_ALONE = "SELECT pg_advisory_unlock(hashtext('portal archive'), 0)"
_ALL_CHUNKS_DONE = "SELECT pg_advisory_xact_lock(hashtext('portal usage months'), 0)"
_HERE = "l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
# A lock of two numbers shows the first of them without its sign.
_NAMED = (
    "l.locktype = 'advisory' AND l.objsubid = 2 AND l.classid = (hashtext('{}')::bigint & 4294967295)::oid"
)
# Chunks are left out, since they end when the months are taken; and vacuums, which give way.
_READERS = f"""
    SELECT DISTINCT l.virtualtransaction FROM pg_locks l
    WHERE {_HERE} AND l.locktype = 'relation' AND l.mode <> 'ShareUpdateExclusiveLock' AND l.pid <> pg_backend_pid()
      AND l.relation IN ('public.insights_usagerecord'::regclass, to_regclass(%s))
      AND l.pid NOT IN (SELECT l.pid FROM pg_locks l WHERE {_HERE} AND {_NAMED.format("portal usage months")})
"""
_BACKFILLED = f"""
    SELECT l.objid::bigint FROM pg_locks l
    WHERE {_HERE} AND {_NAMED.format("backfill run")} AND l.mode = 'ExclusiveLock'
"""
READ_ALL_THE_TIME = "Somebody reads usage records all the time, such as a long download."


class UnableToArchive(Exception):
    """The month may not be archived or restored, or not now; the text says why."""


class HeldUp(UnableToArchive):
    """Somebody else's work was in the way for too long; the same command may be given again later."""


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


def with_short_locks(month: date, act: Callable[[], UsageMonth]) -> UsageMonth:
    """Try a transaction until its locks are free, each time for a moment only; raises HeldUp.

    The transaction holds off writers before it asks for the table, so it is not begun while somebody is known to keep
    the table for longer than a try lasts: such a try could only fail, and writers would have waited for it.
    """
    in_the_way = ""
    for attempt in range(LOCK_TRIES):
        if attempt:
            time.sleep(LOCK_PAUSE_SECONDS)
        if in_the_way := _find_obstacle(month):
            continue
        try:
            with transaction.atomic(using=current_alias()):
                with connection().cursor() as cursor:
                    cursor.execute(f"SET LOCAL lock_timeout = {LOCK_MILLISECONDS}")
                return act()
        except OperationalError as error:
            if not is_lock_refused(error):
                raise
            in_the_way = READ_ALL_THE_TIME
    raise HeldUp(f"{in_the_way} Nothing has changed; try again later.")


def is_lock_refused(error: OperationalError) -> bool:
    """Whether a statement ended because a lock was not to be had in time, or not without a deadlock."""
    return getattr(error.__cause__, "sqlstate", None) in LOCK_REFUSED_SQLSTATES


def _find_obstacle(month: date) -> str:
    """Say who keeps the month's table for long, or nothing; takes no lock and lasts as long as a try at most."""
    if running := name_running_backfills():
        return running
    readers = _readers_of(month)
    if not readers:
        return ""
    time.sleep(LOCK_MILLISECONDS / 1_000)
    return READ_ALL_THE_TIME if readers & _readers_of(month) else ""


def _readers_of(month: date) -> set[str]:
    with connection().cursor() as cursor:
        cursor.execute(_READERS, [f"public.insights_usagerecord_{month:%Y%m}"])
        return {row[0] for row in cursor.fetchall()}


def name_running_backfills() -> str:
    """Say which source's backfill is previewed or closed just now, which takes minutes; nothing if none is."""
    with connection().cursor() as cursor:
        cursor.execute(_BACKFILLED)
        source_ids = [row[0] for row in cursor.fetchall()]
    slugs = Source.objects.filter(pk__in=source_ids).order_by("slug").values_list("slug", flat=True)
    return f"A backfill of {', '.join(slugs)} is being previewed or closed." if slugs else ""


def wait_for_chunks() -> None:
    """Wait until no chunk is under way, and let none begin before the caller's transaction ends."""
    with connection().cursor() as cursor:
        cursor.execute(_ALL_CHUNKS_DONE)


def wait_for_chunks_in_turns(say: Callable[[str], None]) -> None:
    """Do as wait_for_chunks in the caller's transaction, and in between let those past who came meanwhile.

    Says what it waits for; raises HeldUp.
    """

    def take() -> bool:
        try:
            with transaction.atomic(using=current_alias()):
                with connection().cursor() as cursor:
                    cursor.execute(f"SET LOCAL lock_timeout = {LOCK_MILLISECONDS}")
                wait_for_chunks()
        except OperationalError as error:
            if not is_lock_refused(error):
                raise
            return False
        return True

    _poll(take, say, "Lines are being written all the time.")


def wait_for_backfills(say: Callable[[str], None]) -> None:
    """Wait until no backfill is being previewed or closed; says so, and raises HeldUp when it takes too long."""
    _poll(lambda: not name_running_backfills(), say, "A backfill is being previewed or closed.")


def _poll(is_free: Callable[[], bool], say: Callable[[str], None], otherwise: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    said = ""
    while not is_free():
        in_the_way = name_running_backfills() or otherwise
        if time.monotonic() >= deadline:
            raise HeldUp(f"{in_the_way} Nothing has changed; try again when that is done.")
        if in_the_way != said:
            say(f"{in_the_way} Waiting for up to {WAIT_SECONDS} s.")
            said = in_the_way
        time.sleep(WAIT_PAUSE_SECONDS)


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
