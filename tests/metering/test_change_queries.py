"""What a batch changed: the changes of all batches add up to the usage, whatever came in whatever order."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Account
from accounts.tenancy import account_scope, as_staff, as_worker, connection
from insights.feeds.revert_operations import ask_revert, confirm_revert
from insights.metering.change_queries import Change, list_changes
from insights.models import Batch, BatchPart, Source
from insights.tasks import ingest_batch
from tests import factories
from tests.conftest import Cast
from tests.factories import ingest_now

pytestmark = pytest.mark.database

HEADER = "account,meter,window_start,quantity,endpoint,revision\n"


@pytest.fixture
def edge(cast: Cast) -> Source:
    """A source of hourly windows, with meters that add up and one that does not."""
    factories.make_meter("bytes_out")
    factories.make_meter("calls", aggregation="count", unit="call")
    factories.make_meter("stored", aggregation="time_weighted_sum", unit="GB")
    factories.make_meter("seats", aggregation="max", unit="seat")
    return factories.make_source("edge", clock_zone="")


def line(
    hour: int, quantity: object, *, revision: int = 1, meter: str = "bytes_out", account: str = "ansel"
) -> str:
    """One line of 3 Nov 2026."""
    return f"{account},{meter},2026-11-03T{hour:02d}:00:00Z,{quantity},a,{revision}\n"


def changes(account: Account, batch: Batch) -> dict[tuple[str, date], Change]:
    """What the account's page of the batch shows."""
    with as_worker():
        part = BatchPart.objects.filter(account=account, batch=batch).first()
    with account_scope(account.pk, read_only=True):
        found = list_changes(
            account,
            batch_id=batch.pk,
            first_window=part and part.first_window,
            last_window_end=part and part.last_window_end,
        )
    return {(change.meter, change.day): change for change in found}


def test_before_after_and_change_of_each_meter_and_day(cast: Cast, edge: Source) -> None:
    ingest_now(edge, HEADER + line(1, 5) + line(2, 6) + line(1, 2, meter="stored"))
    batch = ingest_now(
        edge,
        HEADER
        + line(1, 50, revision=2)
        + line(2, 6)
        + line(3, 7)
        + line(1, 3, revision=2, meter="stored")
        + line(4, 9, meter="calls")
        + line(4, 9, meter="seats")
        + line(9, 1000, account="brook-CANARY"),
    )
    day = date(2026, 11, 3)

    assert changes(cast.ours, batch) == {
        ("Bytes out", day): Change("Bytes out", "byte", day, 1, 2, Decimal(5), Decimal(57)),
        ("Stored", day): Change("Stored", "GB hours", day, 1, 1, Decimal(2), Decimal(3)),
        ("Calls", day): Change("Calls", "call", day, 0, 1, Decimal(0), Decimal(1)),
        ("Seats", day): Change("Seats", "seat", day, 0, 1, None, None),
    }


def test_it_stays_the_same_whatever_comes_later(cast: Cast, edge: Source) -> None:
    first = ingest_now(edge, HEADER + line(1, 5) + line(2, 6))
    second = ingest_now(edge, HEADER + line(1, 50, revision=2))
    told = changes(cast.ours, first), changes(cast.ours, second)

    ingest_now(edge, HEADER + line(1, 500, revision=3) + line(2, 60, revision=2))
    _revert(second, cast)
    _revert(first, cast)

    assert (changes(cast.ours, first), changes(cast.ours, second)) == told


def test_what_a_revert_brought_back_is_told_once(cast: Cast, edge: Source) -> None:
    first = ingest_now(edge, HEADER + line(1, 5) + line(2, 6))
    told = changes(cast.ours, first)
    _revert(ingest_now(edge, HEADER + line(1, 50, revision=2)), cast)

    assert changes(cast.ours, first) == told
    later = ingest_now(edge, HEADER + line(1, 7, revision=3))
    (change,) = changes(cast.ours, later).values()
    assert (change.before, change.after) == (Decimal(5), Decimal(7))


def test_a_batch_of_known_lines_changed_nothing(cast: Cast, edge: Source) -> None:
    ingest_now(edge, HEADER + line(1, 5, revision=2))

    assert changes(cast.ours, ingest_now(edge, HEADER + line(1, 5, revision=2) + line(1, 4))) == {}


LINES = st.lists(
    st.tuples(
        st.integers(0, 30), st.integers(1, 9), st.integers(1, 4), st.sampled_from(["bytes_out", "calls"])
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(LINES, min_size=1, max_size=5))
def test_the_changes_of_all_batches_add_up_to_the_usage(
    cast: Cast, edge: Source, batches: list[list[tuple[int, int, int, str]]]
) -> None:
    account = factories.make_account(
        f"account-{datetime.now(UTC).timestamp()}", billing_zone="America/Havana"
    )
    sums: dict[tuple[str, date], Decimal] = defaultdict(Decimal)
    records: dict[tuple[str, date], int] = defaultdict(int)
    for facts in batches:
        body = "".join(
            f"{account.reference},{meter},2026-11-{1 + hour // 24:02d}T{hour % 24:02d}:00:00Z,{quantity},a,{revision}\n"
            for hour, quantity, revision, meter in facts
        )
        batch = ingest_now(edge, HEADER + body)
        for place, change in changes(account, batch).items():
            sums[place] += change.delta or 0
            records[place] += change.records_after - change.records_before

    rollups = _rollups(account)
    assert {place: number for place, number in records.items() if number} == {
        place: row[1] for place, row in rollups.items()
    }
    assert {place: sums[place] for place in rollups} == {place: row[0] for place, row in rollups.items()}


def _rollups(account: Account) -> dict[tuple[str, date], tuple[Decimal, int]]:
    with as_worker(), connection().cursor() as cursor:
        cursor.execute(
            "SELECT m.name, r.day, CASE WHEN m.aggregation = 'count' THEN r.records ELSE r.quantity END, r.records "
            "FROM insights_usagerollup r JOIN insights_meter m ON m.id = r.meter_id WHERE r.account_id = %s",
            [account.pk],
        )
        return {(row[0], row[1]): (row[2], row[3]) for row in cursor.fetchall()}


def _revert(batch: Batch, cast: Any) -> None:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    with as_staff():
        ask_revert(public_id=batch.public_id, actor=cast.staff, now=now)
    ingest_batch(batch.pk)
    with as_staff():
        confirm_revert(public_id=batch.public_id, actor=cast.staff, reason="wrong", now=now)
    ingest_batch(batch.pk)
