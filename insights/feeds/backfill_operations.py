"""Staff open a backfill, have it previewed, and close or discard it with a reason; every step leaves an audit entry.

A worker counts and carries out, because staff have no right to usage. Refuses a close of what nobody has seen in
numbers, and of batches that came after the preview.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from accounts.models import User
from accounts.operations import record_act
from accounts.tenancy import connection, current_alias
from insights.feeds.operations import COMMAND_LINE
from insights.feeds.queries import UnknownSource
from insights.ingest.held_operations import hold_backfill
from insights.models import Backfill, BackfillState, Batch, BatchState, Source

REASON_CHARACTERS_MAX = 200
# A worker has the others in hand, or they are over.
AT_REST = frozenset({BackfillState.OPEN, BackfillState.READY, BackfillState.FAILED})


class UnknownBackfill(LookupError):
    """There is no backfill with that id."""


class UnableToBackfill(Exception):
    """The backfill is not at this step, or something is missing; the text says which."""


def open_backfill(*, slug: str, actor: User | None, reason: str, takes_any_age: bool) -> UUID:
    """Open a backfill of a source and return its id; raises UnknownSource, UnableToBackfill."""
    reason = _required(reason, "A backfill needs a reason.")
    source = Source.objects.select_related("account").filter(slug=slug).first()
    if source is None:
        raise UnknownSource(slug)
    try:
        with transaction.atomic(using=current_alias()):
            backfill = Backfill.objects.create(
                source=source, opened_by=actor, reason=reason, takes_any_age=takes_any_age
            )
            _record(backfill, actor, "backfill.open", reason=reason, takes_any_age=takes_any_age)
    except IntegrityError:
        raise UnableToBackfill(
            "The source has an open backfill already; close or discard that first."
        ) from None
    return backfill.public_id


def ask_preview(*, public_id: UUID, actor: User | None) -> int:
    """Have a worker count what closing would do; return the id of the batch to ring for."""
    with transaction.atomic(using=current_alias()):
        backfill = _held(public_id)
        held = _held_batches(backfill)
        if not held:
            raise UnableToBackfill("It holds no batch yet; send files to it first.")
        _move(backfill, state=BackfillState.PREVIEWING, problem="")
        _put_on_work_list(held[0])
    return held[0]


def confirm_close(*, public_id: UUID, actor: User | None, reason: str) -> int:
    """Let a worker write the backfill into the books, all of it at once; return the id of the batch to ring for."""
    reason = _required(reason, "A close needs a reason.")
    with transaction.atomic(using=current_alias()):
        backfill = _held(public_id)
        if backfill.state != BackfillState.READY:
            raise UnableToBackfill("What the close would do has not been counted yet; preview it first.")
        if not _is_preview_of(backfill):
            raise UnableToBackfill("Batches came in after the preview; preview it again.")
        held = _held_batches(backfill)
        _move(backfill, state=BackfillState.CLOSING, problem="", end_reason=reason, ended_by_id=_id(actor))
        _put_on_work_list(held[0])
        totals = backfill.preview["totals"]
        _record(backfill, actor, "backfill.close", reason=reason, batches=len(held), **totals)
    return held[0]


def discard_backfill(*, public_id: UUID, actor: User | None, reason: str, now: datetime) -> int | None:
    """End a backfill without a trace in the books; return the batch to ring for, if it held any."""
    reason = _required(reason, "A discard needs a reason.")
    with transaction.atomic(using=current_alias()):
        backfill = _held(public_id)
        held = _held_batches(backfill)
        _move(
            backfill,
            state=BackfillState.DISCARDED,
            problem="",
            end_reason=reason,
            ended_by_id=_id(actor),
            ended_at=now,
        )
        if held:
            _put_on_work_list(held[0])
        _record(backfill, actor, "backfill.discard", reason=reason, batches=len(held))
    return held[0] if held else None


def _required(text: str, otherwise: str) -> str:
    text = " ".join(text.split())
    if not text:
        raise UnableToBackfill(f"{otherwise} It is kept with the backfill and in the audit trail.")
    if len(text) > REASON_CHARACTERS_MAX or not text.isprintable():
        raise UnableToBackfill(f"A reason has up to {REASON_CHARACTERS_MAX} plain characters.")
    return text


def _held(public_id: UUID) -> Backfill:
    """Return the backfill, which nobody adds to or moves until the transaction ends, if no worker has it in hand."""
    found = Backfill.objects.select_related("source__account").filter(public_id=public_id)
    backfill = found.first()
    if backfill is None:
        raise UnknownBackfill(str(public_id))
    hold_backfill(backfill.pk)
    backfill = found.get()
    if backfill.state in (BackfillState.CLOSED, BackfillState.DISCARDED):
        raise UnableToBackfill(f"The backfill is {backfill.state}.")
    if backfill.state not in AT_REST:
        raise UnableToBackfill("A worker has it in hand; try again when it is done.")
    return backfill


def _held_batches(backfill: Backfill) -> list[int]:
    held = Batch.objects.filter(backfill=backfill, state=BatchState.HELD).order_by("id")
    return list(held.values_list("id", flat=True))


def _is_preview_of(backfill: Backfill) -> bool:
    held = Batch.objects.filter(backfill=backfill, state=BatchState.HELD).order_by("id")
    return [str(found) for found in held.values_list("public_id", flat=True)] == backfill.preview["batches"]


def _move(backfill: Backfill, **values: Any) -> None:
    # A worker that has just finished has moved it on already.
    if not Backfill.objects.filter(pk=backfill.pk, state=backfill.state).update(**values):
        raise UnableToBackfill("A worker has it in hand; try again when it is done.")


def _put_on_work_list(batch_id: int) -> None:
    with connection().cursor() as cursor:
        cursor.execute(
            "UPDATE insights_workitem SET state = 'waiting', deliveries = 0, created_at = clock_timestamp() "
            "WHERE batch_id = %s AND state IN ('done', 'quarantined')",
            [batch_id],
        )
        if cursor.rowcount != 1:
            raise UnableToBackfill("A worker has it in hand; try again when it is done.")


def _id(actor: User | None) -> int | None:
    return None if actor is None else actor.pk


def _record(backfill: Backfill, actor: User | None, act: str, **details: Any) -> None:
    record_act(
        account=backfill.source.account,
        actor=actor,
        actor_name=COMMAND_LINE,
        act=act,
        subject=str(backfill.public_id),
        details={"source": backfill.source.slug, **details},
    )
