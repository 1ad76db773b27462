"""The stretches of time a table or a chart has rows for, and what each of them can say about itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from enum import StrEnum
from itertools import islice
from typing import NamedTuple

from insights.values.period import (
    Period,
    hours_between,
    local_day,
    months_after,
    period_of_days,
    previous_period,
    split_by_day,
    split_by_month,
    start_of_day,
)

ONE_DAY = timedelta(days=1)
_SPLITS = {"day": split_by_day, "month": split_by_month}


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
    return tuple(slot for slot in _cut(period, granularity, zone) if slot.start <= now)


def slots_before(period: Period, *, granularity: str, zone: tzinfo, count: int) -> tuple[Slot, ...]:
    """The first `count` stretches of the period of the same kind just before, in the same order."""
    return tuple(islice(_cut(previous_period(period, zone), granularity, zone), count))


def _cut(period: Period, granularity: str, zone: tzinfo) -> Iterator[Slot]:
    if granularity != "hour":
        for part in _SPLITS[granularity](period, zone):
            yield Slot(part.start, part.end, local_day(part.start, zone))
        return
    # There are thousands of hours, so that the calendar is only asked for days.
    for part in split_by_day(period, zone):
        day = local_day(part.start, zone)
        for start, end in hours_between(part, start_of_day(day, zone)):
            yield Slot(start, end, day)


def period_of(slots: Sequence[Slot]) -> Period:
    """From the start of the first to the end of the last."""
    return Period(slots[0].start, slots[-1].end)


def days_of(slots: tuple[Slot, ...], zone: tzinfo) -> tuple[date, date]:
    """The first local day of the slots, and the day after the last."""
    last = local_day(slots[-1].end - timedelta(microseconds=1), zone)
    return slots[0].day, last + ONE_DAY


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
