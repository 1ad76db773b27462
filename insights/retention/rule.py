"""When a month may leave the database: one pure function, which the command, the page and the tests ask.

A month may be archived 13 months after its last invoice was issued, and one without invoices 13 months after its end.
Somebody who runs the portal does it, with a reason; no month is archived by itself.
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
    """Whether a month may be archived, from when, and why not."""

    may_be_archived: bool
    may_from_at: datetime
    why_not: str = ""


def judge_month(*, month: date, last_invoice_issued_at: datetime | None, now: datetime) -> Archivable:
    """Apply the rule to one month, named by its first day; instants carry their zone.

    Where an invoice was issued, its date binds an operator too: it may be corrected for as long.
    """
    kept_from = end_of_month(month) if last_invoice_issued_at is None else last_invoice_issued_at
    may_from_at = _months_later(kept_from, MONTHS_KEPT)
    if now >= may_from_at:
        return Archivable(True, may_from_at)
    since = "it ended" if last_invoice_issued_at is None else "its last invoice was issued"
    why_not = f"kept until {MONTHS_KEPT} months after {since}"
    return Archivable(False, may_from_at, why_not)


def _months_later(instant: datetime, months: int) -> datetime:
    """So many months later by the calendar in UTC; a day that the month does not have is the next month's first.

    Never earlier than the same day: 31 January and 13 months are 1 March, in a leap year too.
    """
    at = instant.astimezone(UTC)
    day = months_after(at.date(), months)
    if day.day < at.day:
        day += _ONE_DAY
    return datetime.combine(day, at.timetz())
