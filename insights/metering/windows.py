"""The stretches of time a table or a chart has rows for, and what each of them can say about itself."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from insights.values.period import (
    Period,
    hours_between,
    local_day,
    months_after,
    period_of_days,
    previous_period,
    split_by_month,
    start_of_day,
)

ONE_DAY = timedelta(days=1)
_INSTANT = timedelta(microseconds=1)
# The days of a dozen pages of three months, 3 kB each in hours.
_DAYS_KEPT = 2_000


class Kind(StrEnum):
    """What a stretch of time has to say. A zero, a gap and not yet complete are three different things.

    Unknown is whether it was complete at the earlier moment that was asked for.
    """

    COMPLETE = "complete"
    ZERO = "zero"
    INCOMPLETE = "incomplete"
    GAP = "gap"
    BEFORE = "before"
    DAILY = "daily"
    UNKNOWN = "unknown"


class Slot(NamedTuple):
    """One stretch of time and the local day it begins on; there are thousands, hence a tuple."""

    start: datetime
    end: datetime
    day: date


def slots_of(period: Period, *, granularity: str, zone: tzinfo, now: datetime) -> tuple[Slot, ...]:
    """Cut a period; what has not begun yet is left out."""
    slots = _cut(period, granularity, zone)
    return slots[: bisect_right(slots, now, key=lambda slot: slot.start)]


def slots_before(period: Period, *, granularity: str, zone: tzinfo, count: int) -> tuple[Slot, ...]:
    """The first `count` stretches of the period of the same kind just before, in the same order."""
    return _cut(previous_period(period, zone), granularity, zone)[:count]


def _cut(period: Period, granularity: str, zone: tzinfo) -> tuple[Slot, ...]:
    if granularity == "month":
        parts = split_by_month(period, zone)
        return tuple(Slot(part.start, part.end, local_day(part.start, zone)) for part in parts)
    cut_day = _hours_of_day if granularity == "hour" else _whole_day
    first, end = _days_touched(period.start, period.end, zone)
    slots = [slot for number in range((end - first).days) for slot in cut_day(first + number * ONE_DAY, zone)]
    if slots[0].start < period.start or slots[-1].end > period.end:
        return tuple(_within(slots, period))
    return tuple(slots)


@lru_cache(_DAYS_KEPT)
def _whole_day(day: date, zone: tzinfo) -> tuple[Slot, ...]:
    """A day as one stretch; none where the zone left it out of its calendar."""
    start, end = start_of_day(day, zone), start_of_day(day + ONE_DAY, zone)
    return (Slot(start, end, day),) if start < end else ()


@lru_cache(_DAYS_KEPT)
def _hours_of_day(day: date, zone: tzinfo) -> tuple[Slot, ...]:
    """A day cut at the hours elapsed since its midnight; the same for every account of the zone."""
    return tuple(
        Slot(start, end, day)
        for whole in _whole_day(day, zone)
        for start, end in hours_between(Period(whole.start, whole.end), whole.start)
    )


def _within(slots: Iterable[Slot], period: Period) -> list[Slot]:
    """What of each stretch lies in a period that is not made of whole days."""
    return [
        Slot(max(slot.start, period.start), min(slot.end, period.end), slot.day)
        for slot in slots
        if slot.start < period.end and slot.end > period.start
    ]


def _days_touched(start: datetime, end: datetime, zone: tzinfo) -> tuple[date, date]:
    return local_day(start, zone), local_day(end - _INSTANT, zone) + ONE_DAY


def period_of(slots: Sequence[Slot]) -> Period:
    """From the start of the first to the end of the last."""
    return Period(slots[0].start, slots[-1].end)


def days_of(slots: tuple[Slot, ...], zone: tzinfo) -> tuple[date, date]:
    """The first local day of the slots, and the day after the last."""
    return slots[0].day, local_day(slots[-1].end - _INSTANT, zone) + ONE_DAY


def kind_of(
    slot: Slot,
    *,
    records: int,
    is_zero: bool,
    is_complete: bool,
    first_used_at: datetime | None,
    is_in_daily_total: bool,
) -> Kind:
    """Say what a stretch of time is; what is not complete is that before anything else."""
    if not is_complete:
        return Kind.INCOMPLETE
    if records:
        return Kind.ZERO if is_zero else Kind.COMPLETE
    if is_in_daily_total:
        return Kind.DAILY
    if first_used_at is None or slot.end <= first_used_at:
        return Kind.BEFORE
    return Kind.GAP


@dataclass(frozen=True, slots=True)
class MonthSoFar:
    """The days an overview reads: this calendar month, the one before, and the last thirty days."""

    first: date
    today: date
    previous_first: date
    trend_first: date

    @property
    def read_from(self) -> date:
        """The earliest day needed."""
        return min(self.previous_first, self.trend_first)

    def period(self, zone: tzinfo) -> Period:
        """This month as instants."""
        return period_of_days(self.first, months_after(self.first, 1), zone)


def month_so_far(now: datetime, zone: tzinfo) -> MonthSoFar:
    """The month that contains now, in the account's days."""
    today = local_day(now, zone)
    first = today.replace(day=1)
    return MonthSoFar(
        first=first,
        today=today,
        previous_first=months_after(first, -1),
        trend_first=today - 29 * ONE_DAY,
    )
