"""Reads the ledger's months as staff see them: where each one is, how large, and from when it may be archived."""

from __future__ import annotations

from datetime import date, datetime

from accounts.tenancy import connection
from insights.models import MonthState, UsageMonth
from insights.retention.care_operations import DETACHED_KEPT
from insights.retention.facts import ArchiveFacts, MonthFacts
from insights.retention.invoice_queries import last_issued_by_month
from insights.retention.rule import Archivable, judge_month

_TABLES = """
    SELECT to_date(substring(c.relname FROM '^insights_usagerecord_([0-9]{6})'), 'YYYYMM'), c.relispartition,
        pg_total_relation_size(c.oid), c.reltuples::bigint
    FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
      AND c.relname ~ '^insights_usagerecord_[0-9]{6}(_detached)?$'
"""
Table = tuple[int, int]


def list_months(*, now: datetime) -> tuple[MonthFacts, ...]:
    """List every month that has a partition or was ever archived, newest first."""
    with connection().cursor() as cursor:
        cursor.execute(_TABLES)
        tables = {(month, attached): (size, records) for month, attached, size, records in cursor.fetchall()}
    rows = {row.month: row for row in UsageMonth.objects.all()}
    months = sorted({month for month, _attached in tables} | set(rows), reverse=True)
    issued = last_issued_by_month(months, now=now)
    return tuple(
        _facts(
            rows.get(month),
            tables.get((month, True)),
            tables.get((month, False)),
            month=month,
            rule=judge_month(month=month, last_invoice_issued_at=issued.get(month), now=now),
        )
        for month in months
    )


def _facts(
    row: UsageMonth | None, attached: Table | None, detached: Table | None, *, month: date, rule: Archivable
) -> MonthFacts:
    state = MonthState.ATTACHED if row is None else MonthState(row.state)
    size, records = attached or detached or (0, -1)
    archive = _archive(row) if row is not None and row.archived_at is not None else None
    kept_until = None
    if archive is not None and state == MonthState.ARCHIVED:
        records = archive.records
        kept_until = archive.archived_at + DETACHED_KEPT if detached is not None else None
    return MonthFacts(
        month=month,
        state=state.value,
        records=records if records >= 0 else None,
        size_bytes=size,
        rule=rule,
        archive=archive,
        detached_until_at=kept_until,
    )


def _archive(row: UsageMonth) -> ArchiveFacts:
    if row.archived_at is None:
        raise ValueError("a month that was never archived has no archive")
    return ArchiveFacts(
        archived_at=row.archived_at,
        archived_by=row.archived_by,
        reason=row.reason,
        records=row.records,
        file_name=row.file_name,
        file_bytes=row.file_bytes,
        file_sha256=row.file_sha256,
        accounts=row.accounts,
        rollups=row.rollups,
        seal_sha256=row.seal_sha256,
        restored_at=row.restored_at,
        restored_by=row.restored_by,
    )
