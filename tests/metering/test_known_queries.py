"""Usage as it was known at a ledger position: what had been answered then is answered again."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from threading import Event
from typing import Any
from unittest.mock import patch
from zoneinfo import ZoneInfo

import pytest
from django.db import connections

from accounts.models import Account, User
from accounts.tenancy import account_scope, as_staff, as_worker
from insights import tasks
from insights.exports.queries import list_records, records_filter
from insights.feeds.revert_operations import ask_revert, confirm_revert
from insights.ingest import operations
from insights.metering.explore import Exploration
from insights.metering.known_moment import KnownAt
from insights.metering.known_moment_queries import settle_known
from insights.metering.line_usage_queries import NOW as NOW_OF_LEDGER
from insights.metering.line_usage_queries import (
    LineScope,
    LineUsage,
    list_line_series,
    read_line_by_series,
    read_line_days,
    read_line_total,
    read_line_usage,
)
from insights.metering.queries import explore, list_meters
from insights.metering.usage_filter import UsageFilter, parse_usage_filter
from insights.models import Batch, LedgerEntry, LedgerHead, Source
from insights.tasks import ingest_batch
from insights.values.period import Period
from tests import factories
from tests.factories import ingest_now
from tests.ingest import held

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("portal_db")]

NOW = datetime(2026, 11, 6, 12, tzinfo=UTC)
AGGREGATIONS = ("sum", "count", "max", "latest", "unique_count", "time_weighted_sum")
HEADER = "account,meter,window_start,quantity,endpoint,region,revision"
ACCOUNTS = ("ansel", "brook")
QUERIES = (
    "granularity=day",
    "granularity=day&group_by=endpoint",
    "granularity=month&group_by=region",
    "granularity=hour&from=2026-11-03&to=2026-11-04&group_by=endpoint",
    "granularity=day&dimension.endpoint=a",
)
Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class World:
    """Two accounts, a meter of every aggregation, and a source of either kind of key."""

    accounts: tuple[Account, ...]
    sources: tuple[Source, ...]
    staff: User


@pytest.fixture
def world(portal_db: None) -> World:
    for aggregation in AGGREGATIONS:
        unique = ["endpoint"] if aggregation == "unique_count" else []
        factories.make_meter(
            f"by-{aggregation}".replace("_", "-"),
            aggregation=aggregation,
            dimensions=["endpoint", "region"],
            unique_dimensions=unique,
        )
    return World(
        accounts=(
            factories.make_account("ansel", billing_zone="Europe/Berlin"),
            factories.make_account("brook", billing_zone="America/Havana"),
        ),
        sources=(
            factories.make_source("edge", clock_zone=""),
            factories.make_source("rows", clock_zone="", key_kind="row_id"),
        ),
        staff=factories.make_user("staff@example.com", is_staff=True),
    )


def ask(account: Account, query: str, known: KnownAt | None = None) -> tuple[UsageFilter, Exploration]:
    """Ask as a page would, now or as known at a moment."""
    pairs = [tuple(pair.split("=", 1)) for pair in query.split("&")]
    if "from=" not in query:
        pairs += [("from", "2026-10-30"), ("to", "2026-11-06")]
    with account_scope(account.pk, read_only=True):
        question = parse_usage_filter(
            pairs, meters=list_meters(account), zone=ZoneInfo(account.billing_zone), now=NOW
        )
        question = settle_known(account, replace(question, known=known))
        return question, explore(account, question, NOW)


def answers_of(account: Account, queries: list[str], known: KnownAt | None = None) -> list[Answer]:
    """Everything that pages and downloads show, but for what was complete."""
    found = []
    for query in queries:
        question, answer = ask(account, query, known)
        with account_scope(account.pk, read_only=True):
            records = list_records(records_filter(account, question), after=None, limit=1000)
        # Before there is any series, an answer has one empty group; afterwards nothing is found to have none.
        is_used = answer.total is not None
        found.append(
            {
                "query": query,
                "total": answer.total,
                "groups": [
                    (one.value, one.is_rest, one.members, one.total) for one in answer.groups if is_used
                ],
                "values_found": answer.values_found if is_used else 0,
                "first_used_day": answer.first_used_day,
                "buckets": [
                    (
                        bucket.slot,
                        bucket.quantity,
                        bucket.parts if is_used else (),
                        bucket.records,
                        bucket.previous,
                    )
                    for bucket in answer.buckets
                ],
                "daily": [bucket.holds_daily_totals for bucket in answer.buckets],
                "records": records,
            }
        )
    return found


def head() -> int:
    """The last position of the ledger, of whatever account."""
    with as_worker():
        return LedgerHead.objects.get().position


def random_body(chance: random.Random, source: Source, sent: list[str]) -> str:
    """Rows of few facts, so that they are repeated, revised, outdated and contradicted."""
    lines = []
    # A batch of few days is taken whole, of a longer one the rows are looked up.
    days = chance.sample(("10-31", "11-01", "11-03", "11-04"), chance.choice((1, 2, 4)))
    for _ in range(chance.randrange(4, 16)):
        if sent and chance.random() < 0.2:
            lines.append(chance.choice(sent))
            continue
        meter = f"by-{chance.choice(AGGREGATIONS)}".replace("_", "-")
        at = f"2026-{chance.choice(days)}T{chance.choice((3, 4, 5, 23)):02d}:00:00Z"
        fact = [chance.choice(ACCOUNTS), meter, at, str(chance.choice((0, 0.5, 3, 7, 12)))]
        fact += [chance.choice("abc"), chance.choice(("eu", "us")), str(chance.randrange(1, 4))]
        row_id = [f"r{chance.randrange(12)}"] if source.key_kind == "row_id" else []
        lines.append(",".join(fact + row_id))
    sent += lines
    header = f"{HEADER},row_id" if source.key_kind == "row_id" else HEADER
    return "\n".join([header, *lines]) + "\n"


def revert(batch: Batch, staff: User) -> None:
    """Take a batch out of the books, in the worker's two turns."""
    with as_staff():
        ask_revert(public_id=batch.public_id, actor=staff, now=NOW)
    ingest_batch(batch.pk)
    with as_staff():
        confirm_revert(public_id=batch.public_id, actor=staff, reason="sent twice", now=NOW)
    ingest_batch(batch.pk)


@dataclass(slots=True)
class Notes:
    """What was answered after each ledger write, with the position that it took."""

    questions: dict[int, list[str]]
    accounts: tuple[Account, ...]
    taken: list[tuple[int, int, list[Answer]]]

    def take(self) -> None:
        """Ask everything once more."""
        for account in self.accounts:
            self.taken.append((head(), account.pk, answers_of(account, self.questions[account.pk])))

    def write(self, write: Callable[..., None]) -> Callable[..., None]:
        """The same write, with notes taken after it has committed."""

        def noted(*arguments: Any, **named: Any) -> None:
            write(*arguments, **named)
            self.take()

        return noted


def live_through(world: World, notes: Notes, chance: random.Random, monkeypatch: Any) -> None:
    """A history of deliveries and reverts, noted after each ledger write."""
    monkeypatch.setattr(operations, "CHUNK_LINES", 8)
    monkeypatch.setattr(tasks, "_write_chunk", notes.write(tasks._write_chunk))
    monkeypatch.setattr(tasks, "_write_revert", notes.write(tasks._write_revert))
    standing: list[Batch] = []
    sent: dict[int, list[str]] = {source.pk: [] for source in world.sources}
    for _ in range(9):
        if standing and chance.random() < 0.3:
            revert(standing.pop(chance.randrange(len(standing))), world.staff)
        else:
            source = chance.choice(world.sources)
            standing.append(ingest_now(source, random_body(chance, source, sent[source.pk])))


@pytest.mark.parametrize("seed", range(3))
def test_each_position_answers_again_what_was_answered_then(
    world: World, seed: int, monkeypatch: Any
) -> None:
    chance = random.Random(seed)
    # Until a source has finished its first batch, records do not name it.
    for source in world.sources:
        ingest_now(source, random_body(chance, source, []))
    questions = {
        account.pk: [
            f"meter=by-{aggregation.replace('_', '-')}&{query}"
            for aggregation in AGGREGATIONS
            for query in chance.sample(QUERIES, 1)
        ]
        for account in world.accounts
    }
    notes = Notes(questions, world.accounts, [])
    live_through(world, notes, chance, monkeypatch)
    accounts = {account.pk: account for account in world.accounts}
    lasts = {pk: own_last(accounts[pk]) for pk in accounts}

    assert len(notes.taken) >= 20
    for position, pk, noted in notes.taken:
        asked = KnownAt(asked_position=min(position, lasts[pk]))
        assert differences(answers_of(accounts[pk], questions[pk], asked), noted) == [], position


def differences(found: list[Answer], noted: list[Answer]) -> list[tuple[str, str, Any, Any]]:
    """What is not answered as it was: question, part of the answer, now, then."""
    return [
        (before["query"], part, after[part], before[part])
        for after, before in zip(found, noted, strict=True)
        for part in before
        if after[part] != before[part]
    ]


def own_last(account: Account) -> int:
    """The last position that concerns the account, as the account itself is told."""
    known = ask(account, "meter=by-sum", KnownAt(instant=datetime.max.replace(tzinfo=UTC)))[0].known
    assert known is not None
    return known.position


SERVICES = (
    Period(datetime(2026, 10, 30, 22, tzinfo=UTC), datetime(2026, 11, 4, 4, 30, tzinfo=UTC)),
    Period(datetime(2026, 10, 30, 23, tzinfo=UTC), datetime(2026, 11, 5, 23, tzinfo=UTC)),
    Period(datetime(2026, 11, 4, 23, tzinfo=UTC), datetime(2026, 11, 5, 23, tzinfo=UTC)),
)


def test_a_line_is_read_at_once_as_it_is_in_parts(world: World, monkeypatch: Any) -> None:
    chance = random.Random(7)
    for source in world.sources:
        ingest_now(source, random_body(chance, source, []))
    notes = Notes({account.pk: [] for account in world.accounts}, world.accounts, [])
    live_through(world, notes, chance, monkeypatch)
    positions = sorted({position for position, _, _ in notes.taken})

    are_current = {
        usage.is_current
        for position in (*positions[::4], positions[-1])
        for account in world.accounts
        for usage in lines_read(account, position)
    }

    assert are_current == {True, False}


def lines_read(account: Account, position: int) -> Iterator[LineUsage]:
    """Lines of every meter for whole days and for pieces of days, each compared with what is read in parts."""
    with account_scope(account.pk, read_only=True):
        for meter in list_meters(account):
            series = list_line_series(account.pk, meter)
            for service in SERVICES:
                scope = LineScope(account.pk, ZoneInfo(account.billing_zone), meter, service, series)
                usage = read_line_usage(scope, position=position, until=service.end)
                total = (usage.quantity, usage.records)
                assert total == read_line_total(scope, position=position)
                assert usage.days == read_line_days(scope, position=position, until=service.end)
                assert usage.by_series == read_line_by_series(scope, position=position)
                assert not usage.is_current or total == read_line_total(scope, position=NOW_OF_LEDGER)
                yield usage


def body(*facts: tuple[str, int, int], revision: int = 1, meter: str = "by-sum") -> str:
    """Rows of 3 Nov 2026: account, hour, quantity."""
    lines = [
        f"{account},{meter},2026-11-03T{hour:02d}:00:00Z,{quantity},a,eu,{revision}"
        for account, hour, quantity in facts
    ]
    return "\n".join([HEADER, *lines]) + "\n"


def total(account: Account, known: KnownAt, query: str = "meter=by-sum") -> Any:
    """The total as known at a moment."""
    return ask(account, query, known)[1].total


def test_of_two_writers_the_one_that_began_first_may_commit_last(world: World) -> None:
    """The ids of entries are then in one order and their positions in the other."""
    ansel, slow = world.accounts[0], factories.make_source("slow", clock_zone="")
    ingest_now(world.sources[0], body(("ansel", 1, 5)))
    first = head()
    waits, may_commit = Event(), Event()
    real = tasks.chunks.take_position

    def take_position(entry_id: int) -> None:
        if not waits.is_set():
            waits.set()
            assert may_commit.wait(20)
        real(entry_id)

    with patch.object(tasks.chunks, "take_position", take_position), ThreadPoolExecutor(1) as worker:
        began_first = worker.submit(in_thread, ingest_now, slow, body(("ansel", 2, 70)))
        assert waits.wait(20)
        ingest_now(world.sources[0], body(("ansel", 3, 900), ("ansel", 1, 6)))
        ingest_now(world.sources[0], body(("ansel", 1, 8), revision=2))
        may_commit.set()
        began_first.result(20)
    with as_worker():
        entries = list(LedgerEntry.objects.order_by("position").values_list("pk", flat=True))

    assert entries[-1] == min(entries[1:])
    by_hour = "meter=by-sum&granularity=hour&from=2026-11-03&to=2026-11-03"
    for query in ("meter=by-sum", by_hour):
        known = [total(ansel, KnownAt(asked_position=first + more), query) for more in range(4)]
        assert known == [5, 905, 908, 978]


def in_thread(act: Any, *arguments: Any) -> Any:
    try:
        return act(*arguments)
    finally:
        connections.close_all()


def test_an_entry_that_many_batches_share_is_known_from_its_position_on(world: World) -> None:
    """A backfill's entry names no batch; its batches are seen all at once."""
    ansel, source = world.accounts[0], world.sources[0]
    ingest_now(source, body(("ansel", 5, 5)))
    backfill = held.opened(source, world.staff)
    for hour, quantity in ((1, 30), (2, 40)):
        held.hold(source, backfill, held.line(hour, quantity, meter="by-sum"))
    held.preview(backfill, world.staff)
    held.close(backfill, world.staff)
    ingest_now(source, body(("ansel", 3, 900)))

    known = [total(ansel, KnownAt(asked_position=position)) for position in range(4)]

    assert known == [None, 5, 75, 975]
    assert own_last(ansel) == 3


def test_what_a_backfill_brought_is_known_until_its_batch_is_reverted(world: World) -> None:
    ansel, source = world.accounts[0], world.sources[0]
    ingest_now(source, held.body_of(source, held.line(5, 5, meter="by-sum")).decode())
    backfill = held.opened(source, world.staff)
    batch = held.hold(source, backfill, held.line(5, 50, revision=2, meter="by-sum"))
    held.preview(backfill, world.staff)
    held.close(backfill, world.staff)
    revert(batch, world.staff)

    known = [total(ansel, KnownAt(asked_position=position)) for position in range(4)]

    assert known == [None, 5, 50, 5]
