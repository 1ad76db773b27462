"""Deliveries that meet each other: any order, any split and any overlap give the same books."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from django.db import connections
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.tenancy import as_worker, connection
from insights.models import Batch, WorkItem
from insights.tasks import ingest_batch, ring_waiting_work
from tests import factories
from tests.conftest import _empty_tables
from tests.factories import ingest_now
from tests.ingest.test_ledger import assert_rollups_equal_records, current

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("portal_db")]

HEADER = "account,meter,window_start,quantity,endpoint,revision\n"
Fact = tuple[int, int, int]


def _source() -> Any:
    factories.make_meter("bytes_out")
    factories.make_account("ansel")
    factories.make_account("brook")
    return factories.make_source("edge", clock_zone="")


def _body(facts: Sequence[Fact]) -> str:
    """Facts are (place, revision, salt): a place is one identity; the quantity follows from place and revision."""
    lines = []
    for place, revision, _salt in facts:
        account = ("ansel", "brook")[place % 2]
        hour, endpoint = place % 24, f"e{place // 24}"
        lines.append(
            f"{account},bytes_out,2026-11-03T{hour:02d}:00:00Z,{place * 100 + revision},{endpoint},{revision}\n"
        )
    return HEADER + "".join(lines)


def _expected(facts: Sequence[Fact]) -> set[tuple[int, int]]:
    """The place and highest revision of every identity, found without the product."""
    highest: dict[int, int] = {}
    for place, revision, _salt in facts:
        highest[place] = max(revision, highest.get(place, 0))
    return set(highest.items())


def _stored() -> set[tuple[int, int]]:
    """Place and revision of every current record, read back out of its quantity."""
    return {(int(row[4]) // 100, row[3]) for row in current()}


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    facts=st.lists(
        st.tuples(st.integers(1, 40), st.integers(1, 4), st.integers(0, 9)), min_size=1, max_size=60
    ),
    cuts=st.lists(st.integers(0, 60), max_size=4),
    seed=st.integers(0, 2**32),
)
def test_any_order_split_and_repetition_gives_the_same_books(
    facts: list[Fact], cuts: list[int], seed: int
) -> None:
    _empty_tables()
    source = _source()
    shuffled = facts * 2
    random.Random(seed).shuffle(shuffled)
    edges = sorted({0, len(shuffled), *(cut for cut in cuts if cut < len(shuffled))})

    for start, end in pairwise(edges):
        ingest_now(source, _body(shuffled[start:end]))

    assert _stored() == _expected(facts)
    assert_rollups_equal_records()
    with as_worker(), connection().cursor() as cursor:
        cursor.execute("SELECT count(*) FROM insights_usagerevision")
        distinct = {(place, revision) for place, revision, _salt in facts}
        assert cursor.fetchone() == (len(distinct) - len(_expected(facts)),)


def test_overlapping_deliveries_at_the_same_time_count_everything_once() -> None:
    source = _source()
    chance = random.Random(7)
    facts = [(place, revision, 0) for place in range(1, 400) for revision in (1, 2, 3)]
    batch_ids = []
    for _delivery in range(6):
        chance.shuffle(facts)
        received = factories.receive_batch(pieces=[_body(facts).encode()], source_id=source.pk, via="api")
        batch_ids.append(received.batch_id)
    failures = _in_threads([lambda batch_id=batch_id: ingest_batch(batch_id) for batch_id in batch_ids])

    assert failures == []
    assert _stored() == _expected(facts)
    assert_rollups_equal_records()
    with as_worker():
        batches = Batch.objects.all()
        assert {batch.state for batch in batches} == {"done"}
        assert sum(batch.received for batch in batches) == 6 * len(facts)
        assert sum(batch.new for batch in batches) == len(current())


def test_two_workers_never_take_the_same_batch() -> None:
    source = _source()
    received = factories.receive_batch(pieces=[_body([(1, 1, 0)]).encode()], source_id=source.pk, via="api")

    failures = _in_threads([lambda: ingest_batch(received.batch_id) for _worker in range(6)])

    assert failures == []
    with as_worker():
        assert Batch.objects.get().received == 1
        assert WorkItem.objects.get().lease_number == 1


def test_a_batch_that_fails_three_times_is_set_aside_and_others_go_on() -> None:
    source = _source()
    received = factories.receive_batch(pieces=[_body([(1, 1, 0)]).encode()], source_id=source.pk, via="api")
    with as_worker(), connection().cursor() as cursor:
        # A worker that dies leaves its lease behind; here three have died and their leases have run out.
        cursor.execute(
            "UPDATE insights_workitem SET state = 'leased', deliveries = 3, leased_until = now() - interval '1 s'"
        )
    assert ring_waiting_work() == 1
    ingest_batch(received.batch_id)

    with as_worker():
        assert Batch.objects.get().state == "quarantined"
        assert Batch.objects.get().received == 0
    assert ingest_now(source, _body([(2, 1, 0)])).new == 1


def test_a_worker_that_died_in_the_middle_is_followed_by_one_that_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = _source()
    monkeypatch.setattr("insights.ingest.operations.CHUNK_LINES", 10)
    received = factories.receive_batch(
        pieces=[_body([(place, 1, 0) for place in range(1, 24)]).encode()], source_id=source.pk, via="api"
    )
    with monkeypatch.context() as broken:
        broken.setattr("insights.metering.operations.roll_up_stage", _dies_on_second_call())
        with pytest.raises(MemoryError):
            ingest_batch(received.batch_id)
    with as_worker(), connection().cursor() as cursor:
        assert Batch.objects.get().received == 10
        cursor.execute("UPDATE insights_workitem SET leased_until = now() - interval '1 s'")

    ingest_batch(received.batch_id)

    with as_worker():
        batch = Batch.objects.get()
        assert (batch.state, batch.received, batch.new) == ("done", 23, 23)
    assert sum((row[4] for row in current()), Decimal(0)) == sum(place * 100 + 1 for place in range(1, 24))
    assert_rollups_equal_records()


def _dies_on_second_call() -> Any:
    from insights.metering.operations import roll_up_stage

    calls: list[None] = []

    def dies() -> None:
        calls.append(None)
        if len(calls) == 2:
            raise MemoryError
        roll_up_stage()

    return dies


def _in_threads(jobs: Sequence[Any]) -> list[BaseException]:
    failures: list[BaseException] = []

    def run(job: Any) -> None:
        try:
            job()
        except BaseException as error:
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=[job]) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return failures
