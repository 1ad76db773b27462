"""From a billing anchor to billing periods: half-open UTC instants that tile all of time.

Each edge is counted from the anchor, never from the edge before, so the 31st comes back after a shorter month.
Refuses intervals and windows of other lengths than a calendar has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import IntEnum
from functools import lru_cache
from zoneinfo import ZoneInfo

from insights.values.period import Period, local_day, months_after, start_of_day

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ONE_DAY = timedelta(days=1)


class InvalidAnchor(ValueError):
    """The anchor does not say where periods begin."""


class Interval(IntEnum):
    """How long a billing period is, in calendar months."""

    MONTHLY = 1
    QUARTERLY = 3
    YEARLY = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingAnchor:
    """A local day on which a period begins, and how often another does.

    A month without that day begins its period on its last day. `window` is the longest window of the usage billed:
    a record belongs to the period that contains its window's start, so an edge that falls inside a window of UTC
    moves to the next window's start.
    """

    day: date
    zone: ZoneInfo
    interval: Interval = Interval.MONTHLY
    window: timedelta = timedelta(hours=1)

    def __post_init__(self) -> None:
        if self.window <= timedelta(0) or _ONE_DAY % self.window:
            raise InvalidAnchor(f"windows of {self.window} do not divide a day")


def period_number(anchor: BillingAnchor, number: int) -> Period:
    """The period that begins `number` intervals after the anchor's day; negative ones are before it."""
    return Period(edge(anchor, number), edge(anchor, number + 1))


def edge(anchor: BillingAnchor, number: int) -> datetime:
    """The instant, in UTC, at which the period of this number begins and the one before it ends."""
    day = months_after(anchor.day, number * anchor.interval)
    return _next_window_start(start_of_day(day, anchor.zone), anchor.window)


def _next_window_start(instant: datetime, window: timedelta) -> datetime:
    into_window = (instant - _EPOCH) % window
    return instant + window - into_window if into_window else instant


@lru_cache(maxsize=4096)
def period_containing(anchor: BillingAnchor, instant: datetime) -> Period:
    """The billing period that the instant is in."""
    day = local_day(instant, anchor.zone)
    months = (day.year - anchor.day.year) * 12 + day.month - anchor.day.month
    # The month says it to within one: the day in it, or a moved edge, may put the instant into a neighbour.
    number = months // anchor.interval + 1
    while edge(anchor, number) > instant:
        number -= 1
    return period_number(anchor, number)


def periods_until(anchor: BillingAnchor, since: datetime, until: datetime) -> Iterator[Period]:
    """The billing periods in order from the one that contains `since`, as far as they begin before `until`."""
    period = period_containing(anchor, since)
    while period.start < until:
        yield period
        period = period_containing(anchor, period.end)
