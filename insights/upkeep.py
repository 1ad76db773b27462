"""The Celery tasks that beat asks for by the clock: sums, checks, and what is kept only for a time.

None of them is on a batch's way, which is chained in tasks.py.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import structlog
from celery import shared_task
from django.db import transaction

from accounts.operations import drop_sign_in_failures
from accounts.tenancy import as_worker, current_alias
from insights.books import operations as books
from insights.ingest import keeping_operations
from insights.metering import sum_operations as sums
from insights.retention import care_operations as care
from insights.retention.file_operations import DamagedFile

logger = structlog.get_logger(__name__)

# Once in half a minute, so that sums take a fifteenth of a worker that has batches to read.
SUM_SECONDS_BUSY = 2.0
SUM_SECONDS_MAX = 20.0


@shared_task
def sum_named_days() -> int:
    """Sum days over the series of meters that have many, and return how many; but briefly while batches come in."""
    began = time.monotonic()
    days = 0
    with as_worker():
        while waiting := sums.list_days_to_sum():
            before = days
            for wanted in waiting:
                with transaction.atomic(using=current_alias()):
                    days += sums.sum_days(wanted)
                elapsed = time.monotonic() - began
                if elapsed > SUM_SECONDS_MAX or (elapsed > SUM_SECONDS_BUSY and sums.is_ingest_busy()):
                    return days
            if days == before:
                break
    return days


@shared_task
def verify_books() -> int:
    """Check the books against themselves and keep the result for the staff page; return the differences."""
    with as_worker():
        check = books.keep_check(now=datetime.now(UTC))
    if check.differences:
        logger.error("the books differ", differences=check.differences, named=check.named[:5])
    return check.differences


@shared_task
def make_months_ahead() -> int:
    """Make the ledger's partitions of the next months before a chunk needs them; return how many were missing."""
    with as_worker():
        return len(care.make_months_ahead(now=datetime.now(UTC)))


@shared_task
def drop_detached_months() -> int:
    """Drop the tables of months that were archived a week ago, if their files are whole; return how many."""
    now, dropped = datetime.now(UTC), 0
    with as_worker():
        for month in care.list_months_to_drop(now=now):
            try:
                dropped += care.drop_detached_month(month, now=now)
            except DamagedFile as error:
                logger.error("archive damaged, its month is kept", month=month.isoformat(), error=str(error))
    return dropped


@shared_task
def expire_kept_bytes() -> int:
    """Drop the bytes of batches that were done more than 30 days ago."""
    with as_worker():
        return keeping_operations.drop_bytes(finished_before=datetime.now(UTC) - timedelta(days=30))


@shared_task
def expire_sign_in_failures() -> int:
    """Drop failed sign-ins, which hold addresses, after 30 days."""
    with as_worker():
        return drop_sign_in_failures(before=datetime.now(UTC) - timedelta(days=30))


@shared_task
def expire_rejected_lines() -> int:
    """Drop refused lines after 90 days."""
    with as_worker():
        return keeping_operations.drop_rejects(rejected_before=datetime.now(UTC) - timedelta(days=90))
