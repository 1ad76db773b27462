"""What may still be missing of a figure, where sources begin, end, fall silent or never come."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from insights.metering.completeness import Completeness, SourceMark, completeness_of

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def on(month: int, day: int) -> datetime:
    return datetime(2026, month, day, tzinfo=UTC)


NOVEMBER = on(11, 1)


def mark(source_id: int = 1, **fields: Any) -> SourceMark:
    """A daily source that is complete to this morning, unless said otherwise."""
    defaults = {
        "slug": f"s{source_id}",
        "name": f"S{source_id}",
        "cadence_seconds": 86400,
        "counts_from": on(3, 1),
        "complete_to": on(11, 23),
        "last_window_end": on(11, 23),
        "last_received_at": NOW,
    }
    return SourceMark(source_id=source_id, **{**defaults, **fields})


def summed(*marks: SourceMark, since: datetime = NOVEMBER, of: set[int] | None = None) -> Completeness:
    source_ids = {one.source_id for one in marks if one.has_reported} if of is None else of
    return completeness_of(marks, source_ids=source_ids, now=NOW, since=since)


ENDED = {"complete_to": on(8, 21), "last_window_end": on(8, 21), "last_received_at": on(8, 21)}


def test_a_source_that_ended_holds_up_no_later_period() -> None:
    ended = mark(2, **ENDED, ended_at=on(8, 21))

    found = summed(mark(), ended)

    assert (found.complete_to, found.sources, found.missing) == (on(11, 23), 1, ())
    assert found.covers(on(8, 1), on(9, 1))
    assert found.covers(on(11, 22), on(11, 23))
    assert not found.covers(on(11, 23), on(11, 24))


def test_a_silent_source_that_has_not_ended_does() -> None:
    found = summed(mark(), mark(2, **ENDED))

    assert (found.complete_to, found.sources) == (on(8, 21), 2)
    assert [one.slug for one in found.missing] == ["s2"]
    assert not found.covers(on(11, 1), on(11, 2))


def test_what_it_left_open_before_its_end_stays_open() -> None:
    ended = mark(2, **ENDED, ended_at=on(8, 30))

    found = summed(mark(), ended)

    assert found.complete_to == on(11, 23)
    assert not found.covers(on(8, 22), on(8, 23))
    assert found.covers(on(8, 30), on(8, 31))
    assert summed(mark(), ended, since=on(8, 1)).complete_to == on(8, 21)


def test_an_end_to_come_changes_nothing_before_it() -> None:
    found = summed(mark(ended_at=on(12, 1), last_window_end=on(11, 24)))

    assert (found.complete_to, found.sources) == (on(11, 23), 1)
    assert not found.covers(on(11, 23), on(11, 24))
    assert found.covers(on(12, 1), on(12, 2))


def test_lateness_waits_for_nothing_after_the_end() -> None:
    found = summed(mark(2, **{**ENDED, "complete_to": on(8, 20)}, ended_at=on(8, 21)), since=on(8, 1))

    assert found.is_settled
    assert found.covers(on(8, 20), on(8, 21))


def test_a_backfill_that_ended_opens_nothing() -> None:
    backfill = {"counts_from": on(5, 8), "complete_to": on(5, 9), "last_window_end": on(5, 9)}

    assert summed(mark(), mark(2, **backfill, ended_at=on(5, 9))).covers(on(5, 1), on(11, 23))
    still = summed(mark(), mark(2, **backfill), since=on(5, 1))
    assert still.covers(on(5, 1), on(5, 9))
    assert not still.covers(on(5, 9), on(5, 10))


def test_a_source_counts_from_its_first_window() -> None:
    late = mark(2, counts_from=on(11, 20), complete_to=on(11, 19), last_window_end=on(11, 20))

    assert summed(mark(), late).covers(on(11, 19), on(11, 20))
    assert summed(mark(), late).complete_to == on(11, 20)


def test_one_that_never_reported_counts_from_when_it_was_expected() -> None:
    silent = mark(2, counts_from=on(11, 10), complete_to=None, last_window_end=None, last_received_at=None)

    found = summed(mark(), silent)

    assert (found.complete_to, found.sources, found.reporting) == (on(11, 10), 2, 1)
    assert found.covers(on(11, 9), on(11, 10))
    assert not found.covers(on(11, 10), on(11, 11))


def test_one_that_ended_before_it_sent_anything_says_nothing() -> None:
    unused = mark(2, complete_to=None, last_window_end=None, last_received_at=None, ended_at=on(11, 10))

    found = summed(mark(), unused)

    assert (found.complete_to, found.sources, found.missing) == (on(11, 23), 1, ())


def test_where_every_source_has_ended_nothing_is_awaited() -> None:
    found = summed(mark(**ENDED, ended_at=on(8, 21)))

    assert (found.is_settled, found.complete_to, found.sources) == (True, on(8, 21), 0)
    assert found.covers(on(11, 1), on(12, 1))


@pytest.mark.parametrize("of", [set(), {1, 2}])
def test_without_a_mark_nothing_is_complete(of: set[int]) -> None:
    found = summed(mark(), of=of)

    assert found.complete_to is None
    assert not found.covers(on(3, 1), on(3, 2))
