"""What is read equals what a plain loop over the delivered rows says, however it is asked."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from accounts.models import Account
from accounts.tenancy import account_scope
from insights.metering import meter_queries
from insights.metering.coarser import coarser
from insights.metering.explore import Exploration
from insights.metering.queries import answer_query, explore, list_dimension_values, list_meters
from insights.metering.usage_filter import parse_usage_filter
from insights.metering.windows import Kind
from insights.values.period import local_day
from tests.factories import make_account, make_meter, make_source
from tests.metering.facts import deliver, hour, hours_from, sum_days_before

pytestmark = pytest.mark.database
BERLIN = ZoneInfo("Europe/Berlin")
NOW = hour("2026-11-05T12")
Row = dict[str, Any]


def ask(account: Account, query: str, *, now: datetime = NOW, shown: range | None = None) -> Exploration:
    """Ask as a page would, inside the account's transaction."""
    pairs = [tuple(pair.split("=", 1)) for pair in query.split("&")]
    with account_scope(account.pk, read_only=True):
        zone = ZoneInfo(account.billing_zone)
        question = parse_usage_filter(pairs, meters=list_meters(account), zone=zone, now=now)
        return explore(account, question, now, shown=shown)


@pytest.fixture
def account(portal_db: None) -> Account:
    """An account whose days begin at 23:00 UTC in winter and at 22:00 in summer."""
    return make_account("ansel", billing_zone="Europe/Berlin")


def random_rows(seed: int, *, meter: str, sources: int = 1) -> list[list[Row]]:
    """Rows of three endpoints over the change of clocks, some zero and some missing, for each source."""
    chance = random.Random(seed)
    deliveries = []
    for _ in range(sources):
        rows = []
        for endpoint in ("a", "b", "c"):
            for region in ("eu", "us"):
                for at in hours_from(hour("2026-10-24T00"), 96):
                    if chance.random() < 0.6:
                        quantity = Decimal(chance.choice([0, chance.randrange(10**12)])) / 10**9
                        rows.append(
                            {
                                "meter": meter,
                                "at": at,
                                "quantity": quantity,
                                "endpoint": endpoint,
                                "region": region,
                            }
                        )
        deliveries.append(rows)
    return deliveries


def expected_sum(rows: list[Row]) -> Decimal:
    return sum((row["quantity"] for row in rows), Decimal(0))


def expected_count(rows: list[Row]) -> Decimal:
    return Decimal(len(rows))


def expected_unique(rows: list[Row]) -> Decimal:
    return Decimal(len({(row["endpoint"], row["at"]) for row in rows if row["quantity"] > 0}))


def _by_series(rows: list[Row]) -> list[list[Row]]:
    series: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        series.setdefault((row["source"], row["endpoint"], row["region"]), []).append(row)
    return list(series.values())


def expected_max(rows: list[Row]) -> Decimal:
    return sum((max(row["quantity"] for row in one) for one in _by_series(rows)), Decimal(0))


def expected_latest(rows: list[Row]) -> Decimal:
    return sum((max(one, key=lambda row: row["at"])["quantity"] for one in _by_series(rows)), Decimal(0))


EXPECTED: dict[str, Callable[[list[Row]], Decimal]] = {
    "sum": expected_sum,
    "count": expected_count,
    "time_weighted_sum": expected_sum,
    "unique_count": expected_unique,
    "max": expected_max,
    "latest": expected_latest,
}


# The day before which days are summed.
SUMMED = {
    "summed": date(2026, 11, 6),
    "all but the last": date(2026, 10, 27),
    "not summed": date(2026, 10, 1),
}


@pytest.mark.parametrize("aggregation", sorted(EXPECTED))
@pytest.mark.parametrize("sources", [1, 2])
@pytest.mark.parametrize("summed", sorted(SUMMED))
def test_every_way_of_asking_agrees_with_a_plain_loop(
    account: Account, aggregation: str, sources: int, summed: str
) -> None:
    unique = ["endpoint"] if aggregation == "unique_count" else []
    make_meter("m", aggregation=aggregation, dimensions=["endpoint", "region"], unique_dimensions=unique)
    rows = []
    for number, delivery in enumerate(random_rows(7, meter="m", sources=sources)):
        source = make_source(f"source-{number}")
        deliver(source, delivery, account="ansel", complete_to=hour("2026-10-28T00"))
        rows += [{**row, "source": number} for row in delivery]
    expected = EXPECTED[aggregation]
    assert (sum_days_before(SUMMED[summed]) > 0) is (summed != "not summed")

    for granularity in ("hour", "day", "month"):
        for group_by in ("", "endpoint", "region"):
            for only in ("", "&dimension.region=eu", "&dimension.region=eu&dimension.region=us"):
                query = f"meter=m&from=2026-10-24&to=2026-10-28&granularity={granularity}&group_by={group_by}{only}"
                answer = ask(account, query)
                _compare(
                    answer,
                    [row for row in rows if "us" in only or not only or row["region"] == "eu"],
                    expected,
                )


def _compare(answer: Exploration, rows: list[Row], expected: Callable[[list[Row]], Decimal]) -> None:
    group_by = answer.filter.group_by
    wanted = [row for row in rows if local_day(row["at"], BERLIN) >= date(2026, 10, 24)]
    assert answer.total == expected(wanted)
    for bucket in answer.buckets:
        inside = [row for row in rows if bucket.slot.start <= row["at"] < bucket.slot.end]
        assert bucket.records == len(inside)
        assert bucket.quantity == (expected(inside) if inside else None)
        for group, part in zip(answer.groups, bucket.parts, strict=True):
            mine = [row for row in inside if row[group_by] == group.value]
            assert part == (expected(mine) if mine else None)
    for group in answer.groups:
        assert group.total == expected([row for row in wanted if row[group_by] == group.value])


class TestSummed:
    """Sums over series answer as rollups and records do, to the last digit."""

    QUERIES = (
        "from=2026-10-01&to=2026-11-05&granularity=hour&group_by=endpoint",
        "from=2026-10-22&to=2026-11-05&granularity=hour&dimension.region=eu",
        "from=2026-10-22&to=2026-11-05&granularity=day&group_by=region&dimension.region=eu&dimension.region=us",
        "from=2026-10-01&to=2026-11-05&granularity=day&group_by=endpoint",
        "from=2026-09-01&to=2026-11-05&granularity=month&group_by=endpoint",
        "from=2026-09-01&to=2026-11-05&granularity=month",
    )

    @pytest.fixture
    def rows(self, account: Account, request: pytest.FixtureRequest) -> list[Row]:
        aggregation = request.node.callspec.params["aggregation"]
        unique = ["endpoint"] if aggregation == "unique_count" else []
        make_meter("m", aggregation=aggregation, dimensions=["endpoint", "region"], unique_dimensions=unique)
        chance = random.Random(11)
        rows = [
            {"at": at, "quantity": chance.randrange(900), "endpoint": f"e{endpoint}", "region": region}
            for at in hours_from(hour("2026-09-29T00"), 37 * 24 + 12)
            for endpoint in range(13)
            for region in ("eu", "us", "")
            if chance.random() < 0.03
        ]
        deliver(make_source(), rows, account="ansel", meter="m", complete_to=hour("2026-11-05T05"))
        return rows

    @pytest.mark.parametrize("aggregation", sorted(EXPECTED))
    def test_no_answer_changes_when_days_are_summed(
        self, account: Account, aggregation: str, rows: list[Row]
    ) -> None:
        before = [ask(account, f"meter=m&{query}") for query in self.QUERIES]

        for end in (date(2026, 11, 5), date(2026, 11, 6)):
            assert sum_days_before(end) > 0
            for query, unsummed in zip(self.QUERIES, before, strict=True):
                assert ask(account, f"meter=m&{query}") == unsummed, query

    @pytest.mark.parametrize("last", [4, 5])
    @pytest.mark.parametrize("aggregation", sorted(EXPECTED))
    def test_a_page_of_many_hours_shows_what_the_file_has(
        self, account: Account, aggregation: str, rows: list[Row], last: int
    ) -> None:
        """The page reads the parts of its own rows and of its bars, and the totals of its groups apart."""
        sum_days_before(date(2026, 11, last + 1))
        query = "meter=m&from=2026-08-09&to=2026-11-05&granularity=hour&group_by=endpoint"
        whole = ask(account, query)
        shown = range(1_700, 1_800)

        page = ask(account, query, shown=shown)

        assert page.bar_parts
        assert [bucket.parts for bucket in page.buckets if bucket.parts] == [
            bucket.parts for bucket in whole.buckets[shown.start : shown.stop]
        ]
        assert page.groups == whole.groups
        assert replace(page, buckets=(), bar_parts=()) == replace(whole, buckets=())
        assert coarser(page, hours=6).buckets == coarser(whole, hours=6).buckets

    @pytest.mark.parametrize("aggregation", ["sum", "count", "time_weighted_sum"])
    def test_windows_that_lie_ahead_are_in_no_hour_bar_or_total(
        self, account: Account, aggregation: str, rows: list[Row]
    ) -> None:
        """Sums of today hold them, for they are made of whole days."""
        sum_days_before(date(2026, 11, 6))
        query = "meter=m&from=2026-08-09&to=2026-11-05&granularity=hour&group_by=endpoint&compare=previous"
        now = hour("2026-11-05T01")
        whole = ask(account, query, now=now)

        page = ask(account, query, now=now, shown=range(1_700, 1_800))

        assert page.bar_parts
        assert page.groups == whole.groups
        assert coarser(page, hours=6).buckets == coarser(whole, hours=6).buckets

    @pytest.mark.parametrize("aggregation", ["sum"])
    def test_a_chunk_makes_the_sums_of_its_days_count_for_nothing(
        self, account: Account, aggregation: str, rows: list[Row]
    ) -> None:
        sum_days_before(date(2026, 11, 6))
        before = ask(account, "meter=m&from=2026-10-02&to=2026-10-31&granularity=day")
        late = {"at": hour("2026-10-09T10"), "quantity": 5_000, "endpoint": "new", "region": "eu"}
        deliver(make_source("late"), [late], account="ansel", meter="m")

        for _ in range(2):
            after = ask(account, "meter=m&from=2026-10-02&to=2026-10-31&granularity=day")
            assert (after.total or 0) - (before.total or 0) == 5_000
            moved = [
                then.slot.day
                for then, now in zip(before.buckets, after.buckets, strict=True)
                if then.quantity != now.quantity
            ]
            assert moved == [date(2026, 10, 9)]
            sum_days_before(date(2026, 11, 6))


def test_a_quantity_held_for_a_quarter_of_an_hour_counts_a_quarter(account: Account) -> None:
    make_meter("held", aggregation="time_weighted_sum", grain_seconds=900, dimensions=["endpoint"], unit="GB")
    source = make_source("quarterly", window="15min")
    start = hour("2026-11-02T10")
    quarters = [
        {"at": start + number * timedelta(minutes=15), "quantity": 3, "endpoint": "a"} for number in range(3)
    ]
    deliver(source, quarters, account="ansel", meter="held", complete_to=NOW)

    for granularity in ("hour", "day"):
        answer = ask(account, f"meter=held&from=2026-11-02&to=2026-11-02&granularity={granularity}")
        assert answer.total == Decimal("2.25")
    assert answer.unit == "GB hours"


class TestGroups:
    def test_the_ten_largest_stand_alone_and_the_rest_adds_up(self, account: Account) -> None:
        make_meter("m", dimensions=["endpoint"])
        rows = [{"at": hour("2026-11-02T10"), "quantity": 100 - n, "endpoint": f"e{n:02}"} for n in range(15)]
        deliver(make_source(), rows, account="ansel", meter="m", complete_to=NOW)

        answer = ask(account, "meter=m&group_by=endpoint&from=2026-11-01&to=2026-11-03&granularity=day")

        assert [group.value for group in answer.groups[:10]] == [f"e{n:02}" for n in range(10)]
        assert (answer.groups[10].is_rest, answer.groups[10].members) == (True, 5)
        assert sum(group.total for group in answer.groups) == answer.total == sum(100 - n for n in range(15))

    def test_parts_that_do_not_add_up_have_no_rest(self, account: Account) -> None:
        make_meter("m", dimensions=["endpoint"], aggregation="max")
        rows = [{"at": hour("2026-11-02T10"), "quantity": 100 - n, "endpoint": f"e{n:02}"} for n in range(15)]
        deliver(make_source(), rows, account="ansel", meter="m", complete_to=NOW)

        answer = ask(account, "meter=m&group_by=endpoint&from=2026-11-01&to=2026-11-03&granularity=day")

        assert (len(answer.groups), answer.values_found, answer.stacks) == (10, 15, False)
        assert answer.total == sum(100 - n for n in range(15))


class TestCompleteness:
    def test_zero_gap_and_not_yet_complete_are_three_things(self, account: Account) -> None:
        make_meter("m", dimensions=[])
        days = [(1, 5), (2, 0), (4, 7), (5, 1)]
        rows = [{"at": hour(f"2026-11-0{day}T10"), "quantity": quantity} for day, quantity in days]
        deliver(make_source(), rows, account="ansel", meter="m", complete_to=hour("2026-11-05T11"))

        answer = ask(account, "meter=m&from=2026-10-31&to=2026-11-30&granularity=day")

        assert [bucket.kind for bucket in answer.buckets] == [
            Kind.BEFORE,
            Kind.COMPLETE,
            Kind.ZERO,
            Kind.GAP,
            Kind.COMPLETE,
            Kind.INCOMPLETE,
        ]
        assert [bucket.quantity for bucket in answer.buckets] == [None, 5, 0, None, 7, 1]

    def test_the_slowest_source_decides(self, account: Account) -> None:
        make_meter("m", dimensions=[])
        for slug, day in (("fast", "2026-11-05T10"), ("slow", "2026-11-03T00")):
            rows = [{"at": hour("2026-11-02T10"), "quantity": 1}]
            deliver(make_source(slug), rows, account="ansel", meter="m", complete_to=hour(day))

        answer = ask(account, "meter=m&from=2026-11-02&to=2026-11-04&granularity=day")

        assert answer.completeness.complete_to == hour("2026-11-03T00")
        assert answer.buckets[0].kind is Kind.COMPLETE
        assert answer.buckets[1].kind is Kind.INCOMPLETE

    def test_totals_of_whole_days_say_so_among_hours(self, account: Account) -> None:
        make_meter("m", dimensions=[], grain_seconds=86400)
        source = make_source("daily", window="day", clock_zone="Europe/Berlin")
        deliver(
            source,
            [{"at": hour("2026-11-01T23"), "quantity": 24}],
            account="ansel",
            meter="m",
            complete_to=NOW,
        )

        answer = ask(account, "meter=m&from=2026-11-02&to=2026-11-02&granularity=hour")

        assert answer.buckets[0].holds_daily_totals
        assert answer.buckets[0].quantity == 24
        assert {bucket.kind for bucket in answer.buckets[1:]} == {Kind.DAILY}


class TestComparison:
    @pytest.fixture
    def two_months(self, account: Account) -> Account:
        make_meter("m", dimensions=["endpoint"])
        rows = [
            {"at": start + timedelta(days=day), "quantity": quantity, "endpoint": "a"}
            for start, quantity, days in ((hour("2026-09-30T22"), 10, 31), (hour("2026-10-31T23"), 12, 5))
            for day in range(days)
        ]
        deliver(make_source(), rows, account="ansel", meter="m", complete_to=hour("2026-11-04T23"))
        return account

    def test_only_complete_days_are_compared(self, two_months: Account) -> None:
        answer = ask(two_months, "meter=m&period=this-month&granularity=day&group_by=endpoint")

        assert answer.total == 60
        assert (answer.comparable, answer.previous, answer.change) == (48, 40, Decimal("0.2"))
        assert (answer.groups[0].comparable, answer.groups[0].previous) == (48, 40)
        assert [bucket.previous for bucket in answer.buckets] == [10] * 5

    def test_a_period_in_which_usage_began_is_no_measure(self, two_months: Account) -> None:
        answer = ask(two_months, "meter=m&from=2026-10-01&to=2026-10-31&granularity=day")

        assert (answer.total, answer.previous, answer.change) == (310, None, None)

    def test_nothing_is_compared_unless_asked(self, two_months: Account) -> None:
        answer = ask(two_months, "meter=m&period=this-month&compare=none")

        assert answer.previous is None
        assert all(bucket.previous is None for bucket in answer.buckets)


class TestOneAccountAlone:
    def test_the_other_account_adds_nothing_and_is_not_offered(self, account: Account) -> None:
        make_account("brook", billing_zone="Europe/Berlin")
        make_meter("m", dimensions=["endpoint"])
        source = make_source()
        for reference, endpoint in (("ansel", "ours"), ("brook", "theirs")):
            rows = [{"at": hour("2026-11-02T10"), "quantity": 5, "endpoint": endpoint}]
            deliver(source, rows, account=reference, meter="m", complete_to=NOW)

        answer = ask(account, "meter=m&group_by=endpoint&period=this-month")
        with account_scope(account.pk):
            meters = list_meters(account)
            offered = list_dimension_values(account, meters[0])

        assert [group.value for group in answer.groups] == ["ours"]
        assert answer.total == 5
        assert offered == {"endpoint": ("ours",)}


def test_only_the_first_values_of_each_dimension_are_offered(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meter_queries, "VALUES_OFFERED", 2)
    make_meter("m", dimensions=["endpoint", "region", "unused"])
    rows = [
        {"at": hour("2026-11-02T10"), "quantity": 1, "endpoint": endpoint, "region": region}
        for endpoint in "cab"
        for region in ("eu", "us")
    ]
    deliver(make_source(), rows, account="ansel", meter="m", complete_to=NOW)

    with account_scope(account.pk):
        offered = list_dimension_values(account, list_meters(account)[0])

    assert offered == {"endpoint": ("a", "b"), "region": ("eu", "us"), "unused": ()}


class TestStatements:
    @pytest.mark.parametrize("aggregation", sorted(EXPECTED))
    @pytest.mark.parametrize("summed", sorted(SUMMED))
    def test_no_question_takes_more_than_fifteen(
        self, account: Account, aggregation: str, summed: str
    ) -> None:
        make_meter(
            "m", aggregation=aggregation, dimensions=["endpoint", "region"], unique_dimensions=["endpoint"]
        )
        deliver(make_source(), random_rows(3, meter="m")[0], account="ansel", complete_to=NOW)
        pairs = [("meter", "m"), ("group_by", "region"), ("from", "2026-10-24"), ("to", "2026-10-28")]
        sum_days_before(SUMMED[summed])

        with account_scope(account.pk), CaptureQueriesContext(connections["default"]) as captured:
            asked = answer_query(account, pairs, NOW, also=frozenset())

        assert asked.answer is not None
        assert asked.answer.total is not None
        # Meters used, meters, dimension values; series, watermarks, days not summed, first day, totals, rows, rows
        # before, archived months, and for overlapping groups the wholes of both periods. Where days of the period
        # shown are not summed, they are read apart.
        apart = 2 if summed == "all but the last" else 0
        assert len(captured) <= (13 if aggregation == "unique_count" else 12) + apart


def test_a_future_period_has_no_rows(account: Account) -> None:
    make_meter("m", dimensions=[])
    rows = [{"at": hour("2026-11-02T10"), "quantity": 1}]
    deliver(make_source(), rows, account="ansel", meter="m", complete_to=NOW)

    answer = ask(account, "meter=m&from=2027-01-01&to=2027-01-31")

    assert (answer.buckets, answer.total) == ((), None)


def test_replaced_records_count_once(account: Account) -> None:
    make_meter("m", dimensions=[])
    source = make_source()
    for quantity, revision in ((5, 1), (8, 2)):
        rows = [{"at": hour("2026-11-02T10"), "quantity": quantity, "revision": revision}]
        deliver(source, rows, account="ansel", meter="m", complete_to=NOW)

    answer = ask(account, "meter=m&from=2026-11-02&to=2026-11-02&granularity=day")

    assert (answer.total, answer.buckets[0].records) == (8, 1)
    assert datetime(2026, 11, 1, 23, tzinfo=UTC) == answer.buckets[0].slot.start
