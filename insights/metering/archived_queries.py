"""Which of an account's records are archived, asked by whoever reads records and not rollups.

Asked after the records were read: a month that is detached in between is then known to be missing, while the other
way round it would be missed in silence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from accounts.models import Account
from insights.metering.explore import Plan
from insights.metering.faults import Fault, UsageFilterRefused
from insights.metering.slot_queries import EVERYTHING, Reading, run, summed_part
from insights.metering.windows import ONE_DAY, Slot, days_of
from insights.values.months import month_of, sealed_days
from insights.values.period import Period

CODE = "period_archived"
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Guard:
    """A statement that finds an archived month among the records of a period, for connections of their own."""

    statement: str
    parameters: dict[str, Any]


_ANY = """
    SELECT month FROM insights_rollupseal
    WHERE account_id = %(account)s AND month >= %(first)s AND month <= %(last)s ORDER BY month LIMIT 1
"""


# Asked on most pages, so in plain SQL.
_EVERY = """
    SELECT DISTINCT month FROM insights_rollupseal
    WHERE account_id = %(account)s AND month >= %(first)s AND month <= %(last)s ORDER BY month
"""


def guard_of(account_id: int, period: Period) -> Guard:
    """Return the statement; a row of it is a month whose records are not in the ledger."""
    last = month_of(period.end - _INSTANT)
    return Guard(_ANY, {"account": account_id, "first": month_of(period.start), "last": last})


def list_archived_months(account: Account, period: Period) -> tuple[date, ...]:
    """The months of a period in which the account had usage whose records are archived, oldest first."""
    return tuple(month for (month,) in run(_EVERY, guard_of(account.pk, period).parameters))


def refused_for(months: Sequence[date], *, field: str, way_out: str) -> UsageFilterRefused:
    """The refusal of a question that only archived records could answer."""
    named = ", ".join(f"{month:%B %Y}" for month in months[:3]) + (" and others" if len(months) > 3 else "")
    message = f"The usage records of {named} are archived. {way_out}"
    return UsageFilterRefused([Fault(CODE, field, message)])


def refuse_archived_records(account: Account, period: Period) -> None:
    """Raise UsageFilterRefused if some of the period's records are not there to be listed."""
    months = list_archived_months(account, period)
    if months:
        raise refused_for(
            months, field="from", way_out="Choose later days, or ask for aggregates, which stay as they were."
        )


def archived_in(months: Sequence[date], period: Period) -> tuple[date, ...]:
    """Those of the months in which some of the period lies, oldest first."""
    first, last = month_of(period.start), month_of(period.end - _INSTANT)
    return tuple(month for month in sorted(months) if first <= month <= last)


def refuse_archived_figures(archived: Sequence[date], period: Period, granularity: str) -> None:
    """Raise UsageFilterRefused if some of the records that the figures of a period are made of are archived."""
    months = archived_in(archived, period)
    if not months:
        return
    if granularity == "hour":
        raise refused_for(
            months, field="granularity", way_out="Choose day or month, which stay as they were."
        )
    way_out = "Which windows several series share can only be told from them; choose later days."
    raise refused_for(months, field="from", way_out=way_out)


def answers_without_records(
    reading: Reading, slots: Sequence[Slot], plan: Plan, archived: Sequence[date]
) -> bool:
    """Whether sums answer for every day of a period of which some record may be in one of the archived months.

    Asked for the groups shown and for all series together, since the wholes of a page are read on their own.
    """
    first, end = days_of(tuple(slots), reading.zone)
    for month in archived:
        sealed_first, sealed_last = sealed_days(month, reading.zone)
        if sealed_first >= end or sealed_last < first:
            continue
        for one in (plan, EVERYTHING):
            summed = summed_part(reading, slots, one)
            if summed is None or max(summed.open_first, sealed_first) < min(
                summed.open_end, sealed_last + ONE_DAY
            ):
                return False
    return True
