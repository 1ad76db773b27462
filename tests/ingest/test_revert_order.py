"""Batches delivered and reverted in any order leave the books of the batches that stayed."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import User
from accounts.tenancy import as_worker, connection
from insights.models import Batch, Source
from tests import factories
from tests.ingest.test_reverts import line, revert, send, verify

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("portal_db")]


class Fact(NamedTuple):
    """One line: which record, which revision, and what it says."""

    hour: int
    revision: int
    quantity: int


FACTS = st.builds(Fact, st.integers(0, 2), st.integers(1, 4), st.integers(1, 2))
BATCHES = st.lists(st.lists(FACTS, min_size=1, max_size=6), min_size=1, max_size=5)
# For each batch: kept, or reverted after so many further deliveries.
REVERTS = st.lists(st.none() | st.integers(0, 4), min_size=5, max_size=5)


def left(batches: list[list[Fact]], kept: list[bool]) -> list[list[Fact]]:
    """What the batches that stay have brought: a revision belongs to the batch that brought it first."""
    brought: set[tuple[int, int]] = set()
    rest = []
    for facts, stays in zip(batches, kept, strict=True):
        firsts = []
        for fact in facts:
            if (fact.hour, fact.revision) not in brought:
                brought.add((fact.hour, fact.revision))
                firsts.append(fact)
        if stays and firsts:
            rest.append(firsts)
    return rest


def deliver(source: Source, facts: list[Fact]) -> Batch:
    """Send one batch."""
    return send(source, *(line(fact.hour, fact.quantity, revision=fact.revision) for fact in facts))


def books(source: Source) -> tuple[list[Any], list[Any]]:
    """A source's current records and rollups, without whence they came."""
    with as_worker(), connection().cursor() as cursor:
        cursor.execute(
            "SELECT u.window_start, u.revision, u.quantity FROM insights_usagerecord u "
            "JOIN insights_series s ON s.id = u.series_id WHERE s.source_id = %s ORDER BY 1",
            [source.pk],
        )
        records = cursor.fetchall()
        cursor.execute(
            "SELECT r.day, r.quantity, r.records, r.windows_used, r.maximum FROM insights_usagerollup r "
            "JOIN insights_series s ON s.id = r.series_id WHERE s.source_id = %s ORDER BY 1",
            [source.pk],
        )
        return records, cursor.fetchall()


@pytest.fixture(params=["window", "row_id"])
def new_source(request: Any) -> Any:
    """Return a function that makes one source after the other, all of one key kind."""
    factories.make_meter("bytes_out")
    factories.make_account("ansel", billing_zone="America/Havana")
    made: list[Source] = []

    def make() -> Source:
        made.append(factories.make_source(f"edge-{len(made)}", clock_zone="", key_kind=request.param))
        return made[-1]

    return make


@pytest.fixture
def staff(portal_db: None) -> User:
    """Who reverts."""
    return factories.make_user("staff@example.com", is_staff=True)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=BATCHES, reverts=REVERTS)
def test_what_is_left_is_what_the_other_batches_brought(
    new_source: Any, staff: User, batches: list[list[Fact]], reverts: list[int | None]
) -> None:
    reverted, plain = new_source(), new_source()
    due: dict[int, list[Batch]] = {}
    for place, facts in enumerate(batches):
        batch = deliver(reverted, facts)
        delay = reverts[place]
        if delay is not None:
            due.setdefault(min(place + delay, len(batches) - 1), []).append(batch)
        for late in due.get(place, []):
            revert(late, staff)
    for facts in left(batches, [delay is None for delay, _ in zip(reverts, batches, strict=False)]):
        deliver(plain, facts)

    assert books(reverted) == books(plain)
    verify()
