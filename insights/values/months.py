"""Months of the ledger: calendar months in UTC, named by their first day, and the local days that they touch.

Rollups are kept by local day. A day that begins in one month of the ledger and ends in the next belongs to both, so
that the days which an archived month seals reach up to a day beyond it.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, tzinfo

from insights.values.period import YEAR_FIRST, YEAR_LAST, local_day, month_period, months_after

_MONTH_TEXT = re.compile(r"([0-9]{4})-([0-9]{2})")
_LAST_OF_BEFORE = timedelta(microseconds=1)


class InvalidMonth(ValueError):
    """The text is not a month written as YYYY-MM."""


def parse_month(text: str) -> date:
    """The first day of the month written as YYYY-MM in ASCII digits; raises InvalidMonth."""
    match = _MONTH_TEXT.fullmatch(text)
    if match is None:
        raise InvalidMonth("write the month as YYYY-MM")
    year, month = (int(part) for part in match.groups())
    if not (YEAR_FIRST <= year <= YEAR_LAST and 1 <= month <= 12):
        raise InvalidMonth("that month is not in the calendar")
    return date(year, month, 1)


def month_text(month: date) -> str:
    """The month as YYYY-MM."""
    return f"{month:%Y-%m}"


def month_of(instant: datetime) -> date:
    """The first day of the ledger's month in which the instant lies."""
    return instant.astimezone(UTC).date().replace(day=1)


def end_of_month(month: date) -> datetime:
    """The first instant after the month."""
    return month_period(month.year, month.month, UTC).end


def months_from(month: date, count: int) -> tuple[date, ...]:
    """So many months, the given one first."""
    return tuple(months_after(month, number) for number in range(count))


def sealed_days(month: date, zone: tzinfo) -> tuple[date, date]:
    """The first and the last local day that the month touches, both included."""
    period = month_period(month.year, month.month, UTC)
    return local_day(period.start, zone), local_day(period.end - _LAST_OF_BEFORE, zone)
