"""Months of the ledger, and the local days that they touch."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from insights.values.months import (
    InvalidMonth,
    end_of_month,
    month_of,
    month_text,
    months_from,
    parse_month,
    sealed_days,
)


@pytest.mark.parametrize(
    "text", ["2024-6", "2024-13", "2024-00", "202406", "2024-06-01", "1999-12", "\uff12024-06", ""]
)
def test_anything_but_a_month_is_refused(text: str) -> None:
    with pytest.raises(InvalidMonth):
        parse_month(text)


def test_a_month_is_read_as_it_is_written() -> None:
    assert parse_month("2024-02") == date(2024, 2, 1)
    assert month_text(parse_month("2024-02")) == "2024-02"


def test_a_month_is_one_of_utc() -> None:
    assert month_of(datetime(2024, 7, 1, 1, tzinfo=ZoneInfo("Asia/Tokyo"))) == date(2024, 6, 1)
    assert end_of_month(date(2024, 2, 1)) == datetime(2024, 3, 1, tzinfo=UTC)
    assert months_from(date(2024, 11, 1), 3) == (date(2024, 11, 1), date(2024, 12, 1), date(2025, 1, 1))


@pytest.mark.parametrize(
    ("zone", "first", "last"),
    [
        ("UTC", date(2024, 6, 1), date(2024, 6, 30)),
        ("America/Havana", date(2024, 5, 31), date(2024, 6, 30)),
        ("Asia/Tokyo", date(2024, 6, 1), date(2024, 7, 1)),
        ("Pacific/Kiritimati", date(2024, 6, 1), date(2024, 7, 1)),
    ],
)
def test_the_days_it_touches_are_those_of_the_clock(zone: str, first: date, last: date) -> None:
    assert sealed_days(date(2024, 6, 1), ZoneInfo(zone)) == (first, last)
