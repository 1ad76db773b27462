"""When a month may leave the database: one pure function, which the command, the page and the tests ask.

A month is archived 13 months after its last invoice was issued. A month of which no invoice was issued is never
archived by itself; somebody who runs the portal may do it 13 months after the month's end, with a reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from insights.values.months import end_of_month
from insights.values.period import months_after

MONTHS_KEPT = 13
_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Archivable:
    """Whether a month may be archived, from when, and why not; `by_itself` says that nobody has to ask for it."""

    may_be_archived: bool
    by_itself: bool
    may_from_at: datetime
    why_not: str = ""


def judge_month(*, month: date, last_invoice_issued_at: datetime | None, now: datetime) -> Archivable:
    """Apply the rule to one month, named by its first day; instants carry their zone.

    Where an invoice was issued, its date binds an operator too: it may be corrected for as long.
    """
    kept_from = end_of_month(month) if last_invoice_issued_at is None else last_invoice_issued_at
    may_from_at = _months_later(kept_from, MONTHS_KEPT)
    by_itself = last_invoice_issued_at is not None
    if now >= may_from_at:
        return Archivable(True, by_itself, may_from_at)
    since = "its last invoice was issued" if by_itself else "it ended"
    why_not = f"kept until {MONTHS_KEPT} months after {since}"
    return Archivable(False, by_itself, may_from_at, why_not)


def _months_later(instant: datetime, months: int) -> datetime:
    """So many months later by the calendar in UTC; a day that the month does not have is the next month's first.

    Never earlier than the same day: 31 January and 13 months are 1 March, in a leap year too.
    """
    at = instant.astimezone(UTC)
    day = months_after(at.date(), months)
    if day.day < at.day:
        day += _ONE_DAY
    return datetime.combine(day, at.timetz())
