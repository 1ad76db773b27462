"""How much will be metered by the end of a period, with a band, by the weekdays of the last complete weeks. Pure.

The method, with its formula and a worked example, is in docs/forecast.md. Every number is exact until a quantity is
rounded to its last decimal place, once. Where there are too few complete weeks nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum

from insights.values.exact import EXACT, decimal_of, rounded_ratio

# A mean of few weeks follows what is new; a band of many weeks has seen more. If weeks are alike, the next one is
# between the least and the most of four of them three times in five, and of twelve eleven times in thirteen.
WEEKS_OF_MEAN = 4
WEEKS_MAX = 12
WEEKS_MIN = 2
_WEEK = 7
# The last decimal place of a quantity.
_PLACES = 9
_ONE_DAY = timedelta(days=1)


class Growth(StrEnum):
    """How days make a period: they are added, the largest counts, or the last one does."""

    ADDED = "added"
    LARGEST = "largest"
    LAST = "last"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """A quantity at the end of a stretch of time: as expected, and the band that it is expected in."""

    low: Decimal
    expected: Decimal
    high: Decimal

    @classmethod
    def settled(cls, quantity: Decimal) -> Outlook:
        """Of a stretch that nothing is added to any more."""
        return cls(low=quantity, expected=quantity, high=quantity)


# A whole number of twelfths of the last decimal place, since a mean of two, three or four such numbers is one.
_PART = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rest:
    """What the rest comes to: at least, as expected, and at most; in twelfths of the last decimal place."""

    low: int = 0
    expected: int = 0
    high: int = 0

    def __add__(self, other: _Rest) -> _Rest:
        return _Rest(
            low=self.low + other.low, expected=self.expected + other.expected, high=self.high + other.high
        )

    def times(self, count: int) -> _Rest:
        return _Rest(low=self.low * count, expected=self.expected * count, high=self.high * count)

    def beyond(self, known: int) -> _Rest:
        """What is still missing to it where some is known already; never less than nothing."""
        known *= _PART
        return _Rest(
            low=max(self.low - known, 0),
            expected=max(self.expected - known, 0),
            high=max(self.high - known, 0),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Weeks:
    """The last complete weeks before a day, the newest first, each by its days; in units of the last decimal place."""

    until: date
    values: tuple[tuple[int, ...], ...]

    def day(self, day: date) -> _Rest:
        """The least, the mean of the last four and the most of the same weekday."""
        place = (day - self.until).days % _WEEK
        return _of([week[place] for week in self.values])

    def week(self) -> _Rest:
        """The least, the mean of the last four and the most of a whole week."""
        return _of([sum(week) for week in self.values])

    @property
    def newest(self) -> int:
        """The last complete day."""
        return self.values[0][-1]


def _of(values: Sequence[int]) -> _Rest:
    recent = values[:WEEKS_OF_MEAN]
    return _Rest(
        low=min(values) * _PART, expected=sum(recent) * _PART // len(recent), high=max(values) * _PART
    )


def last_weeks(days: Mapping[date, Decimal], *, since: date, until: date) -> Weeks | None:
    """Up to twelve complete weeks before `until`; None if there are fewer than two since the first day.

    A day without usage is zero. One below zero, of corrections alone, is taken for zero too: what is used is not
    unused.
    """
    count = min((until - since).days // _WEEK, WEEKS_MAX)
    if count < WEEKS_MIN:
        return None
    known = [_known(days, until - number * _ONE_DAY) for number in range(count * _WEEK, 0, -1)]
    weeks = [tuple(known[start : start + _WEEK]) for start in range(0, len(known), _WEEK)]
    return Weeks(until=until, values=tuple(weeks[::-1]))


def _known(days: Mapping[date, Decimal], day: date) -> int:
    quantity = days.get(day)
    return 0 if quantity is None else max(_units(quantity), 0)


def _units(quantity: Decimal) -> int:
    return int(quantity.scaleb(_PLACES, context=EXACT))


def look_ahead(
    growth: Growth, used: Decimal, days: Mapping[date, Decimal], weeks: Weeks, *, first: date, end: date
) -> Outlook:
    """What a stretch comes to by the start of `end`, if `used` is in it so far and its days from `first` on are open.

    Days that already have usage count with what they have, or with what is expected of them if that is more.
    """
    first = max(first, weeks.until)
    if first >= end:
        return Outlook.settled(used)
    known = _units(used) * _PART
    if growth is Growth.ADDED:
        return _outlook(_added(days, weeks, first, end) + _Rest(low=known, expected=known, high=known))
    if growth is Growth.LARGEST:
        ahead = [weeks.day(day) for day in _days(first, min(end, first + _WEEK * _ONE_DAY))]
        return _outlook(
            _Rest(
                low=max(known, *(day.low for day in ahead)),
                expected=max(known, *(day.expected for day in ahead)),
                high=max(known, *(day.high for day in ahead)),
            )
        )
    every = [value for week in weeks.values for value in week]
    newest = weeks.newest * _PART
    return _outlook(_Rest(low=min(every) * _PART, expected=newest, high=max(every) * _PART))


def _added(days: Mapping[date, Decimal], weeks: Weeks, first: date, end: date) -> _Rest:
    """What is still added: open days one by one, then as many days as make no week, then whole weeks."""
    untouched = max((day for day in days if first <= day < end and days[day] > 0), default=first - _ONE_DAY)
    untouched += _ONE_DAY
    rest = _sum(weeks.day(day).beyond(_known(days, day)) for day in _days(first, untouched))
    whole, single = divmod((end - untouched).days, _WEEK)
    rest += _sum(weeks.day(day) for day in _days(untouched, untouched + single * _ONE_DAY))
    return rest + weeks.week().times(whole)


def _days(first: date, end: date) -> Iterable[date]:
    return (first + number * _ONE_DAY for number in range((end - first).days))


def _sum(parts: Iterable[_Rest]) -> _Rest:
    return sum(parts, _Rest())


def _outlook(total: _Rest) -> Outlook:
    return Outlook(low=_quantity(total.low), expected=_quantity(total.expected), high=_quantity(total.high))


def _quantity(parts: int) -> Decimal:
    return decimal_of(rounded_ratio(parts, _PART), _PLACES)


@dataclass(frozen=True, slots=True, kw_only=True)
class BandTest:
    """One period that has ended: the band that the method gave at the same point of it, and how it ended."""

    low: int
    high: int
    ended: int

    @property
    def is_inside(self) -> bool:
        """Whether it ended inside the band."""
        return self.low <= self.ended <= self.high


def count_inside(tests: Iterable[BandTest]) -> tuple[int, int]:
    """How many periods ended inside their band, and of how many."""
    found = [test.is_inside for test in tests]
    return sum(found), len(found)
