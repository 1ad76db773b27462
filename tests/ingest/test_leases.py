"""Who may work on a batch: leases are renewed while work goes on, fenced when lost, and given back in turn."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from django.db import OperationalError, connections, transaction

from accounts.tenancy import as_worker
from insights import tasks
from insights.ingest import turn_queries, work_operations
from insights.ingest.work_operations import Lease, LeaseLost
from insights.models import Batch, WorkItem
from tests import factories

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("portal_db")]

HEADER = "account,meter,window_start,quantity,endpoint\n"


@pytest.fixture
def source() -> Any:
    """One hourly source and its account."""
    factories.make_meter("bytes_out")
    factories.make_account("ansel")
    return factories.make_source("edge", clock_zone="")


@pytest.fixture
def bells(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The batches rung for, in order; nobody answers."""
    rung: list[int] = []
    monkeypatch.setattr(tasks, "ring", rung.append)
    return rung


def receive(source: Any, *, lines: int = 1, endpoint: str = "a") -> int:
    """Keep a batch for a worker and return its id."""
    body = HEADER + "".join(
        f"ansel,bytes_out,2026-11-{1 + place // 24:02d}T{place % 24:02d}:00:00Z,{place},{endpoint}\n"
        for place in range(lines)
    )
    return factories.receive_batch(pieces=[body.encode()], source_id=source.pk, via="api").batch_id


def claim(batch_id: int) -> Lease | None:
    with as_worker():
        return work_operations.claim_work(batch_id=batch_id, owner="test")


def state_of(batch_id: int) -> tuple[str, int]:
    """The state of the work on a batch and the deliveries counted."""
    with as_worker():
        item = WorkItem.objects.get(batch_id=batch_id)
        return item.state, item.deliveries


def end_lease(batch_id: int) -> None:
    with as_worker():
        WorkItem.objects.filter(batch_id=batch_id).update(leased_until="2026-01-01T00:00:00Z")


def test_a_lease_is_renewed_while_work_goes_on(source: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_operations, "LEASE_SECONDS", 0.6)
    batch_id = receive(source)
    lease = claim(batch_id)
    assert lease is not None

    with work_operations.kept_lease(lease):
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            assert claim(batch_id) is None
            time.sleep(0.05)
    time.sleep(0.7)

    assert claim(batch_id) is not None


def test_a_row_held_by_a_living_transaction_is_not_waited_for(source: Any) -> None:
    batch_id = receive(source)
    lease = claim(batch_id)
    assert lease is not None
    end_lease(batch_id)
    claims: list[Lease | None] = []

    def another_worker() -> None:
        claims.append(claim(batch_id))
        connections.close_all()

    with as_worker(), transaction.atomic(using="worker"):
        work_operations.hold_lease(lease)
        thread = threading.Thread(target=another_worker)
        thread.start()
        thread.join(5)

    assert claims == [None]
    assert claim(batch_id) is not None


def test_a_worker_that_lost_its_lease_can_no_longer_write(source: Any) -> None:
    batch_id = receive(source)
    first = claim(batch_id)
    assert first is not None
    end_lease(batch_id)
    second = claim(batch_id)
    assert second is not None
    assert second.number > first.number

    with as_worker(), transaction.atomic(using="worker"):
        with pytest.raises(LeaseLost):
            work_operations.hold_lease(first)
        work_operations.hold_lease(second)


def test_a_large_batch_steps_back_for_one_whose_worker_died(
    source: Any, bells: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("insights.ingest.operations.CHUNK_LINES", 10)
    orphan = receive(source, endpoint="b")
    assert claim(orphan) is not None
    large = receive(source, lines=40)

    with as_worker():
        assert not turn_queries.is_others_turn(mine=large)
    end_lease(orphan)
    tasks.ingest_batch(large)

    with as_worker():
        assert Batch.objects.get(pk=large).received == 10
    assert bells == [large]
    tasks.take_turn(large)
    tasks.take_turn(large)
    with as_worker():
        assert set(Batch.objects.values_list("received", "state")) == {(40, "done"), (1, "done")}


class _ServerGone(Exception):
    sqlstate = "57P01"


class _DiskFull(Exception):
    sqlstate = "53100"


@pytest.mark.parametrize(
    ("cause", "is_rung", "deliveries"),
    [(_ServerGone(), True, 1), (_DiskFull(), False, 0), (Exception("connection closed"), True, 1)],
)
def test_a_batch_goes_back_when_the_database_failed_under_it(
    source: Any,
    bells: list[int],
    monkeypatch: pytest.MonkeyPatch,
    cause: Exception,
    is_rung: bool,
    deliveries: int,
) -> None:
    batch_id = receive(source)

    def fails(*_: Any) -> None:
        raise OperationalError("gone") from cause

    with monkeypatch.context() as broken:
        broken.setattr("insights.tasks.chunks.store_chunk", fails)
        broken.setattr("insights.ingest.retry_operations.RETRIES_MAX", 1)
        with pytest.raises(OperationalError):
            tasks.ingest_batch(batch_id)

    assert state_of(batch_id) == ("waiting", deliveries)
    assert bells == ([batch_id] if is_rung else [])
    tasks.ingest_batch(batch_id)
    with as_worker():
        assert Batch.objects.get().state == "done"


def test_a_batch_that_always_dies_in_a_later_chunk_is_set_aside_after_three_deliveries(
    source: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("insights.ingest.operations.CHUNK_LINES", 10)
    batch_id = receive(source, lines=15)
    close_chunk, deaths = tasks.chunks.close_chunk, []

    def dies_in_second_chunk(run: Any, read: Any, stored: Any) -> None:
        if read.chunk.first_line_no > 10:
            deaths.append(read.chunk.first_line_no)
            raise MemoryError
        close_chunk(run, read, stored)

    monkeypatch.setattr("insights.tasks.chunks.close_chunk", dies_in_second_chunk)
    for _delivery in range(5):
        try:
            tasks.ingest_batch(batch_id)
        except MemoryError:
            end_lease(batch_id)

    assert len(deaths) == 3
    with as_worker():
        assert Batch.objects.get().state == "quarantined"
