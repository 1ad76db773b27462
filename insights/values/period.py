"""Half-open periods of time, [start, end), as aware UTC instants, and the calendar of a zone.

Refuses instants without a zone, empty periods, and dates written in any form but YYYY-MM-DD.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache

_DAY_TEXT = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
# Far from the ends of the calendar, so that the month before and the month after always exist.
YEAR_FIRST, YEAR_LAST = 2000, 2100
_ONE_DAY = timedelta(days=1)
_ONE_HOUR = timedelta(hours=1)


class InvalidPeriod(ValueError):
    """The two instants do not make a period."""


class InvalidDay(ValueError):
    """The text is not a calendar day written as YYYY-MM-DD."""


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """All instants from start, included, to end, excluded."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            instant = getattr(self, name)
            if instant.utcoffset() is None:
                raise InvalidPeriod(f"{instant!r} has no time zone")
            object.__setattr__(self, name, instant.astimezone(UTC))
        if self.start >= self.end:
            raise InvalidPeriod(f"{self.start.isoformat()} is not before {self.end.isoformat()}")

    @property
    def duration(self) -> timedelta:
        return self.end - self.start

    def contains(self, instant: datetime) -> bool:
        return self.start <= instant < self.end

    def overlaps(self, other: Period) -> bool:
        return self.start < other.end and other.start < self.end

    def intersection(self, other: Period) -> Period | None:
        start, end = max(self.start, other.start), min(self.end, other.end)
        return Period(start, end) if start < end else None


def parse_day(text: str) -> date:
    """The day written as YYYY-MM-DD in ASCII digits; nothing else is a day here."""
    match = _DAY_TEXT.fullmatch(text)
    if match is None:
        raise InvalidDay("write the date as YYYY-MM-DD")
    try:
        day = date(*(int(part) for part in match.groups()))
    except ValueError:
        raise InvalidDay("that day is not in the calendar") from None
    if day.year < YEAR_FIRST:
        raise InvalidDay(f"the year must be {YEAR_FIRST} or later")
    if day.year > YEAR_LAST:
        raise InvalidDay(f"the year must be {YEAR_LAST} or earlier")
    return day


# Pages ask for the same days again and again, and converting a midnight is slow.
@lru_cache(maxsize=8_192)
def start_of_day(day: date, zone: tzinfo) -> datetime:
    """The first instant of a local day.

    Where the clock jumps over midnight the day begins at the jump; where midnight happens twice the
    day begins at the first one.
    """
    midnight = datetime.combine(day, time(), tzinfo=zone)
    instant = midnight.astimezone(UTC)
    if instant.astimezone(zone).date() == day and _is_midnight(instant.astimezone(zone)):
        return instant
    return _first_instant_after_jump(instant, day, zone)


def _is_midnight(local: datetime) -> bool:
    return (local.hour, local.minute, local.second, local.microsecond) == (0, 0, 0, 0)


def _first_instant_after_jump(near: datetime, day: date, zone: tzinfo) -> datetime:
    # The offsets on both sides of a skipped midnight bound the jump; halving finds its second.
    before, after = near - timedelta(hours=26), near + timedelta(hours=26)
    while after - before > timedelta(seconds=1):
        middle = before + timedelta(seconds=int((after - before).total_seconds()) // 2)
        if middle.astimezone(zone).date() < day:
            before = middle
        else:
            after = middle
    return after


def local_day(instant: datetime, zone: tzinfo) -> date:
    return instant.astimezone(zone).date()


def period_of_days(first: date, end: date, zone: tzinfo) -> Period:
    """The local days from first, included, to end, excluded."""
    return Period(start_of_day(first, zone), start_of_day(end, zone))


def day_period(day: date, zone: tzinfo) -> Period:
    return period_of_days(day, day + _ONE_DAY, zone)


def month_period(year: int, month: int, zone: tzinfo) -> Period:
    first = date(year, month, 1)
    return period_of_days(first, months_after(first, 1), zone)


def month_containing(instant: datetime, zone: tzinfo) -> Period:
    day = local_day(instant, zone)
    return month_period(day.year, day.month, zone)


def months_after(day: date, months: int) -> date:
    """The same day of another month, or that month's last day when it is shorter."""
    year, month_index = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month_index + 1, min(day.day, _days_in_month(year, month_index + 1)))


def _days_in_month(year: int, month: int) -> int:
    following = date(year + month // 12, month % 12 + 1, 1)
    return (following - _ONE_DAY).day


def whole_months(period: Period, zone: tzinfo) -> int | None:
    """How many whole calendar months the period covers, or None when it covers parts of one."""
    first, end = local_day(period.start, zone), local_day(period.end, zone)
    if first.day != 1 or end.day != 1 or not _begins_days(period, zone):
        return None
    return (end.year - first.year) * 12 + end.month - first.month


def _begins_days(period: Period, zone: tzinfo) -> bool:
    return all(
        start_of_day(local_day(instant, zone), zone) == instant for instant in (period.start, period.end)
    )


def previous_period(period: Period, zone: tzinfo) -> Period:
    """The stretch of the same kind just before: months before months, days before days."""
    months = whole_months(period, zone)
    if months is not None:
        first = local_day(period.start, zone)
        return period_of_days(months_after(first, -months), first, zone)
    if _begins_days(period, zone):
        first, end = local_day(period.start, zone), local_day(period.end, zone)
        return period_of_days(first - (end - first), first, zone)
    return Period(period.start - period.duration, period.start)


def previous_month_to_same_day(period: Period, zone: tzinfo) -> Period:
    """The month before, up to the same day: 1 to 15 November is compared with 1 to 15 October.

    When the month before is shorter it is taken to its end.
    """
    first = local_day(period.start, zone)
    last = local_day(period.end - timedelta(microseconds=1), zone)
    earlier_first = months_after(first, -1)
    earlier_last = months_after(last, -1)
    return period_of_days(earlier_first, earlier_last + _ONE_DAY, zone)


def split_by_day(period: Period, zone: tzinfo) -> Iterator[Period]:
    """The parts of the period, cut at each local midnight."""
    start = period.start
    while start < period.end:
        following = start_of_day(local_day(start, zone) + _ONE_DAY, zone)
        end = min(following, period.end)
        yield Period(start, end)
        start = end


def split_by_month(period: Period, zone: tzinfo) -> Iterator[Period]:
    """The parts of the period, cut at the first local midnight of each month."""
    start = period.start
    while start < period.end:
        end = min(month_containing(start, zone).end, period.end)
        yield Period(start, end)
        start = end


def split_by_hour(period: Period, zone: tzinfo) -> Iterator[Period]:
    """The parts of the period, cut at each hour elapsed since local midnight.

    A day of 23 or 25 hours has so many parts; zones off the whole hour are cut at their own hours.
    """
    for part in split_by_day(period, zone):
        midnight = start_of_day(local_day(part.start, zone), zone)
        for start, end in hours_between(part, midnight):
            yield Period(start, end)


def hours_between(part: Period, midnight: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Start and end of each part of a day, or of a piece of one, cut at the hours elapsed since its midnight."""
    start = part.start
    following = midnight + ((start - midnight) // _ONE_HOUR + 1) * _ONE_HOUR
    while start < part.end:
        end = min(following, part.end)
        yield start, end
        start, following = end, following + _ONE_HOUR


def clock_changes(period: Period, zone: tzinfo) -> tuple[datetime, ...]:
    """The instants inside a period, its start left out, at which the zone's offset from UTC changes, to the second."""
    found = []
    at = period.start
    while at < period.end:
        # No zone changes its clock twice in a day and takes it back.
        end = min(at + _ONE_DAY, period.end)
        if _ahead(at, zone) != _ahead(end, zone):
            change = _first_with_clock_of(end, at, zone)
            found += [change] if change < period.end else []
        at = end
    return tuple(found)


def _ahead(instant: datetime, zone: tzinfo) -> timedelta | None:
    return instant.astimezone(zone).utcoffset()


def _first_with_clock_of(after: datetime, before: datetime, zone: tzinfo) -> datetime:
    """Halve until a second is left: the first instant that has the offset of the later of two."""
    wanted = _ahead(after, zone)
    while after - before > timedelta(seconds=1):
        middle = before + timedelta(seconds=int((after - before).total_seconds()) // 2)
        if _ahead(middle, zone) == wanted:
            after = middle
        else:
            before = middle
    return after
