"""What staff pages know of backfills: frozen facts in lines and records, without a quantity."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from insights.feeds.facts import LineCounts

_AT_REST = ("open", "ready", "failed")


@dataclass(frozen=True, slots=True)
class BackfillLine:
    """One backfill in a list."""

    public_id: UUID
    state: str
    reason: str
    opened_at: datetime
    opened_by: str
    batches: int
    lines: int
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class HeldBatch:
    """One delivery to a backfill; its counts are zero until the close."""

    public_id: UUID
    name: str
    via: str
    state: str
    received_at: datetime
    lines_total: int | None
    error_code: str
    counts: LineCounts


@dataclass(frozen=True, slots=True)
class PreviewDay:
    """What closing does to one account's meter on one day, in records."""

    reference: str
    account: str
    public_id: str
    meter: str
    day: date
    before: int
    new: int
    replaced: int
    leaves: int
    after: int


@dataclass(frozen=True, slots=True)
class PreviewMeter:
    """The same for one meter, over all accounts and days that change."""

    meter: str
    days: int
    before: int
    new: int
    replaced: int
    leaves: int
    after: int


@dataclass(frozen=True, slots=True)
class Counted:
    """Lines by verdict of one batch, or of one account."""

    name: str
    reference: str
    public_id: str
    counts: LineCounts


@dataclass(frozen=True, slots=True)
class PreviewReject:
    """Where a line would be refused and why; never what it says."""

    public_id: str
    name: str
    line: int
    code: str
    field: str
    account: str


@dataclass(frozen=True, slots=True)
class PreviewFacts:
    """What the last preview counted. An account that it would make has no page yet."""

    totals: LineCounts
    batches: tuple[Counted, ...]
    accounts: tuple[Counted, ...]
    accounts_in_all: int
    meters: tuple[PreviewMeter, ...]
    days: tuple[PreviewDay, ...]
    days_in_all: int
    codes: tuple[dict[str, Any], ...]
    rejects: tuple[PreviewReject, ...]
    has_moves: bool


@dataclass(frozen=True, slots=True)
class BackfillFacts:
    """One backfill as its page shows it."""

    public_id: UUID
    source_slug: str
    source_name: str
    state: str
    reason: str
    takes_any_age: bool
    opened_at: datetime
    opened_by: str
    batches: tuple[HeldBatch, ...]
    held: int
    held_lines: int
    preview: PreviewFacts | None
    previewed_at: datetime | None
    is_preview_current: bool
    problem: str
    ended_at: datetime | None
    ended_by: str
    end_reason: str
    position: int | None

    @property
    def is_at_rest(self) -> bool:
        """Whether staff can do something with it now."""
        return self.state in _AT_REST

    @property
    def takes_batches(self) -> bool:
        return self.state in (*_AT_REST, "previewing")

    @property
    def is_worked_on(self) -> bool:
        """Whether a worker has something to do, so that the page will change by itself."""
        is_being_dropped = self.state == "discarded" and self.held > 0
        return self.state in ("previewing", "closing") or is_being_dropped
