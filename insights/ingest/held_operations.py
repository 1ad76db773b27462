"""Lets an upload into an open backfill, or refuses it: one source's own, still open, and with room left.

Who adds a batch and who ends the backfill take the same lock, so that no batch slips in behind its close.
"""

from __future__ import annotations

import uuid

from accounts.tenancy import connection
from insights.ingest.refusals import RequestRefused
from insights.models import Backfill, BackfillState

# One transaction writes all of them; it was measured with as many.
HELD_LINES_MAX = 1_000_000
# Each is opened anew, and a sender of single lines would make as many as lines.
HELD_BATCHES_MAX = 1_000
FILLABLE_STATES = frozenset(
    {BackfillState.OPEN, BackfillState.PREVIEWING, BackfillState.READY, BackfillState.FAILED}
)


def find_backfill(*, public_id: uuid.UUID, source_id: int) -> tuple[int, str]:
    """Return id and state of a source's backfill; raises RequestRefused, for another source's as for none."""
    found = Backfill.objects.filter(public_id=public_id, source_id=source_id)
    row = found.values_list("id", "state").first()
    if row is None:
        raise RequestRefused("unknown_backfill", "this source has no such backfill", field="backfill")
    return int(row[0]), str(row[1])


def hold_backfill(backfill_id: int) -> None:
    """Keep everybody else from adding to a backfill or ending it until the caller's transaction ends."""
    # Who takes uploads in has no right to lock its row.
    with connection().cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('backfill'), %s)", [backfill_id % 2**31])


def admit_held(*, backfill_id: int) -> None:
    """Refuse the batch that the caller's transaction has just kept if the backfill was ended or is full by now."""
    hold_backfill(backfill_id)
    with connection().cursor() as cursor:
        cursor.execute(
            """
            SELECT f.state, count(*), sum(b.lines_total)
            FROM insights_backfill f JOIN insights_batch b ON b.backfill_id = f.id AND b.state = 'held'
            WHERE f.id = %s GROUP BY f.id
            """,
            [backfill_id],
        )
        state, batches, lines = cursor.fetchone()
    refuse_unless_open(state)
    if lines > HELD_LINES_MAX or batches > HELD_BATCHES_MAX:
        detail = (
            f"a backfill holds up to {HELD_LINES_MAX:,} lines in {HELD_BATCHES_MAX:,} batches; close this one, "
            "and send the rest to a next one"
        )
        raise RequestRefused("backfill_full", detail, field="backfill")


def refuse_unless_open(state: str) -> None:
    """Raise RequestRefused if a backfill in that state takes no more batches."""
    if state not in FILLABLE_STATES:
        detail = f"the backfill is {state} and takes nothing more"
        raise RequestRefused("backfill_not_open", detail, field="backfill")
