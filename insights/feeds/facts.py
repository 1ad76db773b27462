"""What staff pages know of sources, batches and refusals: frozen facts without a single cell of usage."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from insights.feeds.lag import Punctuality, every_words
from insights.feeds.mends import Mend
from insights.ingest.source_definition import SourceDefinition


@dataclass(frozen=True, slots=True)
class LineCounts:
    """What became of the lines received."""

    received: int
    new: int
    replaced: int
    duplicate: int
    stale: int
    rejected: int

    @property
    def adds_up(self) -> bool:
        return self.received == self.new + self.replaced + self.duplicate + self.stale + self.rejected


@dataclass(frozen=True, slots=True)
class BatchLine:
    """One batch in a list."""

    public_id: UUID
    name: str
    via: str
    state: str
    received_at: datetime
    finished_at: datetime | None
    counts: LineCounts


@dataclass(frozen=True, slots=True)
class FeedLine:
    """How one feed is doing."""

    slug: str
    name: str
    is_enabled: bool
    cadence_seconds: int
    last_batch: BatchLine | None
    punctuality: Punctuality
    accounts: int
    complete_to: datetime | None
    complete_to_highest: datetime | None
    rejected_lately: int
    waiting: int
    leased: int
    quarantined: int

    @property
    def cadence(self) -> str:
        """How often it is expected, in words."""
        return every_words(self.cadence_seconds)


@dataclass(frozen=True, slots=True)
class SourceLine:
    """One source in the list of sources."""

    slug: str
    name: str
    is_enabled: bool
    account_name: str
    live_keys: int
    definition: SourceDefinition


@dataclass(frozen=True, slots=True)
class KeyLine:
    """A key that may write, without its secret."""

    public_id: UUID
    name: str
    prefix: str
    created_at: datetime
    created_by: str
    last_used_at: datetime | None
    expires_at: datetime | None
    state: str


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """One source as its page shows it."""

    id: int
    definition: SourceDefinition
    is_billable: bool
    account_name: str
    account_reference: str
    has_batches: bool
    keys: tuple[KeyLine, ...]


@dataclass(frozen=True, slots=True)
class PartLine:
    """What one batch did for one account, in counts."""

    account_name: str
    account_public_id: UUID
    counts: LineCounts


@dataclass(frozen=True, slots=True)
class RejectFact:
    """Where and why a line was refused; an account's name if the line named one we know."""

    line_no: int
    code: str
    field: str
    account_name: str
    account_public_id: UUID | None
    is_replayed: bool


@dataclass(frozen=True, slots=True)
class RejectGroup:
    """How often one code refused one field, and what mends it."""

    code: str
    field: str
    lines: int
    lines_open: int
    mend: Mend


@dataclass(frozen=True, slots=True)
class BatchFacts:
    """One batch as its page shows it."""

    id: int
    public_id: UUID
    source_slug: str
    source_name: str
    name: str
    via: str
    media_type: str
    state: str
    submitted_by: str
    received_at: datetime
    finished_at: datetime | None
    size_bytes: int
    revision: int | None
    complete_to: datetime | None
    counts: LineCounts
    blank_lines: int
    lines_done: int
    lines_total: int | None
    deliveries: int
    is_leased: bool
    error_code: str
    error_detail: str
    error_line: int | None
    error_field: str
    duplicate_of: UUID | None
    replay_of: UUID | None
    replays: tuple[UUID, ...]
    replay_running: UUID | None
    backfill: UUID | None

    @property
    def is_finished(self) -> bool:
        return self.state in ("done", "refused", "quarantined", "reverted", "held", "discarded")
