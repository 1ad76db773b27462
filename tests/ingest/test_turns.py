"""Whose turn it is: small files pass large ones, senders take turns, and nobody waits for ever."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.tenancy import as_worker, connection
from insights import tasks
from insights.ingest import turn_queries
from insights.ingest.turn_queries import PATIENCE_SECONDS
from insights.models import Batch
from tests import factories
from tests.ingest.test_leases import HEADER, bells, claim, end_lease, state_of

__all__ = ["bells"]
pytestmark = [pytest.mark.database, pytest.mark.usefixtures("portal_db")]

CHUNK_LINES = 10


@pytest.fixture
def senders(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any, Any]:
    """Three senders whose files are read ten lines at a time."""
    monkeypatch.setattr("insights.ingest.operations.CHUNK_LINES", CHUNK_LINES)
    factories.make_meter("bytes_out")
    factories.make_account("ansel")
    return tuple(factories.make_source(slug, clock_zone="") for slug in ("edge", "core", "bookings"))  # type: ignore[return-value]


def receive(source: Any, *, lines: int) -> int:
    """Keep a file of its own series for a worker and return its batch."""
    body = HEADER + "".join(
        f"ansel,bytes_out,2026-11-{1 + place // 24:02d}T{place % 24:02d}:00:00Z,{place},{source.slug}-{lines}\n"
        for place in range(lines)
    )
    return factories.receive_batch(pieces=[body.encode()], source_id=source.pk, via="api").batch_id


def turns(*, mine: int = 0) -> tuple[int, ...]:
    with as_worker():
        return turn_queries.list_turns(mine=mine)


def has_waited(batch_id: int, seconds: float) -> None:
    with as_worker(), connection().cursor() as cursor:
        cursor.execute(
            "UPDATE insights_workitem SET created_at = clock_timestamp() - make_interval(secs => %s) "
            "WHERE batch_id = %s",
            [seconds, batch_id],
        )


def lines_done(batch_id: int) -> int:
    with as_worker():
        return Batch.objects.values_list("lines_done", flat=True).get(pk=batch_id)


def test_the_smallest_file_of_a_sender_goes_first(senders: Any) -> None:
    edge, _core, _bookings = senders
    large, middle, small = (receive(edge, lines=lines) for lines in (40, 20, 1))

    assert turns() == (small, middle, large)


def test_a_file_goes_by_the_lines_that_are_left_of_it(senders: Any, bells: list[int]) -> None:
    edge, _core, _bookings = senders
    begun = receive(edge, lines=40)
    receive(edge, lines=1)
    tasks.ingest_batch(begun)
    tasks.take_turn(begun)
    fresh = receive(edge, lines=35)

    assert turns() == (begun, fresh)


def test_senders_take_turns_however_many_files_each_sends(senders: Any) -> None:
    edge, core, _bookings = senders
    many = [receive(edge, lines=lines) for lines in (1, 2, 3)]
    other = receive(core, lines=40)

    assert turns() == (many[0], other, many[1], many[2])


def test_a_sender_with_a_worker_waits_for_those_without(senders: Any) -> None:
    edge, core, _bookings = senders
    assert claim(receive(edge, lines=40)) is not None
    small = receive(edge, lines=1)
    other = receive(core, lines=40)

    assert turns() == (other, small)


def test_a_worker_whose_lease_ran_out_holds_nobody_up(senders: Any) -> None:
    edge, core, _bookings = senders
    orphan = receive(edge, lines=2)
    assert claim(orphan) is not None
    end_lease(orphan)

    assert turns() == (orphan,)
    assert turns(mine=receive(core, lines=1))[0] == orphan


def test_a_batch_whose_worker_died_does_not_wait_a_second_time(senders: Any) -> None:
    edge, _core, _bookings = senders
    orphan = receive(edge, lines=40)
    assert claim(orphan) is not None
    small, patient = receive(edge, lines=1), receive(edge, lines=2)
    has_waited(patient, PATIENCE_SECONDS + 60)
    assert turns() == (patient, small)

    end_lease(orphan)

    assert turns() == (orphan, patient, small)


def test_who_had_fewest_lines_lately_goes_first(senders: Any) -> None:
    edge, core, bookings = senders
    for source, lines in ((edge, 9), (core, 5)):
        tasks.ingest_batch(receive(source, lines=lines))
    expected = [receive(source, lines=3) for source in (edge, core, bookings)]

    assert turns() == tuple(reversed(expected))


def test_what_was_long_ago_counts_no_longer(senders: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    edge, core, _bookings = senders
    tasks.ingest_batch(receive(edge, lines=9))
    first, second = receive(edge, lines=3), receive(core, lines=3)
    assert turns() == (second, first)

    monkeypatch.setattr(turn_queries, "LATELY_SECONDS", 0.0)

    assert turns() == (first, second)


def test_a_large_file_that_has_waited_passes_the_small_ones_of_its_sender(senders: Any) -> None:
    edge, _core, _bookings = senders
    large, small = receive(edge, lines=40), receive(edge, lines=1)
    assert turns() == (small, large)

    has_waited(large, PATIENCE_SECONDS + 1)

    assert turns() == (large, small)


def test_a_bell_is_answered_with_whose_turn_it_is(senders: Any, bells: list[int]) -> None:
    edge, _core, _bookings = senders
    large, small = receive(edge, lines=40), receive(edge, lines=1)

    tasks.take_turn(large)

    assert (state_of(small)[0], lines_done(large)) == ("done", 0)
    tasks.take_turn(small)
    assert state_of(large)[0] == "done"
    tasks.take_turn(small)


def test_a_large_file_steps_back_for_another_sender_and_both_move_on(senders: Any, bells: list[int]) -> None:
    edge, core, _bookings = senders
    ours, theirs = receive(edge, lines=40), receive(core, lines=40)
    shares = []

    while not shares or (len(shares) < 20 and min(shares[-1]) < 41):
        tasks.take_turn(ours)
        shares.append((lines_done(ours), lines_done(theirs)))

    # Never further apart than a chunk, the first of which has the header too.
    assert all(abs(mine - other) <= CHUNK_LINES + 1 for mine, other in shares[:-2])
    assert shares[-1] == (41, 41)
    assert bells


def test_a_large_file_alone_is_not_interrupted(senders: Any, bells: list[int]) -> None:
    edge, _core, _bookings = senders
    large = receive(edge, lines=40)
    receive(edge, lines=45)

    tasks.ingest_batch(large)

    assert (state_of(large)[0], bells) == ("done", [])


def test_a_large_file_ends_although_small_ones_keep_coming(
    senders: Any, bells: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if every wait were a long one, which is what a flood makes of it.
    monkeypatch.setattr(turn_queries, "PATIENCE_SECONDS", 0.0)
    edge, _core, _bookings = senders
    large = receive(edge, lines=60)
    for _round in range(40):
        receive(edge, lines=1)
        tasks.take_turn(large)
        if state_of(large)[0] == "done":
            break

    assert state_of(large)[0] == "done"


def test_no_small_file_waits_for_more_than_a_chunk_of_a_large_one(senders: Any, bells: list[int]) -> None:
    edge, _core, _bookings = senders
    large = receive(edge, lines=60)
    for number in range(4):
        small = receive(edge, lines=1)
        tasks.ingest_batch(large)
        assert lines_done(large) == 1 + CHUNK_LINES * (number + 1)

        tasks.take_turn(large)

        assert state_of(small)[0] == "done"


def test_a_step_back_counts_as_no_failure_and_begins_a_new_wait(senders: Any, bells: list[int]) -> None:
    edge, _core, _bookings = senders
    large = receive(edge, lines=40)
    has_waited(large, 3600)
    receive(edge, lines=1)

    tasks.ingest_batch(large)

    assert state_of(large) == ("waiting", 0)
    assert turns()[-1] == large
    with as_worker():
        item = Batch.objects.get(pk=large).work
        assert (item.created_at - Batch.objects.get(pk=large).received_at).total_seconds() >= 0
    assert bells == [large]
