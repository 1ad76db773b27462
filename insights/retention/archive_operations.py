"""Takes a month out of the database: copied, read back, sealed, detached; in this order and in short transactions.

Until the last transaction commits the month is attached and takes lines as ever, so a process that is killed anywhere
leaves either the month as it was or an archived one, and the command can be repeated. Run as the worker.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

from django.db import transaction

from accounts.tenancy import connection, current_alias
from insights.ingest.digests import digest_of
from insights.metering.seals import seals_now
from insights.models import BatchRevert, MonthState, RollupSeal, UsageMonth
from insights.retention.file_operations import forget_file, keep_file, packed
from insights.retention.lock_operations import (
    Request,
    UnableToArchive,
    alone,
    audit,
    wait_for_chunks,
    with_short_locks,
)
from insights.retention.manifest import COLUMNS, Manifest, file_name_of
from insights.retention.rule import judge_month
from insights.values.months import end_of_month, month_text

COPIES_MAX = 3


class MonthChanged(Exception):
    """Lines were committed into the month since it was copied."""


def archive_month(request: Request, *, last_invoice_issued_at: datetime | None, now: datetime) -> UsageMonth:
    """Archive one month and return its row; raises UnableToArchive or DamagedFile, and then nothing has changed."""
    with alone():
        for attempt in range(COPIES_MAX):
            begin_archive(request, last_invoice_issued_at=last_invoice_issued_at, now=now)
            try:
                return seal_and_detach(request, copy_month(request.month))
            except MonthChanged:
                give_up(request.month)
                if attempt + 1 == COPIES_MAX:
                    raise UnableToArchive(
                        f"Lines kept coming into {month_text(request.month)} while it was copied; try again later."
                    ) from None
            except Exception:
                give_up(request.month)
                raise
    raise AssertionError("every attempt returns or raises")


def begin_archive(request: Request, *, last_invoice_issued_at: datetime | None, now: datetime) -> None:
    """Note that the month is being archived; what a killed attempt left is thrown away."""
    if not request.reason.strip():
        raise UnableToArchive("Archiving needs a reason: it is kept with the month.")
    rule = judge_month(month=request.month, last_invoice_issued_at=last_invoice_issued_at, now=now)
    if not rule.may_be_archived:
        raise UnableToArchive(
            f"{month_text(request.month)} is {rule.why_not}, which is {rule.may_from_at:%Y-%m-%d %H:%M} UTC."
        )
    with transaction.atomic(using=current_alias()):
        UsageMonth.objects.get_or_create(month=request.month)
        month = UsageMonth.objects.select_for_update().get(month=request.month)
        if month.state == MonthState.ARCHIVED:
            raise UnableToArchive(f"{month_text(request.month)} is archived already.")
        _check_partition(request.month)
        left_behind = month.file_name if month.state == MonthState.SEALING else ""
        month.state = MonthState.SEALING
        month.begun_at = now
        month.file_name = file_name_of(request.month, now)
        month.save(update_fields=["state", "begun_at", "file_name"])
    if left_behind:
        forget_file(left_behind)


def _check_partition(month: date) -> None:
    partition = f"insights_usagerecord_{month:%Y%m}"
    with connection().cursor() as cursor:
        cursor.execute(
            "SELECT to_regclass(%s) IS NULL, to_regclass(%s) IS NOT NULL",
            [f"public.{partition}", f"public.{partition}_detached"],
        )
        is_missing, is_left = cursor.fetchone()
    if is_missing:
        raise UnableToArchive(f"There are no records of {month_text(month)}: it has no partition.")
    if is_left:
        raise UnableToArchive(
            f"The detached table of {month_text(month)} is still there; drop it first with --drop-detached."
        )


_OF_MONTH = "u.window_start >= %(start)s::timestamptz AND u.window_start < %(end)s::timestamptz"
# psycopg sends a COPY's values as text, and every cell reads the same in every session.
COPY_MONTH = f"""
    COPY (SELECT {
    ", ".join(
        f'''to_char(u.{name} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS {name}'''
        if name == "window_start"
        else f"u.{name}"
        for name in COLUMNS
    )
} FROM insights_usagerecord u WHERE {_OF_MONTH}
        ORDER BY u.account_id, u.series_id, u.window_start, u.row_id) TO STDOUT (FORMAT csv, HEADER true)
"""
_KEEP_DIGESTS = f"""
    INSERT INTO insights_archivedseries (account_id, series_id, month, digests)
    SELECT u.account_id, u.series_id, %(month)s, array_agg({digest_of("u")})
    FROM insights_usagerecord u WHERE {_OF_MONTH} GROUP BY u.account_id, u.series_id
"""


def bounds_of(month: date) -> dict[str, Any]:
    """The parameters of statements about one month."""
    return {"month": month, "start": f"{month:%Y-%m-%d} 00:00:00+00", "end": end_of_month(month).isoformat()}


def copy_month(month: date) -> Manifest:
    """Copy the month into the archive's storage and read it back, with what keeps its lines known; one snapshot."""
    row = UsageMonth.objects.get(month=month)
    with packed(_snapshot_of(row)) as (path, counted):
        row.refresh_from_db()
        return keep_file(
            path,
            Manifest(
                month=month,
                position=row.position or 0,
                records=counted.lines - 1,
                plain_bytes=counted.size,
                plain_sha256=counted.sha256,
                file_name=row.file_name,
                file_bytes=0,
                file_sha256="",
            ),
        )


def _snapshot_of(row: UsageMonth) -> Iterator[bytes | memoryview]:
    """Yield the month as CSV, in the transaction that also writes its digests and notes the ledger position."""
    bounds = bounds_of(row.month)
    with transaction.atomic(using=current_alias()), connection().cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        for setting in ("statement_timeout", "idle_in_transaction_session_timeout"):
            cursor.execute(f"SET LOCAL {setting} = 0")
        cursor.execute("SELECT position FROM insights_ledgerhead")
        (position,) = cursor.fetchone()
        UsageMonth.objects.filter(pk=row.pk).update(position=position)
        cursor.execute("DELETE FROM insights_archivedseries WHERE month = %(month)s", bounds)
        cursor.execute(_KEEP_DIGESTS, bounds)
        with cursor.copy(COPY_MONTH, bounds) as copy:
            yield from copy


def seal_and_detach(request: Request, manifest: Manifest) -> UsageMonth:
    """Seal the month's rollups and take its partition off the ledger, in one transaction that waits for nobody long.

    Raises MonthChanged if the copy is no longer the month, HeldUp if a lock cannot be had.
    """
    return with_short_locks(request.month, lambda: _seal_and_detach(request, manifest))


def _seal_and_detach(request: Request, manifest: Manifest) -> UsageMonth:
    with connection().cursor() as cursor:
        wait_for_chunks()
        _check_unchanged(cursor, manifest)
        accounts, rollups, seal = _seal(cursor, request.month)
        month = UsageMonth.objects.select_for_update().get(month=request.month)
        month.state = MonthState.ARCHIVED
        # Not when the command began: a revert prepared while the month was copied has not looked at it.
        cursor.execute("SELECT clock_timestamp()")
        (month.archived_at,) = cursor.fetchone()
        month.archived_by = request.actor_name[:254]
        month.reason = request.reason.strip()[:200]
        month.position, month.records = manifest.position, manifest.records
        month.plain_bytes, month.plain_sha256 = manifest.plain_bytes, manifest.plain_sha256
        month.file_name, month.file_bytes = manifest.file_name, manifest.file_bytes
        month.file_sha256 = manifest.file_sha256
        month.accounts, month.rollups, month.seal_sha256 = accounts, rollups, seal
        month.dropped_at = month.restored_at = None
        month.restored_by = ""
        month.save()
        audit(request, month, act="month.archive")
        # Last, since nobody reads usage records between this statement and the commit.
        cursor.execute("SELECT portal_detach_month(%s)", [request.month])
    return month


_COUNTED = f"""
    SELECT count(*), count(*) FILTER (WHERE u.entry_id = ANY (%(since)s)) FROM insights_usagerecord u WHERE {_OF_MONTH}
"""


def _check_unchanged(cursor: Any, manifest: Manifest) -> None:
    """No record came in since the snapshot, and as many are there: so it is the same records, as none is changed."""
    if BatchRevert.objects.filter(confirmed_at__isnull=False, finished_at__isnull=True).exists():
        raise UnableToArchive("A batch is being taken out of the books; try again when that is done.")
    cursor.execute("SELECT id FROM insights_ledgerentry WHERE position > %s", [manifest.position])
    since = [row[0] for row in cursor.fetchall()]
    if not since:
        return
    cursor.execute(_COUNTED, {**bounds_of(manifest.month), "since": since})
    if cursor.fetchone() != (manifest.records, 0):
        raise MonthChanged(month_text(manifest.month))


def _seal(cursor: Any, month: date) -> tuple[int, int, str]:
    """Keep the hash of every account's rollups; return how many accounts and rollups, and the hash of the hashes."""
    cursor.execute(seals_now(months="m.month = %(month)s"), {"month": month})
    rows = sorted(cursor.fetchall())
    RollupSeal.objects.filter(month=month).delete()
    RollupSeal.objects.bulk_create(
        RollupSeal(account_id=account_id, month=month, rollup=rollup, rows=count, sha256=sha256)
        for account_id, _month, rollup, count, sha256 in rows
    )
    said = "\n".join(
        f"{account_id} {rollup} {count} {sha256}" for account_id, _, rollup, count, sha256 in rows
    )
    accounts = {row[0] for row in rows}
    return len(accounts), sum(row[3] for row in rows), hashlib.sha256(said.encode()).hexdigest()


def give_up(month: date) -> None:
    """Say again that the month is attached, and forget the file and the digests of the attempt."""
    with transaction.atomic(using=current_alias()):
        row = UsageMonth.objects.select_for_update().get(month=month)
        if row.state != MonthState.SEALING:
            return
        left_behind = row.file_name
        row.state, row.file_name = MonthState.ATTACHED, ""
        row.save(update_fields=["state", "file_name"])
        with connection().cursor() as cursor:
            cursor.execute("DELETE FROM insights_archivedseries WHERE month = %s", [month])
    if left_behind:
        forget_file(left_behind)
