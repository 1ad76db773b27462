"""The work list: who may ingest which batch, until when, and after how many failures it is set aside.

Redis and Celery only ring the bell. Who holds a lease, and its fencing number, is decided here in PostgreSQL.
A lease is short, so that a dead worker is followed soon, and renewed in the background, so that a slow one is not.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.db import DatabaseError, transaction

from accounts.tenancy import as_worker, connection, current_alias

logger = structlog.get_logger(__name__)

# A killed worker's batch is rung for again after at most a lease and one round of the sweeper.
LEASE_SECONDS = 30.0
RENEWALS_PER_LEASE = 3
# Delivered this often without one committed chunk, a batch is set aside so that it harms no other.
DELIVERIES_MAX = 3


# A held batch is worked on only as the one that stands for its whole backfill.
_FAIL_BACKFILL = """
    UPDATE insights_backfill f SET state = 'failed',
        problem = 'Processing failed three times in a row. Nothing has changed. The cause is in the logs.'
    FROM insights_batch b
    WHERE b.id = %s AND b.state = 'held' AND f.id = b.backfill_id AND f.state IN ('previewing', 'closing')
"""
_END_PARTS = "UPDATE insights_batchpart SET finished_at = clock_timestamp() WHERE batch_id = %s AND finished_at IS NULL"


# A batch that was set aside stays so while it is taken out of the books.
_IS_REVERTED = """EXISTS (
    SELECT 1 FROM insights_batchrevert v WHERE v.batch_id = insights_batch.id AND v.finished_at IS NULL
      AND (v.prepared_at IS NULL OR v.confirmed_at IS NOT NULL)
)"""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on one batch; the number grows with every new lease."""

    batch_id: int
    number: int


class LeaseLost(Exception):
    """Another worker has taken the batch over; whatever this one has not committed is not to be."""


def claim_work(*, batch_id: int, owner: str) -> Lease | None:
    """Take the lease of a batch, or return None if it is done, held by another, or now quarantined.

    The delivery is counted before the work begins, so that a batch which kills its worker is counted too. A row that
    is locked belongs to a transaction that still lives, whatever its lease says, and is not waited for.
    """
    with transaction.atomic(using=current_alias()), connection().cursor() as cursor:
        cursor.execute(
            """
            UPDATE insights_workitem SET
                deliveries = deliveries + 1,
                state = CASE WHEN deliveries >= %(most)s THEN 'quarantined' ELSE 'leased' END,
                lease_owner = %(owner)s,
                lease_number = lease_number + 1,
                leased_until = clock_timestamp() + make_interval(secs => %(seconds)s)
            WHERE id = (
                SELECT id FROM insights_workitem
                WHERE batch_id = %(batch)s
                  AND (state = 'waiting' OR (state = 'leased' AND leased_until < clock_timestamp()))
                FOR UPDATE SKIP LOCKED
            )
            RETURNING state, lease_number
            """,
            {"batch": batch_id, "owner": owner, "seconds": LEASE_SECONDS, "most": DELIVERIES_MAX},
        )
        row = cursor.fetchone()
        if row is None:
            return None
        state, number = row
        if state == "quarantined":
            cursor.execute(
                """
                UPDATE insights_batch SET state = 'quarantined', finished_at = clock_timestamp(),
                    error_code = 'quarantined',
                    error_detail = 'Processing failed three times in a row. Lines already counted stay counted.'
                WHERE id = %s AND state <> 'held'
                """,
                [batch_id],
            )
            cursor.execute(_END_PARTS, [batch_id])
            cursor.execute(_FAIL_BACKFILL, [batch_id])
            return None
        cursor.execute(
            "UPDATE insights_batch SET state = 'processing', finished_at = NULL, error_code = '', error_detail = '', "
            f"error_line = NULL, error_field = '' WHERE id = %s AND error_code <> '' AND NOT {_IS_REVERTED}",
            [batch_id],
        )
        if cursor.rowcount:
            cursor.execute("UPDATE insights_batchpart SET finished_at = NULL WHERE batch_id = %s", [batch_id])
        return Lease(batch_id=batch_id, number=number)


def hold_lease(lease: Lease) -> None:
    """Lock the work row for this transaction; raises LeaseLost when another worker has taken it over."""
    with connection().cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM insights_workitem WHERE batch_id = %s AND lease_number = %s AND state = 'leased' "
            "FOR UPDATE",
            [lease.batch_id, lease.number],
        )
        if cursor.fetchone() is None:
            raise LeaseLost(f"batch {lease.batch_id}, lease {lease.number}")


def extend_lease(lease: Lease) -> None:
    """Extend a lease that this transaction holds. The chunk it commits makes this delivery the first again."""
    with connection().cursor() as cursor:
        cursor.execute(
            "UPDATE insights_workitem SET deliveries = 1, "
            "leased_until = clock_timestamp() + make_interval(secs => %s) WHERE batch_id = %s",
            [LEASE_SECONDS, lease.batch_id],
        )


@contextmanager
def kept_lease(lease: Lease) -> Iterator[None]:
    """Renew a lease from a thread of its own until the block ends, however long one chunk takes."""
    ended = threading.Event()
    thread = threading.Thread(target=_renew_until, args=(lease, ended), name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=1)


def _renew_until(lease: Lease, ended: threading.Event) -> None:
    with as_worker():
        while not ended.wait(LEASE_SECONDS / RENEWALS_PER_LEASE):
            try:
                _renew(lease)
            except DatabaseError as error:
                # The work itself meets the same database and decides what to do.
                logger.warning("lease not renewed", batch_id=lease.batch_id, error=type(error).__name__)
                connection().close()
        connection().close()


def _renew(lease: Lease) -> None:
    """Move the end of a lease on; where the worker's own transaction holds the row, that will do it."""
    with connection().cursor() as cursor:
        cursor.execute(
            """
            UPDATE insights_workitem SET leased_until = clock_timestamp() + make_interval(secs => %s)
            WHERE id = (
                SELECT id FROM insights_workitem WHERE batch_id = %s AND lease_number = %s AND state = 'leased'
                FOR UPDATE SKIP LOCKED
            )
            """,
            [LEASE_SECONDS, lease.batch_id, lease.number],
        )


def give_back(lease: Lease, *, is_counted: bool) -> None:
    """Let another worker go on at once; `is_counted` says whether this delivery counts as a failed one.

    The batch waits from now on, and no longer since it came.
    """
    with connection().cursor() as cursor:
        cursor.execute(
            "UPDATE insights_workitem SET state = 'waiting', leased_until = NULL, deliveries = deliveries - %s, "
            "created_at = clock_timestamp() WHERE batch_id = %s AND lease_number = %s AND state = 'leased'",
            [0 if is_counted else 1, lease.batch_id, lease.number],
        )


def finish_work(lease: Lease) -> None:
    """Mark the batch's work as done, in the transaction that stores its last chunk.

    A batch that is still set aside, because only its revert was prepared, can be tried again as before.
    """
    with connection().cursor() as cursor:
        cursor.execute(
            "UPDATE insights_workitem w SET leased_until = NULL, "
            "state = CASE WHEN b.state = 'quarantined' THEN 'quarantined' ELSE 'done' END FROM insights_batch b "
            "WHERE b.id = w.batch_id AND w.batch_id = %s AND w.lease_number = %s AND w.state = 'leased'",
            [lease.batch_id, lease.number],
        )
        if cursor.rowcount != 1:
            raise LeaseLost(f"batch {lease.batch_id}, lease {lease.number}")


def refuse_batch(lease: Lease, *, code: str, detail: str, line: int | None, field: str) -> None:
    """End a batch with a refusal found while working on it; lines already counted stay counted."""
    with connection().cursor() as cursor:
        cursor.execute(
            """
            UPDATE insights_batch SET state = CASE WHEN lines_done = 0 THEN 'refused' ELSE 'quarantined' END,
                finished_at = clock_timestamp(), error_code = %s, error_detail = %s, error_line = %s, error_field = %s
            WHERE id = %s
            """,
            [code, detail[:500], line, field[:100], lease.batch_id],
        )
        cursor.execute(_END_PARTS, [lease.batch_id])
        cursor.execute(
            "UPDATE insights_workitem SET state = 'quarantined', leased_until = NULL WHERE batch_id = %s",
            [lease.batch_id],
        )


def try_again(*, batch_id: int) -> bool:
    """Put a batch that was set aside back on the work list; return whether there was one.

    For whoever has mended the cause. It goes on behind the last chunk that was counted.
    """
    with connection().cursor() as cursor:
        cursor.execute(
            "UPDATE insights_workitem SET state = 'waiting', deliveries = 0, created_at = clock_timestamp() "
            "WHERE batch_id = %s AND state = 'quarantined'",
            [batch_id],
        )
        return cursor.rowcount == 1


def list_open_work(*, waiting_since: datetime, limit: int = 200) -> tuple[int, ...]:
    """Return batches nobody works on: waiting from before `waiting_since`, or whose lease has run out.

    Oldest first. Their bells were lost, or their workers died, or there is more work than workers.
    """
    with connection().cursor() as cursor:
        cursor.execute(
            """
            SELECT batch_id FROM insights_workitem
            WHERE (state = 'waiting' AND created_at < %s) OR (state = 'leased' AND leased_until < clock_timestamp())
            ORDER BY id LIMIT %s
            """,
            [waiting_since, limit],
        )
        return tuple(row[0] for row in cursor.fetchall())


def bell_patience() -> timedelta:
    """How long a batch may wait for its first bell before it is rung again."""
    return timedelta(seconds=5)
