"""Whatever a backfill holds, its preview says what the close then does, and the books are those of plain sending."""

from __future__ import annotations

from itertools import count
from typing import Any, NamedTuple
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import User
from accounts.tenancy import as_worker
from insights.ingest import operations
from insights.models import Batch
from tests import factories
from tests.factories import ingest_now
from tests.ingest.held import body_of, books, close, hold, line, opened, preview
from tests.ingest.test_reverts import verify

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("portal_db")]


class Fact(NamedTuple):
    """One line: whose, which hour and day, which revision, and what it says; some say nothing that can be taken."""

    account: str
    hour: int
    revision: int
    quantity: str


FACTS = st.builds(
    Fact,
    st.sampled_from(["ansel", "brook", "nobody"]),
    st.integers(0, 23).map(lambda hour: hour // 8),
    st.integers(1, 3),
    st.sampled_from(["1", "2", "x"]),
)
FILES = st.lists(st.lists(FACTS, min_size=1, max_size=6), min_size=1, max_size=3)


@pytest.fixture(params=["window", "row_id"])
def kind(request: Any) -> str:
    """The key kind; meters and accounts are there."""
    factories.make_meter("bytes_out")
    factories.make_meter("seats", aggregation="latest")
    factories.make_account("ansel", billing_zone="America/Havana")
    factories.make_account("brook")
    return str(request.param)


@pytest.fixture
def staff(portal_db: None) -> User:
    """Who backfills."""
    return factories.make_user("staff@example.com", is_staff=True)


_numbers = count()


def lines_of(facts: list[Fact]) -> list[str]:
    meters = ("bytes_out", "seats")
    return [
        line(
            fact.hour,
            fact.quantity,
            revision=fact.revision,
            account=fact.account,
            meter=meters[fact.hour % 2],
        )
        for fact in facts
    ]


@settings(
    max_examples=4,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(before=FILES, held=FILES)
def test_preview_close_and_plain_sending_agree(
    kind: str, staff: User, before: list[list[Fact]], held: list[list[Fact]]
) -> None:
    number = next(_numbers)
    plain, gathered = (
        factories.make_source(f"{name}-{number}", clock_zone="", key_kind=kind) for name in ("plain", "held")
    )
    with patch.object(operations, "CHUNK_LINES", 2):
        for source in (plain, gathered):
            for place, facts in enumerate(before):
                ingest_now(source, body_of(source, *lines_of(facts)), name=f"before-{place}")
        for place, facts in enumerate(held):
            ingest_now(plain, body_of(plain, *lines_of(facts)), name=f"held-{place}")
        backfill = opened(gathered, staff)
        for place, facts in enumerate(held):
            hold(gathered, backfill, *lines_of(facts), name=f"held-{place}")
        untouched = books(gathered)
        said = preview(backfill, staff).preview
        assert books(gathered) == untouched

        closed = close(backfill, staff)

    assert closed.state == "closed"
    assert books(gathered) == books(plain)
    with as_worker():
        done = [
            {name: getattr(batch, name) for name in said["totals"]}
            for batch in Batch.objects.filter(backfill=closed).order_by("id")
        ]
    assert [{name: row[name] for name in said["totals"]} for row in said["by_batch"]] == done
    records = books(gathered)["records"]
    days: dict[Any, int] = {}
    for row in said["days"]:
        days[row["reference"], row["meter"]] = (
            days.get((row["reference"], row["meter"]), 0) + row["after"] - row["before"]
        )
    held_before = untouched["records"]
    names = {"bytes_out": "Bytes out", "seats": "Seats"}
    for (account, meter), grown in days.items():
        of = [
            [row for row in rows if (row["reference"], names[row["key"]]) == (account, meter)]
            for rows in (held_before, records)
        ]
        assert grown == len(of[1]) - len(of[0])


def test_the_books_agree_after_all_of_it(kind: str, staff: User) -> None:
    source = factories.make_source("edge", clock_zone="", key_kind=kind)
    backfill = opened(source, staff)
    with patch.object(operations, "CHUNK_LINES", 2):
        hold(source, backfill, *(line(hour, hour) for hour in range(9)))
        hold(source, backfill, *(line(hour, 2 * hour, revision=2) for hour in range(0, 9, 2)))
        preview(backfill, staff)
        close(backfill, staff)

    verify()
