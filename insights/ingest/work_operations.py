"""The work list: who may ingest which batch, until when, and after how many failures it is set aside.

Redis and Celery only ring the bell. Who holds a lease, and its fencing number, is decided here in PostgreSQL.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from accounts.tenancy import connection

LEASE_SECONDS = 60
# Delivered this often without one committed chunk, a batch is set aside so that it harms no other.
DELIVERIES_MAX = 3


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on one batch until `until`; the number grows with every new lease."""

    batch_id: int
    number: int


class LeaseLost(Exception):
    """Another worker has taken the batch over; whatever this one has not committed is not to be."""


def claim_work(*, batch_id: int, owner: str) -> Lease | None:
    """Take the lease of a batch, or return None if it is done, held by another, or now quarantined.

    The delivery is counted before the work begins, so that a batch which kills its worker is counted too.
    """
    with connection().cursor() as cursor:
        cursor.execute(
            """
            UPDATE insights_workitem SET
                deliveries = deliveries + 1,
                state = CASE WHEN deliveries >= %(most)s THEN 'quarantined' ELSE 'leased' END,
                lease_owner = %(owner)s,
                lease_number = lease_number + 1,
                leased_until = clock_timestamp() + make_interval(secs => %(seconds)s)
            WHERE batch_id = %(batch)s
              AND (state = 'waiting' OR (state = 'leased' AND leased_until < clock_timestamp()))
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
                WHERE id = %s
                """,
                [batch_id],
            )
            return None
        return Lease(batch_id=batch_id, number=number)


def hold_lease(lease: Lease) -> None:
    """Lock the work row for this transaction and extend the lease; raises LeaseLost when it was taken over."""
    with connection().cursor() as cursor:
        cursor.execute(
            """
            UPDATE insights_workitem SET deliveries = 0,
                leased_until = clock_timestamp() + make_interval(secs => %s)
            WHERE batch_id = %s AND lease_number = %s AND state = 'leased'
            """,
            [LEASE_SECONDS, lease.batch_id, lease.number],
        )
        if cursor.rowcount != 1:
            raise LeaseLost(f"batch {lease.batch_id}, lease {lease.number}")


def give_back(lease: Lease) -> None:
    """Let another worker go on at once; used when this one stops in the middle of a batch on purpose."""
    with connection().cursor() as cursor:
        cursor.execute(
            "UPDATE insights_workitem SET state = 'waiting', leased_until = NULL "
            "WHERE batch_id = %s AND lease_number = %s AND state = 'leased'",
            [lease.batch_id, lease.number],
        )


def finish_work(lease: Lease) -> None:
    """Mark the batch's work as done, in the transaction that stores its last chunk."""
    with connection().cursor() as cursor:
        cursor.execute(
            "UPDATE insights_workitem SET state = 'done', leased_until = NULL "
            "WHERE batch_id = %s AND lease_number = %s AND state = 'leased'",
            [lease.batch_id, lease.number],
        )
        if cursor.rowcount != 1:
            raise LeaseLost(f"batch {lease.batch_id}, lease {lease.number}")


def list_open_work(*, waiting_since: datetime, limit: int = 200) -> tuple[int, ...]:
    """Return batches nobody works on: waiting from before `waiting_since`, or whose lease has run out.

    Oldest first. The bell for them was lost, or their worker died.
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
