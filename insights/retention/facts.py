"""What is said of one month of the ledger, on the page and as CSV. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime

from insights.retention.rule import Archivable
from insights.values.months import month_text

COLUMNS = (
    "month",
    "state",
    "records",
    "records_are",
    "size_bytes",
    "may_be_archived_from",
    "may_be_archived_now",
    "why_not",
    "archived_at",
    "archived_by",
    "reason",
    "file",
    "file_bytes",
    "file_sha256",
    "sealed_rollups",
    "sealed_accounts",
    "seal_sha256",
    "detached_until",
    "restored_at",
    "restored_by",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveFacts:
    """The last archive of a month, which a restored month keeps."""

    archived_at: datetime
    archived_by: str
    reason: str
    records: int
    file_name: str
    file_bytes: int
    file_sha256: str
    accounts: int
    rollups: int
    seal_sha256: str
    restored_at: datetime | None
    restored_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthFacts:
    """One month. `records` are exact for an archived one, else PostgreSQL's last estimate, None before the first."""

    month: date
    state: str
    records: int | None
    size_bytes: int
    rule: Archivable
    archive: ArchiveFacts | None
    detached_until_at: datetime | None

    @property
    def name(self) -> str:
        """As commands take it."""
        return month_text(self.month)

    @property
    def is_archived(self) -> bool:
        """Whether its records are in a file and not in the ledger."""
        return self.state == "archived"

    @property
    def may_be_archived(self) -> bool:
        """Whether the command would take it now."""
        return not self.is_archived and self.rule.may_be_archived

    @property
    def why_not(self) -> str:
        """Why the command would not take it; nothing if it would."""
        return "it is archived" if self.is_archived else self.rule.why_not


def month_rows(months: Iterable[MonthFacts]) -> Iterator[tuple[str, ...]]:
    """The table as texts, header first; times in UTC."""
    yield COLUMNS
    for facts in months:
        kept = facts.archive
        yield (
            facts.name,
            facts.state,
            "" if facts.records is None else str(facts.records),
            "" if facts.records is None else ("counted" if facts.is_archived else "estimated"),
            str(facts.size_bytes),
            _instant(facts.rule.may_from_at),
            "yes" if facts.may_be_archived else "no",
            facts.why_not,
            *(_archive_cells(kept) if kept is not None else ("",) * 9),
            _instant(facts.detached_until_at),
            _instant(kept.restored_at) if kept is not None else "",
            kept.restored_by if kept is not None else "",
        )


def _archive_cells(kept: ArchiveFacts) -> tuple[str, ...]:
    return (
        _instant(kept.archived_at),
        kept.archived_by,
        kept.reason,
        kept.file_name,
        str(kept.file_bytes),
        kept.file_sha256,
        str(kept.rollups),
        str(kept.accounts),
        kept.seal_sha256,
    )


def _instant(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%dT%H:%M:%SZ}"


@dataclass(frozen=True, slots=True)
class MonthCounts:
    """How many months are where; `missing` are those ahead that have no partition yet."""

    attached: int
    archived: int
    sealing: int
    may_be_archived: int
    missing: int


def count_months(months: Iterable[MonthFacts], *, ahead: Iterable[date]) -> MonthCounts:
    """Count the months; `ahead` are those that should have a partition by now."""
    listed = list(months)
    archived = sum(facts.is_archived for facts in listed)
    return MonthCounts(
        attached=len(listed) - archived,
        archived=archived,
        sealing=sum(facts.state == "sealing" for facts in listed),
        may_be_archived=sum(facts.may_be_archived for facts in listed),
        missing=len(set(ahead) - {facts.month for facts in listed}),
    )


def months_sentence(counts: MonthCounts) -> str:
    """The answer at the top of the page."""
    parts = [f"{_months(counts.attached)} in the ledger, {counts.archived or 'none'} archived"]
    if counts.may_be_archived:
        parts.append(f"{counts.may_be_archived} may be archived")
    if counts.sealing:
        parts.append(f"{counts.sealing} being archived")
    if counts.missing:
        parts.append(f"{_months(counts.missing)} ahead not made yet")
    return "; ".join(parts)


def _months(count: int) -> str:
    return f"{count} month" if count == 1 else f"{count} months"
