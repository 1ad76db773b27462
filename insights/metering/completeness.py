"""How complete usage is, from what the sources last said: believed complete to when, and who is silent."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

# A source that says nothing for this many cadences counts as missing.
SILENT_CADENCES = 2


@dataclass(frozen=True, slots=True)
class SourceMark:
    """One source's watermark for one account."""

    source_id: int
    slug: str
    name: str
    cadence_seconds: int
    complete_to: datetime
    last_received_at: datetime

    def is_missing(self, now: datetime) -> bool:
        """Whether nothing came for twice the cadence."""
        return now - self.last_received_at > timedelta(seconds=SILENT_CADENCES * self.cadence_seconds)


@dataclass(frozen=True, slots=True)
class Completeness:
    """The least of the watermarks that concern a figure, and which sources are silent."""

    complete_to: datetime | None
    marks: tuple[SourceMark, ...]
    missing: tuple[SourceMark, ...]

    @property
    def sources(self) -> int:
        """How many sources send what is shown."""
        return len(self.marks)

    @property
    def reporting(self) -> int:
        """How many of them are heard of as often as they said."""
        return len(self.marks) - len(self.missing)


NOTHING_KNOWN = Completeness(complete_to=None, marks=(), missing=())


def completeness_of(
    marks: Iterable[SourceMark], *, source_ids: Collection[int], now: datetime
) -> Completeness:
    """Sum up the watermarks of the sources behind a figure; one without a mark makes nothing complete."""
    concerned = tuple(mark for mark in marks if mark.source_id in source_ids)
    is_every_source_known = len(concerned) == len(set(source_ids))
    earliest = min((mark.complete_to for mark in concerned), default=None)
    return Completeness(
        complete_to=earliest if is_every_source_known else None,
        marks=concerned,
        missing=tuple(mark for mark in concerned if mark.is_missing(now)),
    )
