"""Days in words: the titles of periods that follow each other never share a day."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insights.billing.periods import BillingAnchor, period_number
from insights.explain.line_proof import DayPart
from insights.metering.windows import Slot
from insights.values.period import Period
from insights.web.bill_line import days_with_windows
from insights.web.words import days_of, period_words

ZONES = (
    "UTC",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "America/St_Johns",
    "America/Santiago",
)


def _periods(zone: ZoneInfo, day: date) -> list[Period]:
    anchor = BillingAnchor(day=day, zone=zone)
    return [period_number(anchor, number) for number in range(3)]


@pytest.mark.parametrize("zone", ZONES)
@given(day=st.dates(date(2020, 1, 1), date(2029, 12, 31)))
def test_periods_in_turn_have_days_in_turn(zone: str, day: date) -> None:
    periods = _periods(ZoneInfo(zone), day)

    days = [days_of(one, ZoneInfo(zone)) for one in periods]

    assert all(later[0] - earlier[1] == timedelta(days=1) for earlier, later in pairwise(days))


def test_a_month_is_called_so_where_midnight_is_inside_a_window_of_utc() -> None:
    kolkata = ZoneInfo("Asia/Kolkata")

    titles = [period_words(*days_of(one, kolkata)) for one in _periods(kolkata, date(2026, 10, 1))]

    assert titles == ["October 2026", "November 2026", "December 2026"]


def test_a_piece_of_a_day_in_which_no_window_begins_is_no_row() -> None:
    end = datetime(2026, 10, 31, 18, 30, tzinfo=UTC)
    whole = DayPart(slot=Slot(end - timedelta(days=1), end, date(2026, 10, 31)), quantity=None, records=0)
    piece = DayPart(slot=Slot(end, end + timedelta(minutes=30), date(2026, 11, 1)), quantity=None, records=0)
    used = piece._replace(quantity=Decimal(1), records=1)

    assert days_with_windows([whole, piece, used]) == [whole, used]
