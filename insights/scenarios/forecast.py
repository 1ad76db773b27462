"""How much will be metered by the end of a period, with a band, by the weekdays of the last complete weeks. Pure.

The method, with its formula and a worked example, is in docs/forecast.md. Every number is exact until a quantity is
rounded to its last decimal place, once. Where there are too few complete weeks nothing is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from insights.values.exact import add_exact, decimal_of, exact_of, round_half_away

WEEKS_MAX = 4
WEEKS_MIN = 2
_WEEK = 7
# The last decimal place of a quantity.
_PLACES = 9
_ONE_DAY = timedelta(days=1)
_NOTHING = Fraction(0)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rest:
    """What the rest comes to: at least, as expected, and at most; exact."""

    low: Fraction = _NOTHING
    expected: Fraction = _NOTHING
    high: Fraction = _NOTHING

    def __add__(self, other: _Rest) -> _Rest:
        return _Rest(
            low=self.low + other.low, expected=self.expected + other.expected, high=self.high + other.high
        )

    def times(self, count: int) -> _Rest:
        return _Rest(low=self.low * count, expected=self.expected * count, high=self.high * count)

    def beyond(self, known: Fraction) -> _Rest:
        """What is still missing to it where some is known already; never less than nothing."""
        return self._each(lambda value: max(value - known, _NOTHING))

    def _each(self, change: Callable[[Fraction], Fraction]) -> _Rest:
        return _Rest(low=change(self.low), expected=change(self.expected), high=change(self.high))


@dataclass(frozen=True, slots=True, kw_only=True)
class Weeks:
    """The last complete weeks before a day, the newest first, each by its days in the order of time."""

    until: date
    values: tuple[tuple[Fraction, ...], ...]

    def day(self, day: date) -> _Rest:
        """The least, the mean and the most of the same weekday."""
        place = (day - self.until).days % _WEEK
        return _of([week[place] for week in self.values])

    def week(self) -> _Rest:
        """The least, the mean and the most of a whole week."""
        return _of([add_exact(week) for week in self.values])

    @property
    def newest(self) -> Fraction:
        """The last complete day."""
        return self.values[0][-1]


def _of(values: Sequence[Fraction]) -> _Rest:
    return _Rest(low=min(values), expected=add_exact(values) / len(values), high=max(values))


def last_weeks(days: Mapping[date, Decimal], *, since: date, until: date) -> Weeks | None:
    """Up to four complete weeks before `until`; None if there are fewer than two since the first day.

    A day without usage is zero. One below zero, of corrections alone, is taken for zero too: what is used is not
    unused.
    """
    count = min((until - since).days // _WEEK, WEEKS_MAX)
    if count < WEEKS_MIN:
        return None
    starts = (until - timedelta(days=_WEEK * number) for number in range(1, count + 1))
    return Weeks(
        until=until,
        values=tuple(
            tuple(_known(days, start + timedelta(days=place)) for place in range(_WEEK)) for start in starts
        ),
    )


def _known(days: Mapping[date, Decimal], day: date) -> Fraction:
    return max(exact_of(days.get(day, Decimal(0))), _NOTHING)


def look_ahead(
    growth: Growth, used: Decimal, days: Mapping[date, Decimal], weeks: Weeks, *, first: date, end: date
) -> Outlook:
    """What a stretch comes to by the start of `end`, if `used` is in it so far and its days from `first` on are open.

    Days that already have usage count with what they have, or with what is expected of them if that is more.
    """
    first = max(first, weeks.until)
    if first >= end:
        return Outlook.settled(used)
    if growth is Growth.ADDED:
        return _outlook(_added(days, weeks, first, end), lambda rest: exact_of(used) + rest)
    ahead = _picked(growth, weeks, first, end)
    return _outlook(ahead, lambda rest: max(exact_of(used), rest) if growth is Growth.LARGEST else rest)


def _added(days: Mapping[date, Decimal], weeks: Weeks, first: date, end: date) -> _Rest:
    """What is still added: open days one by one, then as many days as make no week, then whole weeks."""
    with_usage = [day for day in days if first <= day < end and days[day] > 0]
    untouched = max(with_usage, default=first - _ONE_DAY) + _ONE_DAY
    rest = _sum(weeks.day(day).beyond(_known(days, day)) for day in _days(first, untouched))
    whole, single = divmod((end - untouched).days, _WEEK)
    rest += _sum(weeks.day(day) for day in _days(untouched, untouched + timedelta(days=single)))
    return rest + weeks.week().times(whole)


def _picked(growth: Growth, weeks: Weeks, first: date, end: date) -> _Rest:
    if growth is Growth.LARGEST:
        ahead = [weeks.day(day) for day in _days(first, min(end, first + timedelta(days=_WEEK)))]
        return _Rest(
            low=max(day.low for day in ahead),
            expected=max(day.expected for day in ahead),
            high=max(day.high for day in ahead),
        )
    every = [value for week in weeks.values for value in week]
    return _Rest(low=min(every), expected=weeks.newest, high=max(every))


def _days(first: date, end: date) -> Iterable[date]:
    return (first + timedelta(days=number) for number in range((end - first).days))


def _sum(parts: Iterable[_Rest]) -> _Rest:
    return sum(parts, _Rest())


def _outlook(rest: _Rest, total: Callable[[Fraction], Fraction]) -> Outlook:
    return Outlook(
        low=_quantity(total(rest.low)),
        expected=_quantity(total(rest.expected)),
        high=_quantity(total(rest.high)),
    )


def _quantity(exact: Fraction) -> Decimal:
    return decimal_of(round_half_away(exact * 10**_PLACES), _PLACES)


@dataclass(frozen=True, slots=True, kw_only=True)
class BandTest:
    """One period that has ended: the band that the method gave at the same point of it, and how it ended."""

    low: int
    high: int
    ended: int

    @property
    def is_hit(self) -> bool:
        """Whether it ended inside the band."""
        return self.low <= self.ended <= self.high


def count_hits(tests: Iterable[BandTest]) -> tuple[int, int]:
    """How many periods ended inside their band, and of how many."""
    found = [test.is_hit for test in tests]
    return sum(found), len(found)
