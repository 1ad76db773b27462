"""Reads on one batch for the people who run the portal: how far it is, its counts, its refused lines.

Never a cell: portal_staff has no grant on the values of refused lines, nor on usage.
"""

from __future__ import annotations

from collections import Counter
from typing import Any
from uuid import UUID

from django.db.models import Count, Q

from insights.feeds.facts import BatchFacts, PartLine, RejectFact, RejectGroup
from insights.feeds.mends import mend_of
from insights.feeds.queries import line_counts
from insights.models import (
    Batch,
    BatchPart,
    BatchState,
    RejectedLine,
    UnattributedReject,
    WorkItem,
    WorkState,
)

UNFINISHED_STATES = frozenset({BatchState.RECEIVED, BatchState.PROCESSING})


class UnknownBatch(LookupError):
    """There is no batch with that id."""


def get_batch(*, public_id: UUID) -> BatchFacts:
    """One batch with everything but its content, or UnknownBatch."""
    joined = Batch.objects.select_related("source", "submitted_by", "duplicate_of", "replay_of", "backfill")
    batch = joined.filter(public_id=public_id).first()
    if batch is None:
        raise UnknownBatch(str(public_id))
    work = WorkItem.objects.filter(batch=batch).first()
    replays = tuple(batch.replays.order_by("id").values_list("public_id", "state"))
    return BatchFacts(
        id=batch.pk,
        public_id=batch.public_id,
        source_slug=batch.source.slug,
        source_name=batch.source.name,
        name=batch.name,
        via=batch.via,
        media_type=batch.media_type,
        state=batch.state,
        submitted_by=batch.submitted_by.email if batch.submitted_by else "",
        received_at=batch.received_at,
        finished_at=batch.finished_at,
        size_bytes=batch.size_bytes,
        revision=batch.revision,
        complete_to=batch.complete_to,
        counts=line_counts(batch),
        blank_lines=batch.blank_lines,
        lines_done=batch.lines_done,
        lines_total=batch.lines_total,
        deliveries=work.deliveries if work else 0,
        is_leased=work is not None and work.state == WorkState.LEASED,
        error_code=batch.error_code,
        error_detail=batch.error_detail,
        error_line=batch.error_line,
        error_field=batch.error_field,
        duplicate_of=batch.duplicate_of.public_id if batch.duplicate_of else None,
        replay_of=batch.replay_of.public_id if batch.replay_of else None,
        backfill=batch.backfill.public_id if batch.backfill else None,
        replays=tuple(replay for replay, _ in replays),
        replay_running=next((replay for replay, state in replays if state in UNFINISHED_STATES), None),
    )


def find_batch_by_key(*, source_id: int, idempotency_key: str) -> UUID | None:
    """The batch that a sender's idempotency key brought, if there is one."""
    batches = Batch.objects.filter(source_id=source_id, idempotency_key=idempotency_key)
    return batches.values_list("public_id", flat=True).first()


def list_parts(*, batch_id: int, limit: int = 200) -> tuple[PartLine, ...]:
    """What the batch did for each account, in counts, the largest first."""
    parts = (
        BatchPart.objects.filter(batch_id=batch_id)
        .select_related("account")
        .order_by("-received", "account_id")
    )
    return tuple(
        PartLine(
            account_name=part.account.name,
            account_public_id=part.account.public_id,
            counts=line_counts(part),
        )
        for part in parts[:limit]
    )


def list_reject_groups(*, batch_id: int) -> tuple[RejectGroup, ...]:
    """Refused lines by code and field, the most frequent first."""
    lines: Counter[tuple[str, str]] = Counter()
    lines_open: Counter[tuple[str, str]] = Counter()
    for table in _REJECT_TABLES:
        grouped = (
            table.objects.filter(batch_id=batch_id)
            .order_by()
            .values("code", "field")
            .annotate(lines=Count("id"), lines_open=Count("id", filter=Q(replayed_at__isnull=True)))
        )
        for row in grouped:
            lines[row["code"], row["field"]] += row["lines"]
            lines_open[row["code"], row["field"]] += row["lines_open"]
    return tuple(
        RejectGroup(
            code=code, field=field, lines=count, lines_open=lines_open[code, field], mend=mend_of(code)
        )
        for (code, field), count in sorted(lines.items(), key=lambda item: (-item[1], item[0]))
    )


def list_reject_facts(*, batch_id: int, after_line: int = 0, limit: int = 100) -> tuple[RejectFact, ...]:
    """Where and why lines were refused, by line number, beginning behind `after_line`."""
    facts = [
        *_attributed_facts(batch_id, after_line, limit),
        *_unattributed_facts(batch_id, after_line, limit),
    ]
    return tuple(sorted(facts, key=lambda fact: fact.line_no)[:limit])


def _attributed_facts(batch_id: int, after_line: int, limit: int) -> list[RejectFact]:
    rows = _after(RejectedLine, batch_id, after_line).values_list(
        "line_no", "code", "field", "account__name", "account__public_id", "replayed_at"
    )
    return [
        RejectFact(line_no, code, field, name, public_id, is_replayed=replayed_at is not None)
        for line_no, code, field, name, public_id, replayed_at in rows[:limit]
    ]


def _unattributed_facts(batch_id: int, after_line: int, limit: int) -> list[RejectFact]:
    rows = _after(UnattributedReject, batch_id, after_line).values_list(
        "line_no", "code", "field", "replayed_at"
    )
    return [
        RejectFact(line_no, code, field, "", None, is_replayed=replayed_at is not None)
        for line_no, code, field, replayed_at in rows[:limit]
    ]


def _after(table: Any, batch_id: int, after_line: int) -> Any:
    return table.objects.filter(batch_id=batch_id, line_no__gt=after_line).order_by("line_no")


_REJECT_TABLES: tuple[Any, ...] = (RejectedLine, UnattributedReject)
