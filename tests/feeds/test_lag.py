"""Punctuality is judged by a feed's own cadence, and the first line of the feeds page says it in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from insights.feeds.lag import Punctuality, count_feeds, feeds_sentence, punctuality_of

NOW = datetime(2026, 11, 3, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Line:
    punctuality: Punctuality = Punctuality.ON_TIME
    waiting: int = 0
    leased: int = 0
    quarantined: int = 0


def judged(
    last_received_at: datetime | None, *, is_enabled: bool = True, ended_at: datetime | None = None
) -> Punctuality:
    return punctuality_of(
        last_received_at=last_received_at,
        cadence_seconds=3600,
        is_enabled=is_enabled,
        ended_at=ended_at,
        now=NOW,
    )


@pytest.mark.parametrize(
    ("silence", "expected"),
    [
        (timedelta(0), Punctuality.ON_TIME),
        (HOUR, Punctuality.ON_TIME),
        (HOUR + timedelta(seconds=1), Punctuality.LATE),
        (2 * HOUR, Punctuality.LATE),
        (2 * HOUR + timedelta(seconds=1), Punctuality.MISSING),
    ],
)
def test_a_feed_is_missing_after_twice_its_cadence(silence: timedelta, expected: Punctuality) -> None:
    found = judged(NOW - silence)

    assert found is expected


def test_a_feed_without_batches_is_not_called_missing() -> None:
    found = judged(None)

    assert found is Punctuality.NEVER


def test_a_feed_that_is_switched_off_is_not_called_late() -> None:
    found = judged(NOW - 9 * HOUR, is_enabled=False)

    assert found is Punctuality.OFF


def test_a_feed_that_has_ended_is_not_called_late() -> None:
    assert judged(NOW - 9 * HOUR, ended_at=NOW) is Punctuality.ENDED
    assert judged(NOW - 9 * HOUR, ended_at=NOW + HOUR) is Punctuality.MISSING


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ((), "No feeds yet"),
        ((Line(),), "1 feed, reporting; nothing waiting"),
        ((Line(), Line(Punctuality.ENDED)), "2 feeds, 1 reporting, 1 ended; nothing waiting"),
        ((Line(),) * 4 + (Line(waiting=1, leased=1),), "5 feeds, all reporting; 2 batches still to be read"),
        (
            (Line(), Line(Punctuality.MISSING), Line(Punctuality.LATE, quarantined=1)),
            "3 feeds, 1 reporting, 1 missing, 1 late; nothing waiting, 1 quarantined",
        ),
    ],
)
def test_the_first_line_answers_in_words(lines: tuple[Line, ...], sentence: str) -> None:
    assert feeds_sentence(count_feeds(lines)) == sentence
