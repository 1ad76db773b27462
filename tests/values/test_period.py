"""Periods and the calendar of a zone, across clock changes of every kind."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights.values.period import (
    InvalidDay,
    InvalidPeriod,
    Period,
    clock_changes,
    day_period,
    local_day,
    month_containing,
    month_period,
    months_after,
    parse_day,
    period_of_days,
    previous_month_to_same_day,
    previous_period,
    split_by_day,
    split_by_hour,
    split_by_month,
    start_of_day,
    whole_months,
)

BERLIN = ZoneInfo("Europe/Berlin")
SYDNEY = ZoneInfo("Australia/Sydney")
KOLKATA = ZoneInfo("Asia/Kolkata")
SAO_PAULO = ZoneInfo("America/Sao_Paulo")  # Until 2018 its clock skipped midnight in spring.
HAVANA = ZoneInfo("America/Havana")  # Midnight comes twice in autumn.
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")  # Its clock changes by half an hour.
APIA = ZoneInfo("Pacific/Apia")  # Left out 30 December 2011.
ZONES = (UTC, BERLIN, SYDNEY, KOLKATA, SAO_PAULO, HAVANA, LORD_HOWE, ZoneInfo("America/St_Johns"))

zones = st.sampled_from(ZONES)
instants = st.datetimes(datetime(2005, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


def test_a_period_is_half_open() -> None:
    period = Period(utc(2026, 11, 1), utc(2026, 12, 1))

    assert period.contains(utc(2026, 11, 1))
    assert not period.contains(utc(2026, 12, 1))
    assert not period.overlaps(Period(utc(2026, 12, 1), utc(2027, 1, 1)))
    assert period.intersection(Period(utc(2026, 11, 30), utc(2027, 1, 1))) == Period(
        utc(2026, 11, 30), utc(2026, 12, 1)
    )
    assert period.intersection(Period(utc(2026, 12, 1), utc(2027, 1, 1))) is None


def test_a_period_is_kept_in_utc() -> None:
    period = Period(datetime(2026, 7, 1, tzinfo=BERLIN), datetime(2026, 8, 1, tzinfo=BERLIN))

    assert period.start == utc(2026, 6, 30, 22)
    assert period.start.tzinfo is UTC
    assert period == month_period(2026, 7, BERLIN)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (utc(2026, 1, 1), utc(2026, 1, 1)),
        (utc(2026, 1, 2), utc(2026, 1, 1)),
        (datetime(2026, 1, 1), utc(2026, 1, 2)),  # noqa: DTZ001
    ],
)
def test_what_is_no_period_is_refused(start: datetime, end: datetime) -> None:
    with pytest.raises(InvalidPeriod):
        Period(start, end)


@pytest.mark.parametrize(
    ("text", "day"), [("2026-11-03", date(2026, 11, 3)), ("2024-02-29", date(2024, 2, 29))]
)
def test_a_day_is_written_in_one_way(text: str, day: date) -> None:
    assert parse_day(text) == day


@pytest.mark.parametrize(
    "text",
    ["", "2026-11-3", "20261103", "2026-02-29", "2026-13-01", "1999-12-31", "2101-01-01", "9998-12-31", "2026-11-03 ",
     "\uff12026-11-03", "2026-W01-1", "-2026-01-01", "3 Nov 2026"],
)  # fmt: skip
def test_any_other_day_is_refused(text: str) -> None:
    with pytest.raises(InvalidDay):
        parse_day(text)


@pytest.mark.parametrize(
    ("text", "told"), [("1999-12-31", "2000 or later"), ("9998-01-01", "2100 or earlier")]
)
def test_a_year_beyond_an_end_is_told_that_end(text: str, told: str) -> None:
    with pytest.raises(InvalidDay, match=told):
        parse_day(text)


@pytest.mark.parametrize("zone", ZONES)
def test_the_last_months_have_neighbours_and_parts(zone: ZoneInfo) -> None:
    last = period_of_days(parse_day("2100-01-01"), parse_day("2100-12-31") + timedelta(days=1), zone)

    assert len(list(split_by_month(last, zone))) == 12
    assert whole_months(previous_period(last, zone), zone) == 12


@pytest.mark.parametrize(
    ("day", "zone", "hours"),
    [
        (date(2026, 3, 29), BERLIN, 23),
        (date(2026, 10, 25), BERLIN, 25),
        (date(2026, 10, 4), SYDNEY, 23),
        (date(2026, 4, 5), SYDNEY, 25),
        (date(2026, 4, 5), KOLKATA, 24),
        (date(2018, 11, 4), SAO_PAULO, 23),
        (date(2018, 2, 17), SAO_PAULO, 25),
        (date(2026, 11, 1), HAVANA, 25),
        (date(2026, 4, 5), LORD_HOWE, 24.5),
        (date(2026, 10, 4), LORD_HOWE, 23.5),
    ],
)
def test_a_day_lasts_as_long_as_its_clock_says(day: date, zone: ZoneInfo, hours: float) -> None:
    assert day_period(day, zone).duration == timedelta(hours=hours)


def test_a_day_without_midnight_begins_at_the_jump() -> None:
    assert start_of_day(date(2018, 11, 4), SAO_PAULO) == utc(2018, 11, 4, 3)


def test_a_day_that_was_left_out_has_no_length() -> None:
    assert start_of_day(date(2011, 12, 30), APIA) == start_of_day(date(2011, 12, 31), APIA)
    with pytest.raises(InvalidPeriod):
        day_period(date(2011, 12, 30), APIA)
    days = list(split_by_day(month_period(2011, 12, APIA), APIA))
    assert len(days) == 30


def test_months_are_local() -> None:
    assert month_period(2026, 3, BERLIN) == Period(utc(2026, 2, 28, 23), utc(2026, 3, 31, 22))
    assert month_period(2026, 12, KOLKATA).end == utc(2026, 12, 31, 18, 30)
    assert month_containing(utc(2026, 3, 31, 22), BERLIN) == month_period(2026, 4, BERLIN)


@pytest.mark.parametrize(
    ("day", "months", "expected"),
    [
        (date(2026, 1, 31), 1, date(2026, 2, 28)),
        (date(2024, 1, 31), 1, date(2024, 2, 29)),
        (date(2026, 1, 15), -1, date(2025, 12, 15)),
        (date(2026, 12, 1), 1, date(2027, 1, 1)),
        (date(2026, 3, 31), -13, date(2025, 2, 28)),
    ],
)
def test_months_after_stay_in_the_month(day: date, months: int, expected: date) -> None:
    assert months_after(day, months) == expected


def test_months_are_compared_with_months_and_days_with_days() -> None:
    march = month_period(2026, 3, BERLIN)
    quarter = period_of_days(date(2026, 1, 1), date(2026, 4, 1), BERLIN)
    week = period_of_days(date(2026, 3, 27), date(2026, 4, 3), BERLIN)
    hours = Period(utc(2026, 3, 29, 3), utc(2026, 3, 29, 5))

    assert whole_months(march, BERLIN) == 1
    assert whole_months(march, UTC) is None
    assert previous_period(march, BERLIN) == month_period(2026, 2, BERLIN)
    assert previous_period(quarter, BERLIN) == period_of_days(date(2025, 10, 1), date(2026, 1, 1), BERLIN)
    assert previous_period(week, BERLIN) == period_of_days(date(2026, 3, 20), date(2026, 3, 27), BERLIN)
    assert previous_period(hours, BERLIN) == Period(utc(2026, 3, 29, 1), utc(2026, 3, 29, 3))


@pytest.mark.parametrize(
    ("first", "end", "earlier_first", "earlier_end"),
    [
        (date(2026, 11, 1), date(2026, 11, 16), date(2026, 10, 1), date(2026, 10, 16)),
        (date(2026, 3, 1), date(2026, 3, 31), date(2026, 2, 1), date(2026, 3, 1)),
        (date(2026, 3, 1), date(2026, 4, 1), date(2026, 2, 1), date(2026, 3, 1)),
        (date(2026, 1, 1), date(2026, 1, 2), date(2025, 12, 1), date(2025, 12, 2)),
    ],
)
def test_a_month_so_far_is_compared_to_the_same_day(
    first: date, end: date, earlier_first: date, earlier_end: date
) -> None:
    for zone in ZONES:
        period = period_of_days(first, end, zone)
        expected = period_of_days(earlier_first, earlier_end, zone)
        assert previous_month_to_same_day(period, zone) == expected


def test_hours_follow_the_zone() -> None:
    spring = list(split_by_hour(day_period(date(2026, 3, 29), BERLIN), BERLIN))
    autumn = list(split_by_hour(day_period(date(2026, 10, 25), BERLIN), BERLIN))
    kolkata = list(split_by_hour(day_period(date(2026, 3, 29), KOLKATA), KOLKATA))

    assert (len(spring), len(autumn), len(kolkata)) == (23, 25, 24)
    assert kolkata[0].start.minute == 30
    part = Period(utc(2026, 3, 29, 10, 15), utc(2026, 3, 29, 11, 45))
    assert [piece.start for piece in split_by_hour(part, BERLIN)] == [part.start, utc(2026, 3, 29, 11)]


@settings(max_examples=150, deadline=None)
@given(start=instants, length=st.timedeltas(timedelta(seconds=1), timedelta(days=70)), zone=zones)
@pytest.mark.parametrize("split", [split_by_hour, split_by_day, split_by_month])
def test_parts_make_up_the_whole(split: object, start: datetime, length: timedelta, zone: ZoneInfo) -> None:
    period = Period(start, start + length)

    parts = list(split(period, zone))  # type: ignore[operator]

    assert parts[0].start == period.start
    assert parts[-1].end == period.end
    assert all(earlier.end == later.start for earlier, later in pairwise(parts))


@settings(max_examples=300, deadline=None)
@given(instant=instants, zone=zones)
def test_every_instant_is_in_its_own_day_and_month(instant: datetime, zone: ZoneInfo) -> None:
    day = local_day(instant, zone)

    assert day_period(day, zone).contains(instant)
    assert month_containing(instant, zone).contains(instant)
    assert local_day(start_of_day(day, zone), zone) == day
    assert local_day(start_of_day(day, zone) - timedelta(microseconds=1), zone) < day


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("Europe/Berlin", ["2026-03-29T01:00", "2026-10-25T01:00"]),
        ("America/Havana", ["2026-03-08T05:00", "2026-11-01T05:00"]),
        ("Australia/Lord_Howe", ["2026-04-04T15:00", "2026-10-03T15:30"]),
        ("Africa/Casablanca", ["2026-02-15T02:00", "2026-03-22T02:00"]),
        ("Asia/Kolkata", []),
        ("UTC", []),
    ],
)
def test_the_changes_of_a_clock_are_found_to_the_second(zone: str, expected: list[str]) -> None:
    year = Period(datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))

    found = clock_changes(year, ZoneInfo(zone))

    assert [f"{at:%Y-%m-%dT%H:%M}" for at in found] == expected
    for at in found:
        assert (
            at.astimezone(ZoneInfo(zone)).utcoffset()
            != (at - timedelta(seconds=1)).astimezone(ZoneInfo(zone)).utcoffset()
        )


def test_a_change_is_told_only_inside_a_period() -> None:
    change = datetime(2026, 3, 29, 1, tzinfo=UTC)
    berlin = ZoneInfo("Europe/Berlin")

    assert clock_changes(Period(change - timedelta(hours=5), change), berlin) == ()
    assert clock_changes(Period(change, change + timedelta(days=3)), berlin) == ()
    assert clock_changes(Period(change - timedelta(seconds=1), change + timedelta(seconds=1)), berlin) == (
        change,
    )
