"""What is done for months without being asked: partitions ahead of need, and detached tables dropped in time.

Run as the worker.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

from django.db import OperationalError, transaction

from accounts.tenancy import connection, current_alias
from insights.models import MonthState, UsageMonth
from insights.retention.file_operations import check_file
from insights.retention.lock_operations import LOCK_MILLISECONDS, UnableToArchive, alone, is_lock_refused
from insights.retention.restore_operations import manifest_of
from insights.values.months import month_of, month_text, months_from

MONTHS_AHEAD = 3
DETACHED_KEPT = timedelta(days=7)


def make_months_ahead(*, now: datetime) -> tuple[date, ...]:
    """Make the partitions of this month and of those ahead; return the ones that were missing.

    Attaching waits for whoever vacuums or changes the ledger's tables, and for no reader. It waits for a moment only:
    what could not be made is made the next day, or by the first chunk that needs it.
    """
    made = []
    for month in months_from(month_of(now), MONTHS_AHEAD + 1):
        try:
            with transaction.atomic(using=current_alias()), connection().cursor() as cursor:
                cursor.execute(f"SET LOCAL lock_timeout = {LOCK_MILLISECONDS}")
                cursor.execute("SELECT portal_ensure_month(%s)", [month])
                if cursor.fetchone()[0]:
                    made.append(month)
        except OperationalError as error:
            if not is_lock_refused(error):
                raise
    return tuple(made)


def list_months_to_drop(*, now: datetime) -> tuple[date, ...]:
    """The months whose detached table has been kept for long enough."""
    months = UsageMonth.objects.filter(
        state=MonthState.ARCHIVED, dropped_at=None, archived_at__lte=now - DETACHED_KEPT
    )
    return tuple(months.order_by("month").values_list("month", flat=True))


def drop_detached_month(month: date, *, now: datetime) -> bool:
    """Drop the detached table of an archived month, after reading its file once more; return whether there was one.

    Raises DamagedFile, and then the table stays: it is the only copy left.
    """
    with alone():
        row = UsageMonth.objects.filter(
            month=month, state__in=[MonthState.ARCHIVED, MonthState.RESTORED]
        ).first()
        if row is None:
            raise UnableToArchive(f"{month_text(month)} was never archived.")
        check_file(manifest_of(row))
        with transaction.atomic(using=current_alias()), connection().cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = {LOCK_MILLISECONDS}")
            cursor.execute("SELECT portal_drop_detached_month(%s)", [month])
            (was_there,) = cursor.fetchone()
            row.dropped_at = now
            row.save(update_fields=["dropped_at"])
    return bool(was_there)
