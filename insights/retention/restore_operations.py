"""Puts an archived month back, from its file or from the detached table that is still there; all of it or nothing.

What is back is written out once more and must be the archive's text byte by byte before anything is committed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any

from django.db import OperationalError, transaction

from accounts.tenancy import connection, current_alias
from insights.models import MonthState, RollupSeal, UsageMonth
from insights.retention.archive_operations import COPY_MONTH, bounds_of
from insights.retention.file_operations import DamagedFile, check_file, plain_pieces
from insights.retention.lock_operations import (
    HeldUp,
    Request,
    UnableToArchive,
    alone,
    audit,
    is_lock_refused,
    name_running_backfills,
    wait_for_backfills,
    wait_for_chunks_in_turns,
)
from insights.retention.manifest import COLUMNS, Manifest
from insights.values.months import month_text

# Long, since readers and writers of usage are not held up by a month that is attached.
LOCK_SECONDS = 60
_STAGE = """
    CREATE TEMP TABLE month_restored (
        account_id bigint, series_id bigint, window_start timestamptz, row_id text, revision integer,
        quantity numeric(28, 9), entry_id bigint, batch_id bigint, line_no integer
    ) ON COMMIT DROP
"""
_COLUMNS = ", ".join(COLUMNS)
# An empty row id is written as nothing, which a CSV does not tell from NULL.
_TAKE_BACK = f"""
    INSERT INTO insights_usagerecord ({_COLUMNS})
    SELECT account_id, series_id, window_start, coalesce(row_id, ''), revision, quantity, entry_id, batch_id, line_no
    FROM month_restored
"""


def manifest_of(month: UsageMonth) -> Manifest:
    """What the books say of a month's file."""
    return Manifest(
        month=month.month,
        position=month.position or 0,
        records=month.records,
        plain_bytes=month.plain_bytes,
        plain_sha256=month.plain_sha256,
        file_name=month.file_name,
        file_bytes=month.file_bytes,
        file_sha256=month.file_sha256,
    )


def list_damaged_files() -> tuple[str, ...]:
    """Read the file of every archived month and say which is not what the books say, and how."""
    damaged = []
    for month in UsageMonth.objects.filter(state=MonthState.ARCHIVED).order_by("month"):
        try:
            check_file(manifest_of(month))
        except DamagedFile as error:
            damaged.append(f"{month_text(month.month)}: {error}")
    return tuple(damaged)


def restore_month(
    request: Request, *, from_detached: bool, now: datetime, say: Callable[[str], None]
) -> UsageMonth:
    """Attach an archived month again; raises UnableToArchive, or DamagedFile if it would not be what was archived.

    Raises HeldUp when others write for too long; what it waits for is said to `say`. Nothing has changed then.
    """
    if not request.reason.strip():
        raise UnableToArchive("Restoring needs a reason: it is audited.")
    with alone():
        month = get_archived(request.month)
        manifest = manifest_of(month)
        if not from_detached:
            check_file(manifest)
        # Before the load, which would be for nothing.
        wait_for_backfills(say)
        with _restoring() as cursor:
            # The owner's functions make a partition for a month only if it is not archived.
            month.state = MonthState.RESTORED
            month.restored_at, month.restored_by = now, request.actor_name[:254]
            month.save(update_fields=["state", "restored_at", "restored_by"])
            if from_detached:
                _attach_detached(cursor, request.month)
            else:
                _load(cursor, request.month, plain_pieces(manifest))
            _check_text(cursor, manifest)
            # A chunk that is under way has seen an archived month, and may still ask what is known of it.
            wait_for_chunks_in_turns(say)
            cursor.execute("DELETE FROM insights_archivedseries WHERE month = %s", [request.month])
            RollupSeal.objects.filter(month=request.month).delete()
            # Its records are back, and compared: the table that was left detached is a second copy.
            cursor.execute("SELECT portal_drop_detached_month(%s)", [request.month])
            audit(request, month, act="month.restore")
    return month


@contextmanager
def _restoring() -> Iterator[Any]:
    """One transaction with time for a whole month, in which a lock that is not to be had is an answer."""
    try:
        with transaction.atomic(using=current_alias()), connection().cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
            for setting in ("statement_timeout", "idle_in_transaction_session_timeout"):
                cursor.execute(f"SET LOCAL {setting} = 0")
            yield cursor
    except OperationalError as error:
        if not is_lock_refused(error):
            raise
        in_the_way = name_running_backfills() or "Somebody else changes the months of the ledger."
        raise HeldUp(f"{in_the_way} Nothing has changed; try again when that is done.") from error


def get_archived(month: date) -> UsageMonth:
    """Return the row of an archived month; raises UnableToArchive for any other."""
    row = UsageMonth.objects.filter(month=month, state=MonthState.ARCHIVED).first()
    if row is None:
        raise UnableToArchive(f"{month_text(month)} is not archived.")
    return row


def _attach_detached(cursor: Any, month: date) -> None:
    cursor.execute("SELECT portal_reattach_month(%s)", [month])
    if not cursor.fetchone()[0]:
        raise UnableToArchive(
            f"The detached table of {month_text(month)} was dropped; restore it from its file."
        )


def _load(cursor: Any, month: date, pieces: Iterable[bytes]) -> None:
    cursor.execute("SELECT portal_ensure_month(%s)", [month])
    cursor.execute(_STAGE)
    with cursor.copy(f"COPY month_restored ({_COLUMNS}) FROM STDIN (FORMAT csv, HEADER true)") as copy:
        for piece in pieces:
            copy.write(piece)
    cursor.execute(_TAKE_BACK)


def _check_text(cursor: Any, manifest: Manifest) -> None:
    seen = hashlib.sha256()
    with cursor.copy(COPY_MONTH, bounds_of(manifest.month)) as copy:
        for piece in copy:
            seen.update(piece)
    if seen.hexdigest() != manifest.plain_sha256:
        raise DamagedFile(f"The records of {month_text(manifest.month)} are not those that were archived.")
