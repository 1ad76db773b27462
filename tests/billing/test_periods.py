"""Billing periods tile time in every zone, and come back to their anchor's day."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights.billing.periods import (
    BillingAnchor,
    Interval,
    InvalidAnchor,
    edge,
    period_containing,
    period_number,
    periods_until,
)
from insights.values.period import Period, local_day, start_of_day

# Each has something of its own: skipped or repeated midnights, half and quarter hours, far sides, old jumps.
ZONES = tuple(
    ZoneInfo(name)
    for name in (
        "UTC", "Europe/Berlin", "Europe/London", "Europe/Dublin", "America/New_York", "America/Los_Angeles",
        "America/St_Johns", "America/Sao_Paulo", "America/Havana", "America/Santiago", "America/Asuncion",
        "Africa/Casablanca", "Africa/Cairo", "Asia/Kolkata", "Asia/Kathmandu", "Asia/Tehran", "Asia/Beirut",
        "Australia/Lord_Howe", "Pacific/Chatham", "Pacific/Apia", "Pacific/Kiritimati", "Antarctica/Troll",
    )
)  # fmt: skip
ONE_MICROSECOND = timedelta(microseconds=1)
HOUR = timedelta(hours=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

anchors = st.builds(
    BillingAnchor,
    day=st.dates(date(2005, 1, 1), date(2035, 12, 31)),
    zone=st.sampled_from(ZONES),
    interval=st.sampled_from(Interval),
    window=st.sampled_from((timedelta(seconds=1), timedelta(minutes=15), HOUR, timedelta(hours=6))),
)
instants = st.datetimes(datetime(2005, 1, 1), datetime(2038, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


def anchored(text: str, zone: str = "UTC", interval: Interval = Interval.MONTHLY) -> BillingAnchor:
    return BillingAnchor(day=date.fromisoformat(text), zone=ZoneInfo(zone), interval=interval)


class TestTiling:
    @settings(deadline=None)
    @given(anchors, instants)
    def test_every_instant_is_in_exactly_one_period(self, anchor: BillingAnchor, instant: datetime) -> None:
        period = period_containing(anchor, instant)

        assert period.contains(instant)
        assert period_containing(anchor, period.start) == period
        assert period_containing(anchor, period.end - ONE_MICROSECOND) == period
        assert period_containing(anchor, period.end).start == period.end
        assert period_containing(anchor, period.start - ONE_MICROSECOND).end == period.start

    @pytest.mark.parametrize("zone", ZONES, ids=str)
    @pytest.mark.parametrize(
        "day", [date(2019, 12, 31), date(2020, 2, 29), date(2021, 7, 1), date(2022, 3, 15)]
    )
    def test_forty_years_of_months_touch(self, zone: ZoneInfo, day: date) -> None:
        anchor = BillingAnchor(day=day, zone=zone)

        edges = [edge(anchor, number) for number in range(-160, 320)]

        assert all(
            timedelta(days=27, hours=22) < following - each < timedelta(days=32)
            for each, following in pairwise(edges)
        )
        assert [period_number(anchor, number).end for number in range(-160, 319)] == edges[1:]

    @pytest.mark.parametrize("zone", ZONES, ids=str)
    @pytest.mark.parametrize("interval", Interval)
    def test_edges_are_local_midnights_or_the_next_window(self, zone: ZoneInfo, interval: Interval) -> None:
        anchor = BillingAnchor(day=date(2010, 1, 31), zone=zone, interval=interval)

        for number in range(40):
            instant = edge(anchor, number)
            midnight = start_of_day(local_day(instant, zone), zone)
            assert timedelta(0) <= instant - midnight < HOUR
            assert (instant - EPOCH) % HOUR == timedelta(0)

    @settings(deadline=None)
    @given(anchors, instants, st.integers(1, 900))
    def test_periods_in_order_cover_a_stretch(
        self, anchor: BillingAnchor, since: datetime, days: int
    ) -> None:
        until = since + timedelta(days=days)

        periods = list(periods_until(anchor, since, until))

        assert periods[0].contains(since)
        assert periods[-1].start < until <= periods[-1].end
        assert all(each.end == following.start for each, following in pairwise(periods))


class TestAnchors:
    def test_the_31st_comes_back_after_a_shorter_month(self) -> None:
        starts = [edge(anchored("2026-01-31"), number).date() for number in range(14)]

        assert [day.day for day in starts] == [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 31, 28]
        assert [day.month for day in starts] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 1, 2]

    @pytest.mark.parametrize(
        ("anchor_day", "number", "day"),
        [
            ("2024-01-30", 1, "2024-02-29"),
            ("2026-01-30", 1, "2026-02-28"),
            ("2026-01-29", 1, "2026-02-28"),
            ("2024-01-29", 1, "2024-02-29"),
            ("2026-03-31", -1, "2026-02-28"),
            ("2026-03-31", -13, "2025-02-28"),
            ("2026-01-15", 12, "2027-01-15"),
        ],
    )
    def test_months(self, anchor_day: str, number: int, day: str) -> None:
        assert edge(anchored(anchor_day), number) == datetime.fromisoformat(f"{day}T00:00:00Z")

    def test_a_leap_day_comes_back_in_leap_years(self) -> None:
        anchor = anchored("2024-02-29", interval=Interval.YEARLY)

        assert [edge(anchor, number).date().isoformat() for number in range(5)] == [
            "2024-02-29", "2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29",
        ]  # fmt: skip

    def test_quarters(self) -> None:
        anchor = anchored("2025-11-30", interval=Interval.QUARTERLY)

        assert [edge(anchor, number).date().isoformat() for number in range(4)] == [
            "2025-11-30", "2026-02-28", "2026-05-30", "2026-08-30",
        ]  # fmt: skip

    def test_a_moment_before_the_anchor_has_a_period_too(self) -> None:
        assert period_containing(anchored("2026-06-15"), utc(2026, 6, 14, 23, 59)) == Period(
            utc(2026, 5, 15), utc(2026, 6, 15)
        )

    @pytest.mark.parametrize(
        "window", [timedelta(0), timedelta(hours=-1), timedelta(hours=7), timedelta(days=2)]
    )
    def test_windows_that_do_not_divide_a_day_are_refused(self, window: timedelta) -> None:
        with pytest.raises(InvalidAnchor):
            BillingAnchor(day=date(2026, 1, 1), zone=ZoneInfo("UTC"), window=window)


class TestZones:
    @pytest.mark.parametrize(
        ("zone", "month", "start", "hours"),
        [
            ("Europe/Berlin", "2026-03-01", utc(2026, 2, 28, 23), 743),
            ("Europe/Berlin", "2026-10-01", utc(2026, 9, 30, 22), 745),
            ("America/New_York", "2026-11-01", utc(2026, 11, 1, 4), 721),
            ("Pacific/Kiritimati", "2026-01-01", utc(2025, 12, 31, 10), 744),
            ("Asia/Kolkata", "2026-04-01", utc(2026, 3, 31, 19), 720),
            ("Asia/Kathmandu", "2026-04-01", utc(2026, 3, 31, 19), 720),
            ("Australia/Lord_Howe", "2026-04-01", utc(2026, 3, 31, 13), 721),
        ],
    )
    def test_a_month_begins_at_its_own_midnight(
        self, zone: str, month: str, start: datetime, hours: int
    ) -> None:
        period = period_number(anchored(month, zone), 0)

        assert period.start == start
        assert period.duration == hours * HOUR

    def test_usage_of_the_last_local_hours_is_in_the_local_month(self) -> None:
        """Kill Bill 1856 and Lago 61: the last hours of a month west of Greenwich fell into the next bill."""
        april = period_number(anchored("2026-04-01", "America/Los_Angeles"), 0)

        assert april.contains(utc(2026, 5, 1, 6))
        assert not april.contains(utc(2026, 5, 1, 7))
        assert not april.contains(utc(2026, 4, 1, 6))

    def test_a_window_is_never_cut_by_an_edge(self) -> None:
        """Half an hour past is no hour of UTC, so the window from 18:00 to 19:00 stays in one period."""
        april = period_number(anchored("2026-04-01", "Asia/Kolkata"), 0)
        quarter_hours = BillingAnchor(
            day=date(2026, 4, 1), zone=ZoneInfo("Asia/Kolkata"), window=timedelta(minutes=15)
        )

        assert april.start == utc(2026, 3, 31, 19)
        assert not april.contains(utc(2026, 3, 31, 18))
        assert edge(quarter_hours, 0) == utc(2026, 3, 31, 18, 30)
