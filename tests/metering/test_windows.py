"""Stretches of time follow the clock of the zone, and a zero, a gap and not yet complete stay apart."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from insights.metering.windows import Kind, Slot, days_of, kind_of, month_so_far, slots_before, slots_of
from insights.values.period import day_period, month_period, period_of_days

BERLIN = ZoneInfo("Europe/Berlin")
KOLKATA = ZoneInfo("Asia/Kolkata")
LATE = datetime(2027, 1, 1, tzinfo=UTC)


class TestSlotsOf:
    @pytest.mark.parametrize(
        ("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 6, 1), 24)]
    )
    def test_a_day_has_the_hours_its_clock_gave_it(self, day: date, hours: int) -> None:
        slots = slots_of(day_period(day, BERLIN), granularity="hour", zone=BERLIN, now=LATE)

        assert len(slots) == hours
        assert all(slot.day == day for slot in slots)

    def test_hours_begin_with_the_zones_own_hours(self) -> None:
        slots = slots_of(day_period(date(2026, 6, 1), KOLKATA), granularity="hour", zone=KOLKATA, now=LATE)

        assert slots[0].start == datetime(2026, 5, 31, 18, 30, tzinfo=UTC)

    def test_what_has_not_begun_is_left_out(self) -> None:
        now = datetime(2026, 11, 3, 12, tzinfo=UTC)

        slots = slots_of(month_period(2026, 11, BERLIN), granularity="day", zone=BERLIN, now=now)

        assert [slot.day.day for slot in slots] == [1, 2, 3]

    def test_slots_touch_and_cover_the_period(self) -> None:
        period = period_of_days(date(2026, 10, 20), date(2026, 11, 10), BERLIN)

        for granularity in ("hour", "day", "month"):
            slots = slots_of(period, granularity=granularity, zone=BERLIN, now=LATE)
            assert slots[0].start == period.start
            assert slots[-1].end == period.end
            assert all(one.end == following.start for one, following in pairwise(slots))
            assert days_of(slots, BERLIN) == (date(2026, 10, 20), date(2026, 11, 10))


class TestSlotsBefore:
    def test_a_month_stands_against_the_month_before(self) -> None:
        slots = slots_before(month_period(2026, 3, BERLIN), granularity="day", zone=BERLIN, count=31)

        assert (slots[0].day, len(slots)) == (date(2026, 2, 1), 28)


class TestKindOf:
    slot = Slot(datetime(2026, 11, 3, tzinfo=UTC), datetime(2026, 11, 4, tzinfo=UTC), date(2026, 11, 3))

    @pytest.mark.parametrize(
        ("records", "is_zero", "is_complete", "first_used_at", "in_daily", "kind"),
        [
            (1, False, True, 1, False, Kind.COMPLETE),
            (1, True, True, 1, False, Kind.ZERO),
            (0, True, True, 1, False, Kind.GAP),
            (0, True, True, 4, False, Kind.BEFORE),
            (0, True, True, None, False, Kind.BEFORE),
            (0, True, True, 1, True, Kind.DAILY),
            (1, False, False, 1, False, Kind.INCOMPLETE),
            (0, True, False, 1, False, Kind.INCOMPLETE),
        ],
    )
    def test_tells_them_apart(
        self,
        records: int,
        is_zero: bool,
        is_complete: bool,
        first_used_at: int | None,
        in_daily: bool,
        kind: Kind,
    ) -> None:
        def day(number: int | None) -> datetime | None:
            return None if number is None else datetime(2026, 11, number, tzinfo=UTC)

        assert kind is kind_of(
            self.slot,
            records=records,
            is_zero=is_zero,
            is_complete=is_complete,
            first_used_at=day(first_used_at),
            is_in_daily_total=in_daily,
        )


class TestMonthSoFar:
    def test_reads_from_the_earliest_day_it_needs(self) -> None:
        month = month_so_far(datetime(2026, 11, 23, 13, tzinfo=UTC), BERLIN)

        assert (month.first, month.previous_first) == (date(2026, 11, 1), date(2026, 10, 1))
        assert month.trend_first == date(2026, 10, 25)
        assert month.read_from == date(2026, 10, 1)
