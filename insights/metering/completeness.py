"""How complete usage is, from what the sources last said: believed complete to when, and who is silent.

A source counts from its first window until it has ended; one that is expected counts before it has sent anything.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

# A source that says nothing for this many cadences counts as missing.
SILENT_CADENCES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceMark:
    """One source's watermark for one account; `complete_to` is None until it has sent anything."""

    source_id: int
    slug: str
    name: str
    cadence_seconds: int
    counts_from: datetime
    complete_to: datetime | None
    last_window_end: datetime | None = None
    last_received_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def has_reported(self) -> bool:
        """Whether anything came from it."""
        return self.complete_to is not None

    def has_ended(self, now: datetime) -> bool:
        """Whether nothing more is expected."""
        return self.ended_at is not None and self.ended_at <= now

    def is_missing(self, now: datetime) -> bool:
        """Whether an expected source never sent, or sent nothing for twice the cadence."""
        heard_at = self.last_received_at or self.complete_to
        if self.has_ended(now):
            return False
        return heard_at is None or now - heard_at > timedelta(seconds=SILENT_CADENCES * self.cadence_seconds)

    def open_stretch(self, now: datetime) -> OpenStretch | None:
        """The time of which something may still come, if there is any."""
        is_over = self.has_ended(now)
        if is_over and not self.has_reported:
            return None
        said = [self.counts_from, self.complete_to]
        # Its lateness waits for stragglers, and there are none after the end.
        said += [self.last_window_end] if is_over else []
        start = max(instant for instant in said if instant is not None)
        return (
            None
            if self.ended_at is not None and self.ended_at <= start
            else OpenStretch(start, self.ended_at)
        )


@dataclass(frozen=True, slots=True)
class OpenStretch:
    """From when on a source may still send, and until when it is expected to; None is without an end."""

    start: datetime
    end: datetime | None

    def meets(self, start: datetime, end: datetime | None = None) -> bool:
        """Whether it shares any instant with another stretch."""
        return (self.end is None or self.end > start) and (end is None or self.start < end)


@dataclass(frozen=True, slots=True)
class Completeness:
    """What may be missing of a figure, and which of the sources behind it are silent or have ended.

    `complete_to` is where the first open stretch begins, or the last end where nothing is open.
    """

    complete_to: datetime | None
    is_settled: bool
    open: tuple[OpenStretch, ...]
    marks: tuple[SourceMark, ...]
    missing: tuple[SourceMark, ...]
    ended: tuple[SourceMark, ...]

    @property
    def sources(self) -> int:
        """How many sources are expected to send what is shown."""
        return len(self.marks) - len(self.ended)

    @property
    def reporting(self) -> int:
        """How many of them are heard of as often as they said."""
        return self.sources - len(self.missing)

    def covers(self, start: datetime, end: datetime) -> bool:
        """Whether nothing more is expected of a stretch of time."""
        return self.complete_to is not None and not any(one.meets(start, end) for one in self.open)

    def cover_each(self, stretches: Sequence[tuple[datetime, datetime, date]]) -> list[bool]:
        """The same of each of many stretches, that begin with their start and end and follow one another."""
        if self.complete_to is None:
            return [False] * len(stretches)
        settled = len(stretches)
        if self.open:
            # All but the last few hours of a long period end before anything is still expected.
            first_open = min(one.start for one in self.open)
            settled = bisect_right(stretches, first_open, key=lambda stretch: stretch[1])
        rest = [self.covers(start, end) for start, end, _ in stretches[settled:]]
        return [True] * settled + rest


NOTHING_KNOWN = Completeness(None, is_settled=False, open=(), marks=(), missing=(), ended=())


def completeness_of(
    marks: Iterable[SourceMark], *, source_ids: Collection[int], now: datetime, since: datetime
) -> Completeness:
    """Sum up the watermarks of the sources behind a figure that begins at an instant.

    A source without a mark makes nothing complete. One that has sent nothing yet may send of any meter. One that
    ended before `since` has no say.
    """
    known = tuple(mark for mark in marks if mark.source_id in source_ids or not mark.has_reported)
    if not source_ids or not {mark.source_id for mark in known}.issuperset(source_ids):
        return NOTHING_KNOWN
    concerned = tuple(mark for mark in known if mark.ended_at is None or mark.ended_at > since)
    stretches = tuple(stretch for mark in known if (stretch := mark.open_stretch(now)) is not None)
    starts = [stretch.start for stretch in stretches if stretch.meets(since)]
    ends = [mark.ended_at for mark in known if mark.ended_at is not None]
    return Completeness(
        complete_to=min(starts) if starts else max(ends),
        is_settled=not starts,
        open=stretches,
        marks=concerned,
        missing=tuple(mark for mark in concerned if mark.is_missing(now)),
        ended=tuple(mark for mark in concerned if mark.has_ended(now)),
    )
