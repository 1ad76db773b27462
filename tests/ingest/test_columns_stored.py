"""A chunk stored by columns leaves the books that its lines leave when they are judged one by one."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.tenancy import as_worker, connection
from insights.ingest import chunk_operations
from insights.models import Batch, Source
from tests import factories
from tests.factories import ingest_now
from tests.ingest.test_reverts import revert

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("portal_db")]

HEADER = "account,meter,window_start,quantity,endpoint,revision"


class Fact(NamedTuple):
    """One line; `row` names it where the source names its rows."""

    account: str
    hour: int
    quantity: str
    endpoint: str = "a"
    revision: int = 1
    row: str = "r"


def body(source: Source, facts: list[Fact], *, by_lines: bool = False) -> str:
    """The file of some facts. One quoted cell, which means the same, keeps a chunk from being read by columns."""
    has_rows = source.key_kind == "row_id"
    lines = [
        f"{fact.account},bytes_out,2026-11-{3 + fact.hour // 24:02d}T{fact.hour % 24:02d}:00:00Z,{fact.quantity},"
        f"{fact.endpoint},{fact.revision}" + (f",{fact.row}{fact.hour}" if has_rows else "")
        for fact in facts
    ]
    if by_lines:
        account, _, rest = lines[0].partition(",")
        lines[0] = f'"{account}",{rest}'
    return "\n".join([HEADER + (",row_id" if has_rows else ""), *lines, ""])


def found(statement: str, source: Source) -> list[Any]:
    with as_worker(), connection().cursor() as cursor:
        cursor.execute(statement, [source.pk])
        return list(cursor.fetchall())


def books(source: Source) -> list[list[Any]]:
    """All that a source's batches have left, without the ids: counts, parts, runs, records, history, sums."""
    return [
        found(
            "SELECT received, new, replaced, duplicate, stale, rejected, blank_lines, lines_done FROM insights_batch "
            "WHERE source_id = %s ORDER BY id",
            source,
        ),
        found(
            "SELECT p.account_id, p.received, p.new, p.replaced, p.duplicate, p.stale, p.rejected, p.first_window, "
            "p.last_window_end FROM insights_batchpart p JOIN insights_batch b ON b.id = p.batch_id "
            "WHERE b.source_id = %s ORDER BY b.id, p.account_id",
            source,
        ),
        found(
            "SELECT v.account_id, v.first_line, v.last_line, v.lines, v.verdict FROM insights_lineverdict v "
            "JOIN insights_batch b ON b.id = v.batch_id WHERE b.source_id = %s ORDER BY v.id",
            source,
        ),
        found(
            "SELECT u.account_id, s.dimensions, u.window_start, u.row_id, u.revision, u.quantity, u.line_no "
            "FROM insights_usagerecord u JOIN insights_series s ON s.id = u.series_id WHERE s.source_id = %s "
            "ORDER BY 1, 2, 3, 4",
            source,
        ),
        found(
            "SELECT h.account_id, s.dimensions, h.window_start, h.row_id, h.revision, h.quantity, h.kind "
            "FROM insights_usagerevision h JOIN insights_series s ON s.id = h.series_id WHERE s.source_id = %s "
            "ORDER BY 1, 2, 3, 4, 5",
            source,
        ),
        found(
            "SELECT r.account_id, s.dimensions, r.day, r.quantity, r.records, r.windows_used, r.maximum "
            "FROM insights_usagerollup r JOIN insights_series s ON s.id = r.series_id WHERE s.source_id = %s "
            "ORDER BY 1, 2, 3",
            source,
        ),
    ]


@pytest.fixture(params=["window", "row_id"])
def pair(request: Any) -> Any:
    """Return a function that makes two sources alike."""
    factories.make_meter("bytes_out")
    factories.make_account("ansel", billing_zone="Asia/Tokyo")
    factories.make_account("brook")
    made: list[Source] = []

    def make() -> list[Source]:
        for _ in range(2):
            made.append(factories.make_source(f"edge-{len(made)}", clock_zone="", key_kind=request.param))
        return made[-2:]

    return make


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How each chunk was stored: by columns with one verdict, or by lines."""
    taken: list[str] = []
    by_columns, by_lines = chunk_operations.store_columns, chunk_operations.store_lines

    def columns(*args: Any) -> Any:
        verdict = by_columns(*args)
        if verdict is not None:
            taken.append(str(verdict))
        return verdict

    def lines(*args: Any) -> Any:
        taken.append("lines")
        return by_lines(*args)

    monkeypatch.setattr(chunk_operations, "store_columns", columns)
    monkeypatch.setattr(chunk_operations, "store_lines", lines)
    return taken


def deliver(sources: list[Source], facts: list[Fact]) -> Batch:
    """Send facts to one source by columns and to the other by lines; return the first batch."""
    batch = ingest_now(sources[0], body(sources[0], facts))
    ingest_now(sources[1], body(sources[1], facts, by_lines=True))
    assert books(sources[0]) == books(sources[1])
    return batch


FACTS = [
    Fact(account, hour, f"{hour}.5", endpoint, row=endpoint)
    for hour in range(40)
    for account in ("ansel", "brook")
    for endpoint in "ab"
]


def test_new_and_repeated_chunks_are_stored_by_columns_with_the_books_of_lines(
    pair: Any, ways: list[str]
) -> None:
    sources = pair()

    deliver(sources, FACTS)
    deliver(sources, FACTS[::-1])
    deliver(sources, [fact._replace(quantity=f"{fact.quantity}0") for fact in FACTS[1:]])

    assert ways == ["new", "lines", "duplicate", "lines", "duplicate", "lines"]


@pytest.mark.parametrize(
    "change",
    [
        {"quantity": "7"},
        {"revision": 2},
        {"quantity": "7", "revision": 2},
        {"endpoint": "c"},
        {"hour": 300},
    ],
)
@pytest.mark.parametrize("place", [0, 77, 159])
def test_one_line_that_differs_is_judged_as_ever(
    pair: Any, ways: list[str], place: int, change: dict[str, Any]
) -> None:
    sources = pair()
    deliver(sources, FACTS)

    deliver(
        sources, [fact._replace(**change) if number == place else fact for number, fact in enumerate(FACTS)]
    )

    assert ways[2:] == ["lines", "lines"]


def test_a_row_that_took_another_rows_window_is_no_repetition(ways: list[str]) -> None:
    """As many records and the same content in the same order, but not in the same windows; no sample shows it."""
    factories.make_meter("bytes_out")
    factories.make_account("ansel")
    sources = [factories.make_source(name, clock_zone="", key_kind="row_id") for name in ("one", "two")]
    facts = [Fact("ansel", hour, "5") for hour in range(240)]
    for source in sources:
        ingest_now(source, body(source, facts).replace("11-03T08:00", "11-03T07:00"))

    batch = deliver(sources, facts)

    assert (batch.duplicate, batch.rejected) == (239, 1)
    assert ways[-2:] == ["lines", "lines"]


def test_rows_that_share_windows_are_told_as_repeated(ways: list[str]) -> None:
    factories.make_meter("bytes_out")
    factories.make_account("ansel")
    sources = [factories.make_source(name, clock_zone="", key_kind="row_id") for name in ("one", "two")]
    facts = [Fact("ansel", hour, "5", row=row) for hour in range(50) for row in ("r\\", "s t", "u")]

    deliver(sources, facts)
    deliver(sources, facts[::-1])
    deliver(sources, facts[::3])

    assert ways == ["new", "lines", "duplicate", "lines", "duplicate", "lines"]


def test_what_was_retracted_stays_known(pair: Any, ways: list[str]) -> None:
    sources = pair()
    staff = factories.make_user("staff@example.com", is_staff=True)
    for source in sources:
        revert(ingest_now(source, body(source, FACTS[:20])), staff)

    deliver(sources, FACTS[:20])
    deliver(sources, FACTS)
    deliver(sources, FACTS[20:])
    deliver(sources, [fact._replace(hour=fact.hour + 100) for fact in FACTS])

    assert ways[-6:] == ["lines", "lines", "duplicate", "lines", "new", "lines"]


facts = st.builds(
    Fact,
    st.sampled_from(["ansel", "brook"]),
    st.integers(0, 30),
    st.sampled_from(["1", "1.0", "2", "0", "0.000000001"]),
    st.sampled_from("ab"),
    st.sampled_from([1, 1, 1, 2]),
    st.sampled_from(["r", "s"]),
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(
        st.tuples(st.lists(facts, min_size=1, max_size=30), st.booleans(), st.none() | facts), max_size=3
    )
)
def test_any_deliveries_leave_the_same_books(
    pair: Any, batches: list[tuple[list[Fact], bool, Fact | None]]
) -> None:
    sources = pair()
    before: list[Fact] = []
    for fresh, is_repeat, more in batches:
        sent = (before[::-1] if is_repeat and before else fresh) + ([more] if more else [])
        deliver(sources, sent)
        before = sent
