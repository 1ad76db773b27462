"""Sums days over all series of a meter, so that a page's work does not grow with their number.

Runs behind ingest, as the worker. A chunk names every day that it changes, in its own transaction; the sums of a named
day count for nothing until they are made anew from the records, by the statement that answers a page without them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from accounts.tenancy import connection
from insights.ingest.archive_operations import HOLD_OFF
from insights.metering import usage_sql
from insights.metering.aggregations import adds_over_time
from insights.metering.seals import is_sealed_day
from insights.metering.windows import ONE_DAY, Slot, slots_of
from insights.models import Meter, WorkItem, WorkState
from insights.values.period import period_of_days

# Fewer are read as quickly one by one.
SERIES_MIN = 10
# Whoever writes to a day waits while it is summed.
SERIES_DAYS_AT_ONCE = 2_000
ALL_SERIES = ""


@dataclass(frozen=True, slots=True)
class DaysToSum:
    """Some days of one meter of an account, in order."""

    account_id: int
    meter_id: int
    zone: str
    days: tuple[date, ...]


_TO_SUM = f"""
    SELECT p.account_id, p.meter_id, a.billing_zone, d.days
    FROM (
        SELECT account_id, meter_id, count(*) AS series FROM insights_series
        GROUP BY 1, 2 HAVING count(*) >= %(series_min)s
    ) p JOIN accounts_account a ON a.id = p.account_id
    CROSS JOIN LATERAL (
        SELECT array_agg(named.day ORDER BY named.day) AS days FROM (
            SELECT DISTINCT u.day FROM insights_unsummedday u
            WHERE u.account_id = p.account_id AND u.meter_id = p.meter_id
              AND NOT {is_sealed_day("u.day", zone="a.billing_zone")}
            ORDER BY u.day DESC LIMIT greatest(1, %(series_days)s / p.series)
        ) named
    ) d
    WHERE d.days IS NOT NULL ORDER BY 1, 2
"""
# Two who sum the same day would each write its sums.
_ALONE = "SELECT pg_advisory_xact_lock(hashtextextended(format('sum days of %%s, %%s', %(account)s, %(meter)s), 0))"
# The records of a sealed day are no longer there to be summed.
_TAKE_DAYS = f"""
    DELETE FROM insights_unsummedday u USING (
        SELECT d.account_id, d.id FROM insights_unsummedday d JOIN accounts_account a ON a.id = d.account_id
        WHERE d.account_id = %(account)s AND d.meter_id = %(meter)s AND d.day = ANY(%(days)s)
          AND NOT {is_sealed_day("d.day", zone="a.billing_zone")}
        ORDER BY d.day, d.id FOR UPDATE OF d SKIP LOCKED
    ) taken
    WHERE u.account_id = taken.account_id AND u.id = taken.id
    RETURNING u.day
"""
_FORGET = """
    DELETE FROM insights_usagesum WHERE account_id = %(account)s AND meter_id = %(meter)s AND day = ANY(%(days)s)
"""
_KEEP = """
    INSERT INTO insights_usagesum (account_id, meter_id, key, day, value, quantity, records, hours, hour_quantities,
        hour_records)
    SELECT %(account)s, %(meter)s, %(key)s, s.day, v.value, sum(h.value), sum(h.records),
        array_agg(s.hour ORDER BY s.hour), array_agg(h.value ORDER BY s.hour),
        array_agg(h.records::integer ORDER BY s.hour)
    FROM ({rows}) AS h (slot_no, group_no, value, records, is_daily)
    JOIN unnest(%(of_days)s::date[], %(of_hours)s::smallint[]) WITH ORDINALITY AS s (day, hour, no)
        ON s.no = h.slot_no + 1
    JOIN unnest(%(values)s::text[]) WITH ORDINALITY AS v (value, no) ON v.no = h.group_no + 1
    GROUP BY s.day, v.value ORDER BY s.day, v.value
"""
# A peak or a latest value of a day is not the sum of those of its hours.
_CORRECT_DAYS = """
    UPDATE insights_usagesum u SET quantity = d.value
    FROM ({rows}) AS d (slot_no, group_no, value, records, is_daily)
    JOIN unnest(%(of_days)s::date[]) WITH ORDINALITY AS s (day, no) ON s.no = d.slot_no + 1
    JOIN unnest(%(values)s::text[]) WITH ORDINALITY AS v (value, no) ON v.no = d.group_no + 1
    WHERE u.account_id = %(account)s AND u.meter_id = %(meter)s AND u.key = %(key)s AND u.day = s.day
      AND u.value = v.value
"""


def list_days_to_sum(*, series_min: int = SERIES_MIN) -> tuple[DaysToSum, ...]:
    """Return for each meter of many series the newest of its days that are to be summed."""
    parameters = {"series_min": series_min, "series_days": SERIES_DAYS_AT_ONCE}
    with connection().cursor() as cursor:
        cursor.execute(_TO_SUM, parameters)
        return tuple(
            DaysToSum(account, meter, zone, tuple(days)) for account, meter, zone, days in cursor.fetchall()
        )


def is_ingest_busy() -> bool:
    """Whether batches wait or are being read, before which sums step back."""
    return WorkItem.objects.filter(state__in=[WorkState.WAITING, WorkState.LEASED]).exists()


def sum_days(wanted: DaysToSum) -> int:
    """Sum the days that no other transaction is at; return how many. Inside the caller's transaction.

    The names of the days are taken away first: that waits for no writer, and one who comes later names them again.
    """
    parameters = {"account": wanted.account_id, "meter": wanted.meter_id}
    with connection().cursor() as cursor:
        cursor.execute(HOLD_OFF)
        cursor.execute(_ALONE, parameters)
        cursor.execute(_TAKE_DAYS, parameters | {"days": list(wanted.days)})
        days = sorted({day for (day,) in cursor.fetchall()})
        cursor.execute(_FORGET, parameters | {"days": days})
    meter = Meter.objects.get(pk=wanted.meter_id)
    zone = ZoneInfo(wanted.zone)
    for run in _runs(days):
        hours = _hours_of(run, zone)
        for key in (ALL_SERIES, *meter.dimensions):
            _keep_sums(wanted, meter, key, hours)
    return len(days)


def _runs(days: Sequence[date]) -> Iterator[tuple[date, ...]]:
    """Days that follow each other: their records are neighbours."""
    run: list[date] = []
    for day in days:
        if run and day != run[-1] + ONE_DAY:
            yield tuple(run)
            run = []
        run.append(day)
    if run:
        yield tuple(run)


def _hours_of(run: Sequence[date], zone: ZoneInfo) -> tuple[Slot, ...]:
    period = period_of_days(run[0], run[-1] + ONE_DAY, zone)
    return slots_of(period, granularity="hour", zone=zone, now=period.end)


def _keep_sums(wanted: DaysToSum, meter: Meter, key: str, hours: Sequence[Slot]) -> None:
    """Write the sums of one dimension's values, or of all series, for days that follow each other."""
    firsts: dict[date, int] = {}
    for number, hour in enumerate(hours):
        firsts.setdefault(hour.day, number)
    rows = usage_sql.slot_rows_of_records(meter.aggregation)
    parameters = _of_series(wanted, meter, key) | {
        "account": wanted.account_id,
        "meter": wanted.meter_id,
        "key": key,
        "start": hours[0].start,
        "end": hours[-1].end,
    }
    by_hour = {
        "slot_starts": [hour.start for hour in hours],
        "of_days": [hour.day for hour in hours],
        "of_hours": [number - firsts[hour.day] for number, hour in enumerate(hours)],
    }
    by_day = {"slot_starts": [hours[number].start for number in firsts.values()], "of_days": list(firsts)}
    with connection().cursor() as cursor:
        cursor.execute(_KEEP.format(rows=rows), parameters | by_hour)
        if not adds_over_time(meter.aggregation):
            cursor.execute(_CORRECT_DAYS.format(rows=rows), parameters | by_day)


def _of_series(wanted: DaysToSum, meter: Meter, key: str) -> dict[str, Any]:
    """The parameters that say which series there are, and which value each has."""
    statement, parameters = usage_sql.series_of(
        account_id=wanted.account_id,
        meter_id=wanted.meter_id,
        group_by=key,
        unique_dimensions=tuple(meter.unique_dimensions),
        values=(),
    )
    with connection().cursor() as cursor:
        cursor.execute(statement, parameters)
        series = cursor.fetchall()
    values = sorted({value or "" for _, _, _, value, _ in series})
    tuples: dict[tuple[str | None, ...], int] = {}
    return {
        "values": values,
        "series": [series_id for series_id, *_ in series],
        "groups": [values.index(value or "") for _, _, _, value, _ in series],
        "seconds": [seconds for _, _, seconds, _, _ in series],
        "tuples": [tuples.setdefault(tuple(unique), len(tuples)) for *_, unique in series],
    }
