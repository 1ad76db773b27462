"""Parts of a period in whole seconds: they add to one, over clock changes too."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights.rating.proration import (
    UnableToProrate,
    prorate_steps,
    share_of,
)
from insights.values.period import Period, month_period, period_of_days
from insights.values.share import WHOLE, Share
from insights.values.step import Step, StepKind
from tests.rating.strategies import parts_of

JUNE = Period(datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC))
BERLIN = ZoneInfo("Europe/Berlin")


def june(day: int, **time: int) -> datetime:
    return datetime(2026, 6, day, tzinfo=UTC) + timedelta(**time)


def test_a_share_is_seconds_out_of_seconds() -> None:
    assert share_of(Period(june(11), june(21)), JUNE) == Share(864_000, 2_592_000)
    assert share_of(JUNE, JUNE).is_whole


@pytest.mark.parametrize(
    ("year", "month", "zone", "hours"),
    [
        (2026, 3, BERLIN, 743),
        (2026, 10, BERLIN, 745),
        (2024, 2, BERLIN, 696),
        (2026, 2, BERLIN, 672),
        (2026, 11, ZoneInfo("America/New_York"), 721),
    ],
)
def test_a_month_has_the_hours_that_pass_in_it(year: int, month: int, zone: ZoneInfo, hours: int) -> None:
    month_of = month_period(year, month, zone)

    assert share_of(month_of, month_of).of_seconds == hours * 3600


def test_the_day_without_an_hour_is_a_smaller_share() -> None:
    march = month_period(2026, 3, BERLIN)
    short = period_of_days(date(2026, 3, 29), date(2026, 3, 30), BERLIN)
    usual = period_of_days(date(2026, 3, 28), date(2026, 3, 29), BERLIN)

    assert share_of(short, march).seconds == 23 * 3600
    assert share_of(usual, march).seconds == 24 * 3600


@settings(deadline=None)
@given(st.lists(st.integers(1, 2_591_999), max_size=8))
def test_shares_of_segments_add_to_one(seconds: list[int]) -> None:
    segments = parts_of(JUNE, seconds)

    assert sum((share_of(segment, JUNE).fraction for segment in segments), Fraction(0)) == 1


@pytest.mark.parametrize(
    "part",
    [
        Period(june(1) - timedelta(seconds=1), june(2)),
        Period(june(30), june(30, days=1, seconds=1)),
        Period(june(1), june(2, microseconds=1)),
    ],
)
def test_what_is_no_part_in_whole_seconds_is_refused(part: Period) -> None:
    with pytest.raises(UnableToProrate):
        share_of(part, JUNE)


def test_the_amount_is_multiplied_first_and_divided_last() -> None:
    fee = Step(kind=StepKind.FEE, base=Fraction(1), unit_amount=Fraction(20), amount=Fraction(20))

    (prorated,) = prorate_steps([fee], Share(1_036_800, 2_678_400))

    assert prorated.amount == Fraction(240, 31)
    assert prorated.share == Share(1_036_800, 2_678_400)
    assert prorated.unit_amount == 20
    assert prorate_steps([fee], WHOLE) == (fee,)
