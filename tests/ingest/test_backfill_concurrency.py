"""A backfill beside everything else: nobody sees half of it, whatever dies or comes in meanwhile."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Event
from typing import Any
from unittest.mock import patch

import pytest
from django.db import OperationalError, connections, transaction

from accounts.models import User
from accounts.tenancy import account_scope, as_owner, as_staff, as_worker
from insights.feeds.backfill_operations import ask_preview
from insights.ingest import series_operations, work_operations
from insights.ingest.refusals import RequestRefused
from insights.ingest.work_operations import LeaseLost
from insights.models import Batch, BatchPart, LedgerEntry, UsageRecord, UsageRollup, WorkItem
from insights.tasks import backfills, chunks, ingest_batch, ring_waiting_work
from tests import factories
from tests.factories import ingest_now
from tests.ingest.held import (
    body_of,
    books,
    close,
    confirm,
    found,
    hold,
    line,
    opened,
    preview,
)
from tests.ingest.test_reverts import verify

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("portal_db")]


@pytest.fixture(params=["window", "row_id"])
def source(request: Any) -> Any:
    """One source of either key kind."""
    factories.make_meter("bytes_out")
    factories.make_account("ansel")
    return factories.make_source("edge", clock_zone="", key_kind=request.param)


@pytest.fixture
def staff(portal_db: None) -> User:
    """Who backfills."""
    return factories.make_user("staff@example.com", is_staff=True)


@pytest.fixture
def backfill(source: Any, staff: User) -> Any:
    """Two batches, previewed, one of which replaces what is there; its close waits for confirmation."""
    ingest_now(source, body_of(source, line(1, 5)))
    number = opened(source, staff)
    hold(source, number, line(1, 50, revision=2), line(2, 6))
    hold(source, number, line(3, 7), line(2, 60, revision=2))
    preview(number, staff)
    return number


@contextmanager
def paused_before_commit() -> Any:
    """Let the first ledger write stop just before its position is taken, until it is told to go on."""
    arrived, may_commit = Event(), Event()
    real = chunks.take_position

    def take_position(entry_id: int) -> None:
        if not arrived.is_set():
            arrived.set()
            assert may_commit.wait(20)
        real(entry_id)

    with patch.object(chunks, "take_position", take_position):
        yield arrived, may_commit


def in_thread(act: Any, *arguments: Any) -> Any:
    try:
        return act(*arguments)
    finally:
        connections.close_all()


def seen() -> tuple[Any, ...]:
    """What a customer's page can see of the account, and the highest position."""
    with as_worker():
        account_id = BatchPart.objects.values_list("account_id", flat=True).first()
        position = max(LedgerEntry.objects.values_list("position", flat=True))
    with account_scope(account_id):
        return (
            BatchPart.objects.count(),
            sorted(UsageRecord.objects.values_list("window_start", "quantity")),
            sorted(UsageRollup.objects.values_list("day", "quantity")),
            position,
        )


def test_nobody_sees_anything_before_the_commit_and_everything_after_it(backfill: Any, staff: User) -> None:
    batch_id = confirm(backfill, staff)
    before = seen()
    with paused_before_commit() as (arrived, may_commit), ThreadPoolExecutor(1) as workers:
        closing = workers.submit(in_thread, ingest_batch, batch_id)
        assert arrived.wait(20)

        during = seen()
        may_commit.set()
        closing.result(20)

    parts, records, _rollups, position = seen()
    assert during == before
    assert (parts, len(records), position) == (3, 3, before[-1] + 1)
    verify()


def test_a_batch_of_the_source_that_comes_meanwhile_steps_back_and_follows(
    source: Any, backfill: Any, staff: User
) -> None:
    batch_id = confirm(backfill, staff)
    with paused_before_commit() as (arrived, may_commit), ThreadPoolExecutor(1) as workers:
        closing = workers.submit(in_thread, ingest_batch, batch_id)
        assert arrived.wait(20)

        waiting = ingest_now(source, body_of(source, line(1, 500, revision=3), line(3, 7)))
        with as_worker():
            work = WorkItem.objects.get(batch=waiting)
        may_commit.set()
        closing.result(20)

    assert (waiting.lines_done, work.state, work.deliveries) == (0, "waiting", 0)
    ingest_batch(waiting.pk)
    with as_worker():
        after = Batch.objects.get(pk=waiting.pk)
    assert (after.state, after.replaced, after.duplicate) == ("done", 1, 1)
    verify()


def test_another_sources_batch_does_not_wait(source: Any, backfill: Any, staff: User) -> None:
    other = factories.make_source("core", clock_zone="", key_kind=source.key_kind)
    batch_id = confirm(backfill, staff)
    taken = Event()
    real = chunks.close_batch

    def close_batch(run: Any) -> None:
        real(run)
        if run.batch.pk == batch_id:
            taken.set()
            assert may_go_on.wait(20)

    may_go_on = Event()
    with patch.object(chunks, "close_batch", close_batch), ThreadPoolExecutor(1) as workers:
        closing = workers.submit(in_thread, ingest_batch, batch_id)
        assert taken.wait(20)
        beside = ingest_now(other, body_of(other, line(1, 1), line(2, 2)))
        may_go_on.set()
        closing.result(20)

    assert (beside.state, beside.new) == ("done", 2)
    assert found(backfill).state == "closed"
    verify()


@contextmanager
def paused_before_counting() -> Any:
    """Let a backfill stop when it has written its lines, until it is told to go on."""
    arrived, may_go_on = Event(), Event()
    real = backfills.summarise_backfill

    def summarise(**named: Any) -> Any:
        arrived.set()
        assert may_go_on.wait(30)
        return real(**named)

    with patch.object(backfills, "summarise_backfill", summarise):
        try:
            yield arrived, may_go_on
        finally:
            may_go_on.set()


@pytest.mark.parametrize("act", ["preview", "close"])
def test_another_sources_new_series_of_the_same_account_do_not_wait(
    source: Any, staff: User, act: str
) -> None:
    factories.make_meter("requests")
    other = factories.make_source("core", clock_zone="", key_kind=source.key_kind)
    number = opened(source, staff)
    hold(source, number, line(1, 5, meter="requests"))
    if act == "preview":
        with as_staff():
            batch_id = ask_preview(public_id=number, actor=staff)
    else:
        preview(number, staff)
        batch_id = confirm(number, staff)
    with paused_before_counting() as (arrived, may_go_on), ThreadPoolExecutor(2) as workers:
        writing = workers.submit(in_thread, ingest_batch, batch_id)
        try:
            assert arrived.wait(20)
            sending = workers.submit(
                in_thread, ingest_now, other, body_of(other, line(1, 1, meter="requests"))
            )
            beside = sending.result(10)
        finally:
            may_go_on.set()
        writing.result(20)

    assert (beside.state, beside.new) == ("done", 1)
    assert found(number).state == ("ready" if act == "preview" else "closed")
    verify()


def test_a_dimension_that_others_fill_up_meanwhile_undoes_the_close(source: Any, staff: User) -> None:
    other = factories.make_source("core", clock_zone="", key_kind=source.key_kind)
    ingest_now(source, body_of(source, line(1, 5)))
    number = opened(source, staff)
    hold(source, number, line(2, 5).replace(",a,", ",b,"))
    with patch.object(series_operations, "DIMENSION_VALUES_MAX", 2):
        preview(number, staff)
        batch_id = confirm(number, staff)
        with paused_before_counting() as (arrived, may_go_on), ThreadPoolExecutor(1) as workers:
            closing = workers.submit(in_thread, ingest_batch, batch_id)
            assert arrived.wait(20)
            beside = ingest_now(other, body_of(other, line(1, 1).replace(",a,", ",c,")))
            may_go_on.set()
            closing.result(20)
        again = preview(number, staff)

    assert (beside.new, found(number).preview["totals"]["new"]) == (1, 0)
    assert [code["code"] for code in again.preview["codes"]] == ["dimension_limit"]
    verify()


@pytest.mark.parametrize("place", ["store_chunk", "close_batch", "take_position"])
def test_what_dies_on_the_way_leaves_nothing_and_is_done_by_the_next_worker(
    backfill: Any, staff: User, place: str
) -> None:
    batch_id = confirm(backfill, staff)
    before = books()
    calls = []
    real = getattr(chunks, place)

    def die(*arguments: Any, **named: Any) -> Any:
        calls.append(place)
        if place == "take_position" or len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **named)

    with patch.object(chunks, place, die), pytest.raises(KeyboardInterrupt):
        ingest_batch(batch_id)

    assert books() == before
    assert found(backfill).state == "closing"
    expire_lease(batch_id)
    ingest_batch(batch_id)
    assert found(backfill).state == "closed"
    verify()


def test_a_worker_that_lost_its_lease_writes_nothing(backfill: Any, staff: User) -> None:
    batch_id = confirm(backfill, staff)
    before = books()
    real = backfills.make_ready

    def taken_over(run: Any) -> Any:
        ready = real(run)
        with as_owner():
            WorkItem.objects.filter(batch_id=batch_id).update(lease_number=99)
        return ready

    with patch.object(backfills, "make_ready", taken_over):
        ingest_batch(batch_id)

    assert books() == before
    with as_worker(), pytest.raises(LeaseLost), transaction.atomic(using="worker"):
        work_operations.hold_lease(work_operations.Lease(batch_id=batch_id, number=1))


def test_three_failures_set_it_aside_with_a_reason_and_it_can_be_tried_again(
    backfill: Any, staff: User
) -> None:
    batch_id = confirm(backfill, staff)
    with patch.object(chunks, "store_chunk", side_effect=ValueError("no idea")):
        for _ in range(3):
            with pytest.raises(ValueError, match="no idea"):
                ingest_batch(batch_id)
            expire_lease(batch_id)
    ingest_batch(batch_id)

    failed = found(backfill)
    assert (failed.state, "three times" in failed.problem) == ("failed", True)
    with as_worker():
        assert Batch.objects.get(pk=batch_id).state == "held"
    preview(backfill, staff)
    assert close(backfill, staff).state == "closed"
    verify()


def test_a_deadlock_is_tried_again(backfill: Any, staff: User) -> None:
    batch_id = confirm(backfill, staff)
    real, failures = chunks.store_chunk, iter([True, False, False, False])

    def deadlock(*arguments: Any, **named: Any) -> Any:
        stored = real(*arguments, **named)
        if next(failures, False):
            raise OperationalError("deadlock detected") from _Deadlock()
        return stored

    with patch.object(chunks, "store_chunk", deadlock):
        ingest_batch(batch_id)

    assert found(backfill).state == "closed"
    verify()


class _Deadlock(Exception):
    sqlstate = "40P01"


def test_two_workers_that_hear_the_bell_close_it_once(backfill: Any, staff: User) -> None:
    batch_id = confirm(backfill, staff)
    with ThreadPoolExecutor(2) as workers:
        for done in [workers.submit(in_thread, ingest_batch, batch_id) for _ in range(2)]:
            done.result(20)

    with as_worker():
        assert LedgerEntry.objects.filter(kind="backfill_close").count() == 1
    assert found(backfill).state == "closed"
    verify()


def test_a_lost_bell_is_rung_again(backfill: Any, staff: User) -> None:
    batch_id = confirm(backfill, staff)
    with as_owner():
        WorkItem.objects.filter(batch_id=batch_id).update(created_at=datetime(2026, 1, 1, tzinfo=UTC))

    with patch("insights.tasks.ring", ingest_batch):
        assert ring_waiting_work() == 1

    assert found(backfill).state == "closed"


def test_a_batch_that_comes_while_the_close_is_confirmed_is_in_it_or_refused(
    source: Any, backfill: Any, staff: User
) -> None:
    def fill() -> str:
        try:
            hold(source, backfill, line(9, 9))
        except RequestRefused as refusal:
            return refusal.code
        return "held"

    def end() -> str:
        try:
            confirm(backfill, staff)
        except Exception as refusal:
            return type(refusal).__name__
        return "closing"

    with ThreadPoolExecutor(2) as workers:
        filling, ending = workers.submit(in_thread, fill), workers.submit(in_thread, end)
        outcome = (filling.result(20), ending.result(20))

    assert outcome in {("held", "UnableToBackfill"), ("backfill_not_open", "closing")}


def expire_lease(batch_id: int) -> None:
    with as_owner():
        WorkItem.objects.filter(batch_id=batch_id).update(leased_until=datetime(2026, 1, 1, tzinfo=UTC))
