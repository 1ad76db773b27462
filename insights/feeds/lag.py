"""How punctual a feed is, and that in words; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

# "Missing" is nothing for twice the cadence.
CADENCES_UNTIL_MISSING = 2


_SPANS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


class Punctuality(StrEnum):
    """Whether a feed sends as often as it says it does."""

    ON_TIME = "on time"
    LATE = "late"
    MISSING = "missing"
    NEVER = "nothing yet"
    OFF = "off"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class FeedCounts:
    """What the first line of the feeds page is made of."""

    feeds: int
    late: int
    missing: int
    silent: int
    off: int
    ended: int
    waiting: int
    quarantined: int


class Feed(Protocol):
    """As much of a feed as counting needs."""

    @property
    def punctuality(self) -> Punctuality: ...
    @property
    def waiting(self) -> int: ...
    @property
    def leased(self) -> int: ...
    @property
    def quarantined(self) -> int: ...


def count_feeds(feeds: Sequence[Feed]) -> FeedCounts:
    """How many feeds are in which condition, and how much work is open over all of them."""

    def number_of(punctuality: Punctuality) -> int:
        return sum(feed.punctuality is punctuality for feed in feeds)

    return FeedCounts(
        feeds=len(feeds),
        late=number_of(Punctuality.LATE),
        missing=number_of(Punctuality.MISSING),
        silent=number_of(Punctuality.NEVER),
        off=number_of(Punctuality.OFF),
        ended=number_of(Punctuality.ENDED),
        waiting=sum(feed.waiting + feed.leased for feed in feeds),
        quarantined=sum(feed.quarantined for feed in feeds),
    )


def punctuality_of(
    *,
    last_received_at: datetime | None,
    cadence_seconds: int,
    is_enabled: bool,
    ended_at: datetime | None,
    now: datetime,
) -> Punctuality:
    """Judge a feed by the time since its last batch, against its own cadence."""
    if not is_enabled:
        return Punctuality.OFF
    if ended_at is not None and ended_at <= now:
        return Punctuality.ENDED
    if last_received_at is None:
        return Punctuality.NEVER
    silence = now - last_received_at
    cadence = timedelta(seconds=cadence_seconds)
    if silence <= cadence:
        return Punctuality.ON_TIME
    return Punctuality.LATE if silence <= cadence * CADENCES_UNTIL_MISSING else Punctuality.MISSING


def feeds_sentence(counts: FeedCounts) -> str:
    """The answer of the feeds page: how many feeds, whether they report, what is still to be done."""
    if not counts.feeds:
        return "No feeds yet"
    return f"{_counted(counts.feeds, 'feed')}, {_reporting(counts)}; {_work(counts)}"


def _reporting(counts: FeedCounts) -> str:
    on_time = counts.feeds - counts.late - counts.missing - counts.silent - counts.off - counts.ended
    if on_time == counts.feeds:
        return "reporting" if counts.feeds == 1 else "all reporting"
    parts = [
        f"{number:,} {words}"
        for number, words in (
            (on_time, "reporting"),
            (counts.missing, "missing"),
            (counts.late, "late"),
            (counts.silent, "without any batch yet"),
            (counts.off, "switched off"),
            (counts.ended, "ended"),
        )
        if number
    ]
    return ", ".join(parts)


def _work(counts: FeedCounts) -> str:
    batches = _counted(counts.waiting, "batch", "batches")
    waiting = f"{batches} still to be read" if counts.waiting else "nothing waiting"
    return f"{waiting}, {counts.quarantined:,} quarantined" if counts.quarantined else waiting


def _counted(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def span_words(seconds: int) -> str:
    """A span of time in its two largest units."""
    parts = []
    for size, name in _SPANS:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(_counted(count, name))
    return " ".join(parts[:2]) or "0 seconds"


def every_words(seconds: int) -> str:
    """How often something is expected: every hour, every 2 days."""
    return (
        f"every {span_words(seconds).removeprefix('1 ')}"
        if seconds in _ONES
        else f"every {span_words(seconds)}"
    )


_ONES = frozenset(size for size, _ in _SPANS)
