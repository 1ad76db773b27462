"""A refused line is taken by one replay, as it was sent, and waits again if that replay ends without a line done."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections, transaction

from accounts.tenancy import as_worker
from insights.ingest import replay_operations
from insights.ingest.replay_operations import (
    NothingToReplay,
    fetch_replayed_lines,
    release_replayed_lines,
    replay_rejects,
)
from insights.models import Batch, BatchBytes, BatchState, RejectedLine, UnattributedReject, WorkItem
from insights.tasks import ingest_batch
from tests import factories
from tests.ingest.deliveries import FORMS, body

pytestmark = pytest.mark.usefixtures("portal_db")


@pytest.fixture
def edge() -> Any:
    """One hourly source and its account."""
    factories.make_meter("bytes_out")
    factories.make_account("ansel")
    return factories.make_source("edge")


def bad_rows(count: int) -> list[dict[str, object]]:
    """Rows of a known and an unknown account in turn, all refused."""
    return [
        {
            "account": "ansel" if number % 2 else "absent",
            "meter": "bytes_out",
            "window_start": "2026-11-01T00:00:00Z",
            "quantity": f"x{number}",
        }
        for number in range(count)
    ]


def refused_batch(edge: Any, *, form: str = "csv", count: int = 6) -> Batch:
    batch = factories.ingest_now(edge, body(form, bad_rows(count)), media_type=form)
    assert batch.rejected == count
    return batch


def ask(first: Batch) -> Batch:
    received = replay_rejects(batch_public_id=first.public_id, submitted_by_id=None)
    return stored(received.batch_id)


def stored(batch_id: int) -> Batch:
    with as_worker():
        return Batch.objects.get(pk=batch_id)


def fetch(batch: Batch) -> None:
    with as_worker():
        fetch_replayed_lines(batch)


def kept(batch: Batch) -> bytes:
    with as_worker():
        pieces = BatchBytes.objects.filter(batch=batch).order_by("piece_no")
        return b"".join(bytes(piece.data) for piece in pieces)


def waiting(first: Batch) -> int:
    with as_worker():
        tables = (RejectedLine.objects, UnattributedReject.objects)
        return sum(rows.filter(batch=first, replayed_at=None).count() for rows in tables)


def quarantine(batch: Batch) -> None:
    with as_worker():
        Batch.objects.filter(pk=batch.pk).update(state=BatchState.QUARANTINED)


@pytest.mark.parametrize("form", FORMS)
def test_the_lines_come_as_they_were_in_their_order(
    edge: Any, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_operations, "PIECE_BYTES", 50)
    monkeypatch.setattr(replay_operations, "LINES_AT_ONCE", 4)
    first = refused_batch(edge, form=form, count=11)

    replay = ask(first)
    fetch(replay)

    expected = body(form, bad_rows(11))
    if form == "json":
        expected = expected.replace(b'"rows": [', b'"rows":[').replace(b"}, {", b"},{")
    elif form == "csv":
        expected = expected.replace(
            b"account,meter,window_start,quantity", b'"account","meter","window_start","quantity"'
        )
    replay = stored(replay.pk)
    assert kept(replay) == expected
    assert bytes(replay.sha256) == hashlib.sha256(expected).digest()
    assert (replay.size_bytes, replay.lines_total) == (len(expected), 11 + (form == "csv"))
    assert waiting(first) == 0
    with as_worker():
        assert {len(piece.data) for piece in BatchBytes.objects.filter(batch=replay)} <= {
            50,
            len(expected) % 50,
        }


def test_fetching_twice_in_the_callers_transaction_is_fetching_once(edge: Any) -> None:
    first = refused_batch(edge)
    replay = ask(first)

    with as_worker(), transaction.atomic(using="worker"):
        fetch_replayed_lines(replay)
        fetch_replayed_lines(replay)
    before = kept(replay)
    fetch(replay)

    assert kept(replay) == before
    ingest_batch(replay.pk)
    assert (stored(replay.pk).state, stored(replay.pk).rejected) == ("done", 6)


@pytest.mark.parametrize("form", FORMS)
def test_a_replay_that_finds_no_line_is_done_with_none(edge: Any, form: str) -> None:
    first = refused_batch(edge, form=form)
    replay = ask(first)
    quarantine(replay)
    late = ask(first)
    fetch(replay)

    fetch(late)
    fetch(late)
    ingest_batch(late.pk)

    late = stored(late.pk)
    assert (late.state, late.received) == ("done", 0)
    assert kept(replay).count(b"2026-11-01") == 6


def test_an_open_replay_is_the_only_one(edge: Any) -> None:
    first = refused_batch(edge)
    replay = ask(first)

    with pytest.raises(NothingToReplay, match="are being tried again"):
        ask(first)
    ingest_batch(replay.pk)
    with pytest.raises(NothingToReplay, match="no refused line"):
        ask(first)


def test_two_requests_at_once_make_one_replay(edge: Any) -> None:
    first = refused_batch(edge)

    at_once(lambda: ask(first), times=4)

    with as_worker():
        assert Batch.objects.filter(replay_of=first).count() == 1
        assert WorkItem.objects.count() == 2


def test_two_replays_at_once_take_each_line_once(edge: Any) -> None:
    first = refused_batch(edge, count=400)
    replays = [ask(first)]
    for _ in range(3):
        # Only one that was set aside and tried again stands beside another.
        quarantine(replays[-1])
        replays.append(ask(first))

    acts = iter(replays)
    at_once(lambda: fetch(next(acts)), times=4)

    assert sum(kept(replay).count(b"2026-11-01") for replay in replays) == 400
    assert sum(stored(replay.pk).lines_total - 1 for replay in replays) == 400


def at_once(act: Callable[[], object], *, times: int) -> None:
    """Do something in as many threads as times; NothingToReplay is an answer like another."""
    barrier = threading.Barrier(times)
    failures: list[BaseException] = []

    def run() -> None:
        barrier.wait()
        try:
            act()
        except NothingToReplay:
            pass
        except BaseException as error:
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []


class TestRelease:
    """A replay that ends before any of its lines was done gives them back."""

    def test_its_lines_wait_again_and_are_taken_once_more(self, edge: Any) -> None:
        first = refused_batch(edge)
        replay = ask(first)
        fetch(replay)
        quarantine(replay)

        with as_worker():
            release_replayed_lines(replay)
            release_replayed_lines(replay)

        assert waiting(first) == 6
        assert kept(replay) == b""
        second = ask(first)
        ingest_batch(second.pk)
        assert (stored(second.pk).state, stored(second.pk).received) == ("done", 6)
        fetch(replay)
        assert stored(replay.pk).lines_total == 1

    def test_lines_of_another_replay_do_not(self, edge: Any) -> None:
        first = refused_batch(edge)
        earlier = ask(first)
        fetch(earlier)
        quarantine(earlier)
        with as_worker():
            late_line = UnattributedReject.objects.filter(batch=first).first()
            assert late_line is not None
            UnattributedReject.objects.filter(pk=late_line.pk).update(replayed_at=None)
        replay = ask(first)
        fetch(replay)
        assert waiting(first) == 0

        with as_worker():
            release_replayed_lines(replay)

        assert waiting(first) == 1
        with as_worker():
            release_replayed_lines(earlier)
        assert waiting(first) == 6

    def test_after_a_line_was_done_they_stay_with_it(self, edge: Any) -> None:
        first = refused_batch(edge)
        replay = ask(first)
        ingest_batch(replay.pk)

        with as_worker():
            release_replayed_lines(replay)
            release_replayed_lines(first)

        assert waiting(first) == 0
        assert kept(replay) != b""


def test_a_replay_that_is_refused_gives_its_lines_back(portal_db: None) -> None:
    factories.make_meter("bytes_out")
    source = factories.make_source("edge", clock_zone="")
    body = "account,meter,window_start,quantity\nlater,bytes_out,2026-11-03T01:00:00Z,5\n"
    first = factories.ingest_now(source, body)
    factories.make_account("later")
    replay = replay_rejects(batch_public_id=first.public_id, submitted_by_id=None)
    columns = {"account": "who", "window_start": "at", "quantity": "n", "meter": "m"}
    factories.change_source(source, columns=columns)
    ingest_batch(replay.batch_id)
    factories.change_source(source, columns={})

    again = replay_rejects(batch_public_id=first.public_id, submitted_by_id=None)
    ingest_batch(again.batch_id)

    with as_worker():
        assert Batch.objects.get(pk=replay.batch_id).state == "refused"
        assert Batch.objects.get(pk=again.batch_id).new == 1
