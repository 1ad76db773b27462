"""Reads how far the passes over all subscriptions are: for staff, who may read them and nothing behind them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from insights.models import BillingRun

# A pass says how far it is after every thousand, and ends or is gone on with within minutes.
STILL_AFTER = timedelta(minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """One pass: `kind` is `draft` or `issue`, `part` counts from 1; numbers are of subscriptions and of invoices."""

    id: int
    kind: str
    part: int
    parts: int
    started_at: datetime
    advanced_at: datetime | None
    finished_at: datetime | None
    total: int
    done: int
    issued: int
    parked: int
    failed: int
    problem: str
    stands_still: bool

    @property
    def took(self) -> timedelta:
        """How long it has taken so far, up to the last time that it got further."""
        return (self.finished_at or self.advanced_at or self.started_at) - self.started_at

    @property
    def left(self) -> timedelta | None:
        """About how long it still takes at its own pace; None before there is one, and once it is over."""
        if self.finished_at or self.stands_still or not self.done or not self.took:
            return None
        return self.took * (self.total - self.done) / self.done


def list_runs(*, now: datetime, limit: int, before: int | None = None) -> tuple[RunFacts, ...]:
    """List passes, the newest first, behind the one with this id."""
    rows = BillingRun.objects.order_by("-pk")
    if before is not None:
        rows = rows.filter(pk__lt=before)
    return tuple(_facts(row, now) for row in rows[:limit])


def list_unfinished(*, now: datetime) -> tuple[RunFacts, ...]:
    """List the passes that are under way, or were cut short and wait for the next."""
    rows = BillingRun.objects.filter(finished_at__isnull=True)
    return tuple(_facts(row, now) for row in rows.order_by("kind", "part", "pk"))


def _facts(row: BillingRun, now: datetime) -> RunFacts:
    return RunFacts(
        id=row.pk,
        kind=row.kind,
        part=row.part + 1,
        parts=row.parts,
        started_at=row.started_at,
        advanced_at=row.advanced_at,
        finished_at=row.finished_at,
        total=row.total,
        done=row.done,
        issued=row.issued,
        parked=row.parked,
        failed=row.failed,
        problem=row.problem,
        stands_still=row.finished_at is None and now - (row.advanced_at or row.started_at) > STILL_AFTER,
    )
