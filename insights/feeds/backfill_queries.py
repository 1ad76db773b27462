"""Reads on backfills for the people who run the portal: how far each is and what it would do, never a quantity."""

from __future__ import annotations

from dataclasses import fields
from datetime import date
from typing import Any
from uuid import UUID

from django.db.models import Count, Q, Sum

from accounts.models import Account
from insights.feeds.backfill_facts import (
    BackfillFacts,
    BackfillLine,
    Counted,
    HeldBatch,
    PreviewDay,
    PreviewFacts,
    PreviewMeter,
    PreviewReject,
)
from insights.feeds.backfill_operations import UnknownBackfill
from insights.feeds.facts import LineCounts
from insights.feeds.queries import line_counts
from insights.models import Backfill, Batch, BatchState, LedgerEntry

LISTED_MAX = 20
BATCHES_SHOWN_MAX = 200


def list_backfills(*, source_id: int) -> tuple[BackfillLine, ...]:
    """Return the newest backfills of a source, newest first."""
    taken = ~Q(batches__state=BatchState.REFUSED)
    counted = Backfill.objects.filter(source_id=source_id).select_related("opened_by")
    counted = counted.annotate(
        number=Count("batches", filter=taken), lines=Sum("batches__lines_total", filter=taken)
    ).order_by("-id")
    return tuple(
        BackfillLine(
            public_id=backfill.public_id,
            state=backfill.state,
            reason=backfill.reason,
            opened_at=backfill.opened_at,
            opened_by=_email(backfill.opened_by),
            batches=backfill.number,
            lines=backfill.lines or 0,
            ended_at=backfill.ended_at,
        )
        for backfill in counted[:LISTED_MAX]
    )


def get_backfill(*, public_id: UUID) -> BackfillFacts:
    """One backfill with its batches and its last preview, or UnknownBackfill."""
    joined = Backfill.objects.select_related("source", "opened_by", "ended_by")
    backfill = joined.filter(public_id=public_id).first()
    if backfill is None:
        raise UnknownBackfill(str(public_id))
    batches = Batch.objects.filter(backfill=backfill).order_by("id")
    held = list(batches.filter(state=BatchState.HELD).values_list("public_id", "lines_total"))
    previewed = backfill.preview.get("batches", [])
    entry = LedgerEntry.objects.filter(backfill=backfill).first()
    return BackfillFacts(
        public_id=backfill.public_id,
        source_slug=backfill.source.slug,
        source_name=backfill.source.name,
        state=backfill.state,
        reason=backfill.reason,
        takes_any_age=backfill.takes_any_age,
        opened_at=backfill.opened_at,
        opened_by=_email(backfill.opened_by),
        batches=tuple(_held_batch(batch) for batch in batches[:BATCHES_SHOWN_MAX]),
        held=len(held),
        held_lines=sum(lines or 0 for _, lines in held),
        preview=_preview(backfill.preview) if previewed else None,
        previewed_at=backfill.previewed_at,
        is_preview_current=previewed == [str(held_id) for held_id, _ in held],
        problem=backfill.problem,
        ended_at=backfill.ended_at,
        ended_by=_email(backfill.ended_by),
        end_reason=backfill.end_reason,
        position=entry.position if entry else None,
    )


def _email(user: Any) -> str:
    return user.email if user else "command line"


def _held_batch(batch: Batch) -> HeldBatch:
    return HeldBatch(
        public_id=batch.public_id,
        name=batch.name,
        via=batch.via,
        state=batch.state,
        received_at=batch.received_at,
        lines_total=batch.lines_total,
        error_code=batch.error_code,
        counts=line_counts(batch),
    )


def _preview(kept: dict[str, Any]) -> PreviewFacts:
    named = {row["public_id"] for row in kept["by_account"]} | {row["public_id"] for row in kept["days"]}
    pages = set(map(str, Account.objects.filter(public_id__in=named).values_list("public_id", flat=True)))
    return PreviewFacts(
        totals=LineCounts(**kept["totals"]),
        batches=tuple(_counted(row, row["public_id"]) for row in kept["by_batch"]),
        accounts=tuple(_counted(row, _page(row, pages)) for row in kept["by_account"]),
        accounts_in_all=kept["accounts_in_all"],
        meters=tuple(PreviewMeter(**row) for row in kept["by_meter"]),
        days=tuple(
            PreviewDay(**{**row, "day": date.fromisoformat(row["day"]), "public_id": _page(row, pages)})
            for row in kept["days"]
        ),
        days_in_all=kept["days_in_all"],
        codes=tuple(kept["codes"]),
        rejects=tuple(PreviewReject(**row) for row in kept["rejects"]),
        has_moves=any(row["leaves"] for row in kept["by_meter"]),
    )


def _page(row: dict[str, Any], pages: set[str]) -> str:
    return row["public_id"] if row["public_id"] in pages else ""


def _counted(row: dict[str, Any], public_id: str) -> Counted:
    counts = LineCounts(**{field.name: row[field.name] for field in fields(LineCounts)})
    return Counted(name=row["name"], reference=row.get("reference", ""), public_id=public_id, counts=counts)
