"""What may have changed since a position is found where it changed, and nowhere else."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from accounts.models import Account
from accounts.tenancy import as_staff, as_worker
from insights.feeds.revert_operations import ask_revert, confirm_revert
from insights.metering.late_queries import read_late
from insights.models import Batch, LedgerHead, Source
from insights.tasks import ingest_batch
from tests.conftest import Cast
from tests.factories import ingest_now, make_meter, make_source
from tests.ingest import held

pytestmark = pytest.mark.database
MONTHS = (9, 10, 11)


@pytest.fixture
def ansel(cast: Cast) -> Account:
    make_meter("bytes_out")
    return cast.ours


@pytest.fixture
def edge(ansel: Account) -> Source:
    return make_source(clock_zone="", max_age_days=10_000)


def send(source: Source, *lines: str) -> Batch:
    return ingest_now(source, held.body_of(source, *lines))


def position() -> int:
    with as_worker():
        return LedgerHead.objects.values_list("position", flat=True).get()


def touched_months(account: Account, since: int) -> list[int]:
    """The months of the year that something since the position may have changed."""
    with as_worker():
        stretches = read_late([account.pk], [since]).get(account.pk, [])
    starts = {month: datetime(2026, month, 1, tzinfo=UTC) for month in (*MONTHS, 12)}
    return [
        month
        for month in MONTHS
        if any(
            (first is None or first < starts[month + 1]) and (end is None or end > starts[month])
            for first, end in stretches
        )
    ]


def of(month: int, quantity: int, **fields: object) -> str:
    return held.line(5, quantity, day=f"2026-{month:02d}-03", **fields)  # type: ignore[arg-type]


def test_what_is_new_since_touches_its_own_time(ansel: Account, edge: Source) -> None:
    send(edge, of(9, 1))
    since = position()
    send(edge, of(10, 1))

    assert touched_months(ansel, since) == [10]
    assert touched_months(ansel, 0) == [9, 10]
    assert touched_months(ansel, position()) == []


def test_a_replaced_window_touches_no_other_time(ansel: Account, edge: Source) -> None:
    for month in MONTHS:
        send(edge, of(month, 1))
    since = position()
    send(edge, of(10, 2, revision=2))

    assert touched_months(ansel, since) == [10]


def test_a_row_that_moved_touches_where_it_was_and_where_it_is(ansel: Account) -> None:
    rows = make_source("rows", key_kind="row_id", clock_zone="", max_age_days=10_000)
    send(rows, *(of(month, 1) for month in MONTHS))
    since = position()
    send(rows, of(11, 1, revision=2, row="ansel-bytes_out-2026-09-03-5"))

    assert touched_months(ansel, since) == [9, 11]


def test_a_repeat_touches_nothing(ansel: Account, edge: Source) -> None:
    send(edge, of(9, 1))
    since = position()
    send(edge, of(9, 1))

    assert touched_months(ansel, since) == []


def test_what_was_taken_back_may_be_anywhere(ansel: Account, edge: Source, cast: Cast) -> None:
    batch = send(edge, of(10, 1))
    since = position()
    now = datetime(2026, 11, 23, tzinfo=UTC)
    with as_staff():
        ask_revert(public_id=batch.public_id, actor=cast.staff, now=now)
    ingest_batch(batch.pk)
    with as_staff():
        confirm_revert(public_id=batch.public_id, actor=cast.staff, reason="wrong", now=now)
    ingest_batch(batch.pk)

    assert touched_months(ansel, since) == list(MONTHS)
    assert touched_months(ansel, position()) == []


def test_a_backfill_touches_its_time_when_it_is_closed(ansel: Account, edge: Source, cast: Cast) -> None:
    send(edge, *(of(month, 1) for month in MONTHS))
    backfill = held.opened(edge, cast.staff)
    held.hold(edge, backfill, of(9, 7, revision=2))
    held.preview(backfill, cast.staff)
    since = position()
    assert touched_months(ansel, since) == []
    held.close(backfill, cast.staff)

    assert touched_months(ansel, since) == [9]
