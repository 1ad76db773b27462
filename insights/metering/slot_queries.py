"""Reads the rows of one period: from sums over many series where they are right, else from rollups and records.

Days that are not summed yet lie together, as a rule the last ones. They are read series by series, and the rest of the
period from sums; a question that sums cannot answer is read series by series as a whole.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta, tzinfo
from decimal import Decimal
from operator import itemgetter
from typing import Any

from accounts.tenancy import connection
from insights.metering import sum_sql, usage_sql
from insights.metering.aggregations import adds_over_time, adds_up, needs_seconds
from insights.metering.explore import (
    ZERO,
    Plan,
    Row,
    SeriesFacts,
    fold_totals,
    is_distinct_by_series,
    put_together,
)
from insights.metering.usage_filter import UsageFilter
from insights.metering.windows import ONE_DAY, Slot, days_of, slots_of
from insights.values.period import period_of_days

EVERYTHING = Plan(values=(None,), rest=(), names_rest=False)
_HOUR_SECONDS = 3600
_INSTANT = timedelta(microseconds=1)
Totals = dict[str | None, Decimal]


@dataclass(frozen=True, slots=True)
class Reading:
    """What every statement of one exploration needs. `unsummed` is None where sums cannot answer."""

    account_id: int
    zone: tzinfo
    filter: UsageFilter
    series: tuple[SeriesFacts, ...]
    reads_records: bool
    unsummed: tuple[date, ...] | None = None

    @property
    def aggregation(self) -> str:
        return self.filter.meter.aggregation

    def days(self, slots: Sequence[Slot]) -> dict[str, Any]:
        """The parameters that say which rollups."""
        first, end = days_of(tuple(slots), self.zone)
        return {
            "account": self.account_id,
            "meter": self.filter.meter.id,
            "first_day": first,
            "end_day": end,
            "slot_days": [slot.day for slot in slots],
            "slot_end_days": [days_of((slot,), self.zone)[1] for slot in slots],
            "slot_starts": [slot.start for slot in slots],
            "start": slots[0].start,
            "end": slots[-1].end,
        }

    def values(self) -> tuple[str | None, ...]:
        """Every value of the dimension grouped by."""
        return tuple(dict.fromkeys(one.value for one in self.series))

    def chosen(self, plan: Plan) -> dict[str, list[Any]]:
        """The parameters that say which series goes into which group."""
        numbers = {value: number for number, value in enumerate(plan.values)}
        rest = len(plan.values)
        tuples: dict[tuple[str | None, ...], int] = {}
        grouped = bool(self.filter.group_by) and plan is not EVERYTHING
        return {
            "series": [one.id for one in self.series],
            "groups": [numbers.get(one.value, rest) if grouped else 0 for one in self.series],
            "seconds": [one.window_seconds for one in self.series],
            "tuples": [tuples.setdefault(one.unique, len(tuples)) for one in self.series],
        }


@dataclass(frozen=True, slots=True)
class Summed:
    """The part of a period that sums answer: all of it but the stretch from `open_first` to before `open_end`."""

    first: date
    end: date
    open_first: date
    open_end: date
    key: str
    only: tuple[str, ...] | None

    def parameters(self, reading: Reading) -> dict[str, Any]:
        return {
            "account": reading.account_id,
            "meter": reading.filter.meter.id,
            "first_day": self.first,
            "end_day": self.end,
            "open_first": self.open_first,
            "open_end": self.open_end,
            "key": self.key,
            "only": list(self.only or ()),
        }


def may_be_summed(question: UsageFilter, series: Iterable[SeriesFacts]) -> bool:
    """Whether sums can answer a question at all, however it is grouped."""
    if question.granularity == "month" and not adds_over_time(question.meter.aggregation):
        return False
    if len(question.values) > 1 or (
        question.group_by and any(key != question.group_by for key, _ in question.values)
    ):
        return False
    # Which hours hold the total of a whole day is told by the series.
    return question.granularity != "hour" or all(one.window_seconds <= _HOUR_SECONDS for one in series)


def list_unsummed_days(account_id: int, meter_id: int, first: date, end: date) -> tuple[date, ...]:
    """Return the days from first to before end whose sums are not to be used."""
    parameters = {"account": account_id, "meter": meter_id, "first_day": first, "end_day": end}
    return tuple(day for (day,) in run(sum_sql.UNSUMMED_DAYS, parameters))


def summed_part(reading: Reading, slots: Sequence[Slot], plan: Plan) -> Summed | None:
    """Which days sums answer, or None where the stretch that is not summed is most of the period."""
    question = reading.filter
    if reading.unsummed is None:
        return None
    is_whole = plan is EVERYTHING or not question.group_by
    [key, only] = question.values[0] if question.values else ("" if is_whole else question.group_by, None)
    if is_whole and only and not adds_up(question.meter, key) and adds_over_time(reading.aggregation):
        # Two values of a dimension may share a window, which then is one.
        return None
    first, end = days_of(tuple(slots), reading.zone)
    missing = [day for day in reading.unsummed if first <= day < end]
    open_first, open_end = (missing[0], missing[-1] + ONE_DAY) if missing else (end, end)
    if 2 * (open_end - open_first) >= end - first:
        return None
    return Summed(first, end, open_first, open_end, key, only)


def read_slot_rows(
    reading: Reading,
    slots: tuple[Slot, ...],
    plan: Plan,
    *,
    from_records: bool,
    opened: tuple[Row, ...] | None = None,
) -> tuple[Row, ...]:
    """Read rows by slot and group; a slot and group has one row, or none where nothing was recorded.

    `opened` are those of `read_open_rows` where they are known already.
    """
    summed = summed_part(reading, slots, plan)
    if summed is None:
        return _rows_of_series(reading, slots, plan, from_records=from_records)
    read = _summed_months if reading.filter.granularity == "month" else _summed_values
    if opened is None:
        opened = read_open_rows(reading, slots, plan, from_records=from_records)
    rows = read(reading, slots, plan, summed) + opened
    # Neither several values in one group nor days of one month are one row yet.
    are_single = summed.only is None and reading.filter.granularity != "month"
    return rows if are_single else put_together(rows)


def read_open_rows(
    reading: Reading, slots: tuple[Slot, ...], plan: Plan, *, from_records: bool
) -> tuple[Row, ...]:
    """Read the part of a period that sums do not answer; of a month, a row for each of its days."""
    summed = summed_part(reading, slots, plan)
    if summed is None or summed.open_first == summed.open_end:
        return ()
    period = period_of_days(summed.open_first, summed.open_end, reading.zone)
    granularity = "hour" if reading.filter.granularity == "hour" else "day"
    parts = slots_of(period, granularity=granularity, zone=reading.zone, now=slots[-1].end - _INSTANT)
    starts = [slot.start for slot in slots]
    numbers = [bisect_right(starts, part.start) - 1 for part in parts]
    found = _rows_of_series(reading, parts, plan, from_records=from_records) if parts else ()
    return tuple((numbers[no], group, value, records, daily) for no, group, value, records, daily in found)


def _rows_of_series(
    reading: Reading, slots: tuple[Slot, ...], plan: Plan, *, from_records: bool
) -> tuple[Row, ...]:
    statement = _slot_statement(reading, from_records=from_records)
    return tuple(run(statement, {**reading.days(slots), **reading.chosen(plan)}))


def _slot_statement(reading: Reading, *, from_records: bool) -> str:
    question, aggregation = reading.filter, reading.aggregation
    if from_records:
        return usage_sql.slot_rows_of_records(aggregation)
    if not adds_over_time(aggregation) or (question.group_by and question.granularity == "month"):
        return usage_sql.slot_rows_of_series(aggregation, is_filtered=bool(question.values))
    is_joined = bool(question.group_by or question.values) or needs_seconds(aggregation)
    return usage_sql.slot_rows_of_rollups(aggregation, is_joined=is_joined)


def _summed_months(reading: Reading, slots: Sequence[Slot], plan: Plan, summed: Summed) -> tuple[Row, ...]:
    is_grouped = plan is not EVERYTHING and bool(reading.filter.group_by)
    parameters = summed.parameters(reading) | {
        "slot_days": [slot.day for slot in slots],
        "values": [value or "" for value in plan.values],
        "numbers": list(range(len(plan.values))),
        "rest": len(plan.values),
    }
    statement = sum_sql.month_rows(is_grouped=is_grouped, is_filtered=summed.only is not None)
    return tuple(
        (no, group, quantity, records, False) for no, group, quantity, records in run(statement, parameters)
    )


def _summed_values(reading: Reading, slots: Sequence[Slot], plan: Plan, summed: Summed) -> tuple[Row, ...]:
    """Days or hours of the values shown; what is in no group is what these leave of all series together."""
    is_grouped = plan is not EVERYTHING and bool(reading.filter.group_by)
    shown = [value or "" for value in plan.values] if is_grouped else [""]
    has_whole = is_grouped and summed.only is None and bool(plan.rest)
    by_hour = reading.filter.granularity == "hour"
    statement = (sum_sql.hour_rows if by_hour else sum_sql.day_rows)(has_whole=has_whole)
    found = run(statement, summed.parameters(reading) | {"only": list(summed.only or shown)})
    groups = {value: number for number, value in enumerate(shown)} if is_grouped else {}
    rest = len(shown) if is_grouped else 0
    # Backwards, so that the first hour of a day stays.
    firsts = {slots[number].day: number for number in range(len(slots) - 1, -1, -1)}
    rows: list[Row] = []
    whole: list[Row] = []
    for is_whole, day, value, *told in found:
        first, group, into = firsts[day], groups.get(value, rest), whole if is_whole else rows
        if by_hour:
            into += [(first + hour, group, q, n, False) for hour, q, n in zip(*told, strict=True)]
        else:
            into.append((first, group, told[0], told[1], False))
    if has_whole:
        rows += _left_of(whole, rows, rest)
    # A day before may be shown only up to the hour that today has come to.
    count = len(slots)
    if rows and max(map(itemgetter(0), rows)) >= count:
        return tuple([row for row in rows if row[0] < count])
    return tuple(rows)


def _left_of(whole: Sequence[Row], rows: Sequence[Row], group: int) -> list[Row]:
    quantities = {row[0]: row[2] or ZERO for row in whole}
    records = {row[0]: row[3] for row in whole}
    for number, _group, quantity, count, _daily in rows:
        quantities[number] -= quantity or ZERO
        records[number] -= count
    return [(number, group, quantities[number], count, False) for number, count in records.items() if count]


def read_totals(reading: Reading, slots: tuple[Slot, ...]) -> Totals:
    """Totals of the whole period by dimension value: to rank by, and where sums of slots would be wrong."""
    question = reading.filter
    if not question.group_by and adds_over_time(reading.aggregation):
        return {}
    by_value = replace(EVERYTHING, values=reading.values())
    summed = summed_part(reading, slots, by_value) if adds_over_time(reading.aggregation) else None
    if summed is None:
        return _totals_of_series(reading, slots)
    statement = sum_sql.value_totals(is_filtered=summed.only is not None)
    totals: Totals = {value or None: total for value, total in run(statement, summed.parameters(reading))}
    if summed.open_first < summed.open_end:
        period = period_of_days(summed.open_first, summed.open_end, reading.zone)
        parts = slots_of(period, granularity="day", zone=reading.zone, now=slots[-1].end - _INSTANT)
        for value, total in _totals_of_series(reading, parts).items() if parts else ():
            totals[value] = totals.get(value, ZERO) + total
    return totals


def _totals_of_series(reading: Reading, slots: tuple[Slot, ...]) -> Totals:
    if reading.aggregation == "unique_count" and not is_distinct_by_series(reading.series):
        values = reading.values()
        whole = Slot(slots[0].start, slots[-1].end, slots[0].day)
        rows = _rows_of_series(reading, (whole,), Plan(values, (), names_rest=False), from_records=True)
        return {values[group]: value for _, group, value, _, _ in rows if value is not None}
    statement = usage_sql.series_totals(reading.aggregation, is_filtered=bool(reading.filter.values))
    found = run(statement, {**reading.days(slots), "series": [one.id for one in reading.series]})
    return fold_totals(dict(found), reading.series, reading.aggregation)


def run(statement: str, parameters: Any) -> list[Any]:
    """Run a statement of the account's transaction and return its rows."""
    with connection().cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()
