"""What a customer sees of uploads: the part of each batch that concerns their account, and nothing beyond it.

Runs in the account's transaction as the web role, which has no right to read the platform's own tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Count, Q, QuerySet, Sum

from accounts.models import Account
from insights.feeds.facts import LineCounts
from insights.models import BatchPart, LineVerdict, RejectedLine


@dataclass(frozen=True, slots=True)
class PartFacts:
    """The part of one batch that concerns one account."""

    batch_id: int
    public_id: UUID
    source_slug: str
    source_name: str
    name: str
    via: str
    received_at: datetime
    finished_at: datetime | None
    counts: LineCounts
    first_window: datetime | None
    last_window_end: datetime | None
    reverted_at: datetime | None

    @property
    def is_finished(self) -> bool:
        return self.finished_at is not None


@dataclass(frozen=True, slots=True)
class PartPage:
    """Some parts, newest first, and whether there are newer and older ones."""

    parts: tuple[PartFacts, ...]
    has_newer: bool
    has_older: bool


@dataclass(frozen=True, slots=True)
class PartsSummary:
    """What came since an instant."""

    batches: int
    received: int
    rejected: int


@dataclass(frozen=True, slots=True)
class SourceName:
    """A source that sent for the account."""

    slug: str
    name: str


@dataclass(frozen=True, slots=True)
class VerdictRun:
    """Neighbouring lines with the same verdict."""

    first_line: int
    last_line: int
    lines: int
    verdict: str


@dataclass(frozen=True, slots=True)
class ReasonGroup:
    """How many lines were refused for one reason, and how many of them were taken since."""

    code: str
    field: str
    lines: int
    lines_replayed: int


@dataclass(frozen=True, slots=True)
class RefusedCell:
    """One refused line of the account, with what was sent."""

    line_no: int
    code: str
    field: str
    value: str
    message: str
    replayed_at: datetime | None


def list_part_page(
    account: Account,
    *,
    limit: int,
    source_slug: str = "",
    with_rejects: bool = False,
    older_than: UUID | None = None,
    newer_than: UUID | None = None,
) -> PartPage:
    """List parts beside one that the reader has seen; an id that is not the account's begins at the newest."""
    parts = _filtered(account, source_slug=source_slug, with_rejects=with_rejects)
    seen_id = older_than or newer_than
    seen = _parts(account).filter(batch_public_id=seen_id).first() if seen_id else None
    if seen is not None and newer_than is not None and older_than is None:
        newer = parts.filter(_is_newer(seen)).order_by("received_at", "id")
        rows = list(newer[: limit + 1])
        shown = rows[:limit][::-1]
        return PartPage(tuple(map(_facts, shown)), has_newer=len(rows) > limit, has_older=True)
    older = parts.filter(_is_older(seen)) if seen is not None else parts
    rows = list(older.order_by("-received_at", "-id")[: limit + 1])
    return PartPage(tuple(map(_facts, rows[:limit])), has_newer=seen is not None, has_older=len(rows) > limit)


def _parts(account: Account) -> QuerySet[BatchPart]:
    parts: QuerySet[BatchPart] = BatchPart.objects.for_account(account)
    return parts


def _filtered(account: Account, *, source_slug: str, with_rejects: bool) -> QuerySet[BatchPart]:
    parts = _parts(account)
    if source_slug:
        parts = parts.filter(source_slug=source_slug)
    return parts.filter(rejected__gt=0) if with_rejects else parts


def _is_older(seen: BatchPart) -> Q:
    return Q(received_at__lt=seen.received_at) | Q(received_at=seen.received_at, id__lt=seen.pk)


def _is_newer(seen: BatchPart) -> Q:
    return Q(received_at__gt=seen.received_at) | Q(received_at=seen.received_at, id__gt=seen.pk)


def _facts(part: BatchPart) -> PartFacts:
    return PartFacts(
        batch_id=part.batch_id,
        public_id=part.batch_public_id,
        source_slug=part.source_slug,
        source_name=part.source_name,
        name=part.batch_name,
        via=part.via,
        received_at=part.received_at,
        finished_at=part.finished_at,
        counts=LineCounts(part.received, part.new, part.replaced, part.duplicate, part.stale, part.rejected),
        first_window=part.first_window,
        last_window_end=part.last_window_end,
        reverted_at=part.reverted_at,
    )


def sum_parts(account: Account, *, since: datetime) -> PartsSummary:
    """Count what came since an instant."""
    totals: dict[str, Any] = (
        _parts(account)
        .filter(received_at__gte=since)
        .aggregate(
            batches=Count("id"), received=Sum("received", default=0), rejected=Sum("rejected", default=0)
        )
    )
    return PartsSummary(**totals)


def list_part_sources(account: Account) -> tuple[SourceName, ...]:
    """List the sources that ever sent for the account."""
    rows = _parts(account).order_by("source_slug").values_list("source_slug", "source_name").distinct()
    return tuple(SourceName(slug, name) for slug, name in rows)


def find_part(account: Account, *, public_id: UUID) -> PartFacts | None:
    """Find the account's part of a batch."""
    part = _parts(account).filter(batch_public_id=public_id).first()
    return None if part is None else _facts(part)


def list_verdict_runs(account: Account, *, batch_id: int, limit: int) -> tuple[VerdictRun, ...]:
    """List the runs of lines that were neither new nor refused, in line order."""
    runs = LineVerdict.objects.for_account(account).filter(batch_id=batch_id).order_by("first_line")
    rows = runs.values_list("first_line", "last_line", "lines", "verdict")[:limit]
    return tuple(VerdictRun(*row) for row in rows)


def list_reason_groups(account: Account, *, batch_id: int) -> tuple[ReasonGroup, ...]:
    """List why lines were refused, the most frequent reason first."""
    rows = (
        RejectedLine.objects.for_account(account)
        .filter(batch_id=batch_id)
        .values_list("code", "field")
        .annotate(lines=Count("id"), lines_replayed=Count("id", filter=Q(replayed_at__isnull=False)))
        .order_by("-lines", "code", "field")
    )
    return tuple(ReasonGroup(*row) for row in rows)


def list_refused_cells(
    account: Account, *, batch_id: int, after_line: int, limit: int
) -> tuple[RefusedCell, ...]:
    """List refused lines behind a line number, in line order."""
    rows = (
        RejectedLine.objects.for_account(account)
        .filter(batch_id=batch_id, line_no__gt=after_line)
        .order_by("line_no")
        .values_list("line_no", "code", "field", "value", "message", "replayed_at")
    )
    return tuple(RefusedCell(*row) for row in rows[:limit])


@dataclass(frozen=True, slots=True)
class Reading:
    """Batches that are being read for an account right now, and how many of its lines they have brought so far."""

    batches: int
    lines: int


def find_reading(account: Account) -> Reading | None:
    """Return what is being read for the account, so that a page can say that its figures still grow."""
    found = (
        BatchPart.objects.for_account(account)
        .filter(finished_at=None)
        .aggregate(batches=Count("id"), lines=Sum("received"))
    )
    return Reading(found["batches"], found["lines"]) if found["batches"] else None
