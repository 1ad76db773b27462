"""Staff take a batch out of the books: asked for, prepared by a worker, and confirmed with a reason.

A worker counts and carries out, because staff have no right to usage. Refuses what is not in the books, and a
confirmation of what nobody has seen in numbers.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction

from accounts.models import User
from accounts.operations import record_act
from accounts.tenancy import connection, current_alias
from insights.feeds.batch_queries import UnknownBatch
from insights.ingest.archive_operations import hold_off_archiving
from insights.models import Batch, BatchRevert, BatchState, MonthState, UsageMonth

REVERTIBLE_STATES = frozenset({BatchState.DONE, BatchState.QUARANTINED})


class UnableToRevert(Exception):
    """The batch is not in the books, is being read, or its revert is not at this step; the text says which."""


def ask_revert(*, public_id: UUID, actor: User, now: datetime) -> int:
    """Have a worker count what reverting the batch would do, again if need be; return the batch's id for the bell."""
    with transaction.atomic(using=current_alias()):
        batch = _revertible(public_id)
        revert, is_new = BatchRevert.objects.select_for_update().get_or_create(
            batch=batch, defaults={"asked_by": actor}
        )
        if revert.confirmed_at is not None:
            raise UnableToRevert("It is being reverted already.")
        if not is_new:
            BatchRevert.objects.filter(pk=revert.pk).update(asked_at=now, asked_by=actor, prepared_at=None)
        _put_on_work_list(batch)
    return batch.pk


def confirm_revert(*, public_id: UUID, actor: User, reason: str, now: datetime) -> int:
    """Let a worker take the batch out of the books; return the batch's id for the bell."""
    if not reason.strip():
        raise UnableToRevert("A revert needs a reason: customers see that the batch was taken back.")
    with transaction.atomic(using=current_alias()):
        hold_off_archiving()
        batch = _revertible(public_id)
        revert = BatchRevert.objects.select_for_update().filter(batch=batch).first()
        if revert is None or revert.prepared_at is None:
            raise UnableToRevert("What the revert would do has not been counted yet.")
        if revert.confirmed_at is not None:
            raise UnableToRevert("It is being reverted already.")
        _refuse_archived(revert)
        BatchRevert.objects.filter(pk=revert.pk).update(
            confirmed_at=now, confirmed_by=actor, reason=reason.strip()[:200]
        )
        _put_on_work_list(batch)
        record_act(
            account=batch.source.account,
            actor=actor,
            act="batch.revert",
            subject=str(public_id),
            details={
                "reason": reason.strip()[:200],
                "source": batch.source.slug,
                "records_out": revert.preview["leaves"],
                "records_back": revert.preview["returns"],
            },
        )
    return batch.pk


def _refuse_archived(revert: BatchRevert) -> None:
    """Refuse to take lines out of an archived month, whose records are not there and whose rollups are sealed."""
    if archived := revert.preview.get("archived"):
        raise UnableToRevert(
            f"It has lines in an archived month: {', '.join(archived)}. Have it restored, then count again."
        )
    if UsageMonth.objects.filter(state=MonthState.ARCHIVED, archived_at__gte=revert.prepared_at).exists():
        raise UnableToRevert("A month was archived since this was counted; count again.")


def _revertible(public_id: UUID) -> Batch:
    batch = Batch.objects.select_related("source").filter(public_id=public_id).first()
    if batch is None:
        raise UnknownBatch(str(public_id))
    if batch.state not in REVERTIBLE_STATES:
        raise UnableToRevert(f"A batch that is {batch.state} cannot be reverted.")
    return batch


def _put_on_work_list(batch: Batch) -> None:
    with connection().cursor() as cursor:
        cursor.execute(
            "UPDATE insights_workitem SET state = 'waiting', deliveries = 0, created_at = clock_timestamp() "
            "WHERE batch_id = %s AND state IN ('done', 'quarantined')",
            [batch.pk],
        )
        if cursor.rowcount != 1:
            raise UnableToRevert("A worker has the batch in hand; try again when it is done.")
