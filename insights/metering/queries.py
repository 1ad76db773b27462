"""Reads usage for pages, CSV and API: one question, one answer, few statements.

Every read is of one account, inside that account's transaction, which the database enforces a second time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, tzinfo
from decimal import Decimal
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from accounts.models import Account
from accounts.tenancy import connection
from insights.metering import usage_sql
from insights.metering.aggregations import MeterFacts, adds_over_time, adds_up, needs_seconds
from insights.metering.archived_queries import archived_in, refuse_archived_figures
from insights.metering.assemble import Reads, assemble
from insights.metering.completeness import completeness_of
from insights.metering.explore import (
    Exploration,
    PeriodRead,
    Plan,
    SeriesFacts,
    SlotRow,
    fold_totals,
    has_shared_windows,
    is_distinct_by_series,
    plan_groups,
    regroup,
    sum_by_value,
)
from insights.metering.meter_queries import list_dimension_values, list_marks, list_meters
from insights.metering.usage_filter import (
    Fault,
    Pairs,
    UsageFilter,
    UsageFilterRefused,
    meter_name,
    parse_usage_filter,
)
from insights.metering.windows import Slot, days_of, period_of, slots_before, slots_of
from insights.values.period import start_of_day

# About as many rows as are read in the time that a second look at a long period takes.
ROWS_TO_REGROUP_MAX = 8_000
EVERYTHING = Plan(values=(None,), rest=(), names_rest=False)


@dataclass(frozen=True, slots=True)
class _Reading:
    """What every statement of one exploration needs."""

    account_id: int
    zone: tzinfo
    filter: UsageFilter
    series: tuple[SeriesFacts, ...]
    reads_records: bool

    @property
    def aggregation(self) -> str:
        return self.filter.meter.aggregation

    @property
    def needs_records(self) -> bool:
        """Whether any part of the answer comes from records, be it only the wholes of groups that overlap."""
        return self.reads_records or has_shared_windows(self.filter.meter, self.filter.group_by, self.series)

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
class Asked:
    """A page's question as it was understood. With faults, `question` is what the page falls back to."""

    meters: tuple[MeterFacts, ...]
    values: Mapping[str, tuple[str, ...]]
    question: UsageFilter | None
    faults: tuple[Fault, ...]
    answer: Exploration | None


def answer_query(account: Account, pairs: Pairs, now: datetime, *, also: frozenset[str]) -> Asked:
    """Read a page's query string and answer it; a refused one comes back with its faults and no answer."""
    meters = list_meters(account)
    default = next((meter for meter in meters if meter.has_usage), meters[0] if meters else None)
    if default is None:
        return Asked((), {}, None, (), None)
    zone = ZoneInfo(account.billing_zone)
    parse = partial(
        parse_usage_filter, meters=meters, zone=zone, now=now, default_meter=meter_name(default), also=also
    )
    try:
        question = parse(pairs)
    except UsageFilterRefused as refused:
        named = [
            pair for pair in pairs if pair[0] == "meter" and any(pair[1] == meter_name(m) for m in meters)
        ]
        usable = parse(named[:1])
        return Asked(meters, list_dimension_values(account, usable.meter), usable, refused.faults, None)
    values = list_dimension_values(account, question.meter)
    try:
        return Asked(meters, values, question, (), explore(account, question, now))
    except UsageFilterRefused as refused:
        return Asked(meters, values, question, refused.faults, None)


def explore(account: Account, question: UsageFilter, now: datetime) -> Exploration:
    """Answer one question in at most eight statements, whatever it asks.

    Raises UsageFilterRefused if it takes records to answer and some of them are archived.
    """
    zone = ZoneInfo(account.billing_zone)
    series = _list_series(account, question)
    reading = _Reading(account.pk, zone, question, series, _reads_records(question, series))
    period = question.period(zone)
    marks = completeness_of(
        list_marks(account), source_ids={one.source_id for one in series}, now=now, since=period.start
    )
    slots = slots_of(period, granularity=question.granularity, zone=zone, now=now)
    plan, current, previous = EVERYTHING, PeriodRead(slots, (), (), {}), None
    if slots and series:
        plan, current = _read_current(reading, slots)
        previous = _read_previous(reading, slots, plan) if question.compares else None
    # Told after records were read: a month that is detached in between is then known to be missing.
    first_day, archived = _first_day(reading) if series else (None, ())
    if reading.needs_records and slots:
        refuse_archived_figures(archived, period_of(slots), question.granularity)
        if previous is not None and archived_in(archived, period_of(previous.slots)):
            previous = None
    reads = Reads(
        plan=plan,
        current=current,
        previous=previous,
        completeness=marks,
        first_used_day=first_day,
        first_used_at=start_of_day(first_day, zone) if first_day else None,
        has_series=bool(series),
    )
    return replace(assemble(question, reads), archived=archived_in(archived, period))


def _read_current(reading: _Reading, slots: tuple[Slot, ...]) -> tuple[Plan, PeriodRead]:
    """Rows of the period shown, in the groups that are its largest."""
    question = reading.filter
    if not _reads_every_value(reading, slots):
        totals = _totals_by_value(reading, slots)
        plan = plan_groups(question.meter, question.group_by, totals) if question.group_by else EVERYTHING
        return plan, _read_period(reading, slots, plan, totals)
    every = Plan(reading.values(), (), names_rest=False)
    read = _read_period(reading, slots, every, {})
    totals = sum_by_value(read.rows, every)
    plan = plan_groups(question.meter, question.group_by, totals)
    return plan, replace(read, rows=regroup(read.rows, every, plan), totals=totals)


def _reads_every_value(reading: _Reading, slots: Sequence[Slot]) -> bool:
    """Whether one statement by slot and value is less work than to rank first and then to read the largest."""
    question = reading.filter
    if not question.group_by or not adds_over_time(reading.aggregation):
        return False
    return len(slots) * len(reading.values()) <= ROWS_TO_REGROUP_MAX


def _list_series(account: Account, question: UsageFilter) -> tuple[SeriesFacts, ...]:
    statement, parameters = usage_sql.series_of(
        account_id=account.pk,
        meter_id=question.meter.id,
        group_by=question.group_by,
        unique_dimensions=question.meter.unique_dimensions,
        values=question.values,
    )
    return tuple(
        SeriesFacts(series_id, source_id, window_seconds, value, tuple(unique))
        for series_id, source_id, window_seconds, value, unique in _rows(statement, parameters)
    )


def _reads_records(question: UsageFilter, series: Iterable[SeriesFacts]) -> bool:
    """Hours are not in rollups, nor is which windows two series share."""
    if question.granularity == "hour":
        return True
    return question.meter.aggregation == "unique_count" and not is_distinct_by_series(series)


def _totals_by_value(reading: _Reading, slots: Sequence[Slot]) -> dict[str | None, Decimal]:
    """Totals of the whole period by dimension value: to rank by, and where sums of slots would be wrong."""
    question = reading.filter
    if not question.group_by and adds_over_time(reading.aggregation):
        return {}
    if reading.aggregation == "unique_count" and not is_distinct_by_series(reading.series):
        return _totals_by_records(reading, slots)
    statement = usage_sql.series_totals(reading.aggregation, is_filtered=bool(question.values))
    parameters = {**reading.days(slots), "series": [one.id for one in reading.series]}
    return fold_totals(dict(_rows(statement, parameters)), reading.series, reading.aggregation)


def _totals_by_records(reading: _Reading, slots: Sequence[Slot]) -> dict[str | None, Decimal]:
    values = reading.values()
    whole = Slot(slots[0].start, slots[-1].end, slots[0].day)
    rows = _slot_rows(reading, (whole,), Plan(values, (), names_rest=False), from_records=True)
    return {values[row.group_no]: row.value for row in rows if row.value is not None}


def _read_period(
    reading: _Reading, slots: tuple[Slot, ...], plan: Plan, totals: Mapping[str | None, Decimal]
) -> PeriodRead:
    """Rows of one period; where groups overlap, the wholes are counted on their own."""
    question = reading.filter
    rows = _slot_rows(reading, slots, plan, from_records=reading.reads_records)
    wholes: tuple[SlotRow, ...] = ()
    if (
        question.group_by
        and reading.aggregation == "unique_count"
        and not adds_up(question.meter, question.group_by)
    ):
        # Without the groups, a window that two of them share is one window.
        ungrouped = replace(reading, series=tuple(replace(one, value=None) for one in reading.series))
        from_records = reading.reads_records or not is_distinct_by_series(ungrouped.series)
        wholes = _slot_rows(ungrouped, slots, EVERYTHING, from_records=from_records)
    return PeriodRead(slots, rows, wholes, totals)


def _read_previous(reading: _Reading, slots: tuple[Slot, ...], plan: Plan) -> PeriodRead:
    question = reading.filter
    earlier = slots_before(
        question.period(reading.zone), granularity=question.granularity, zone=reading.zone, count=len(slots)
    )
    totals = {} if adds_over_time(reading.aggregation) else _totals_by_value(reading, earlier)
    return _read_period(reading, earlier, plan, totals)


def _slot_rows(
    reading: _Reading, slots: tuple[Slot, ...], plan: Plan, *, from_records: bool
) -> tuple[SlotRow, ...]:
    statement = _slot_statement(reading, from_records=from_records)
    parameters = {**reading.days(slots), **reading.chosen(plan)}
    return tuple(map(SlotRow._make, _rows(statement, parameters)))


def _slot_statement(reading: _Reading, *, from_records: bool) -> str:
    question, aggregation = reading.filter, reading.aggregation
    if from_records:
        return usage_sql.slot_rows_of_records(aggregation)
    if not adds_over_time(aggregation) or (question.group_by and question.granularity == "month"):
        return usage_sql.slot_rows_of_series(aggregation, is_filtered=bool(question.values))
    is_joined = bool(question.group_by or question.values) or needs_seconds(aggregation)
    return usage_sql.slot_rows_of_rollups(aggregation, is_joined=is_joined)


def _first_day(reading: _Reading) -> tuple[date | None, tuple[date, ...]]:
    """The first day of usage, and the account's archived months."""
    statement = usage_sql.FIRST_DAY_OF_SERIES if reading.filter.values else usage_sql.FIRST_DAY
    parameters = {
        "account": reading.account_id,
        "meter": reading.filter.meter.id,
        "series": [one.id for one in reading.series],
    }
    [[day, archived]] = _rows(statement, parameters)
    return day, tuple(archived or ())


def _rows(statement: str, parameters: Any) -> list[Any]:
    with connection().cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()
