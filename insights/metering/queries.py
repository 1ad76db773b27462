"""Reads usage for pages, CSV and API: one question, one answer, few statements.

Every read is of one account, inside that account's transaction, which the database enforces a second time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from zoneinfo import ZoneInfo

from accounts.models import Account
from insights.metering import usage_sql
from insights.metering.aggregations import MeterFacts, adds_over_time, adds_up
from insights.metering.archived_queries import (
    answers_without_records,
    archived_in,
    list_archived_months,
    refuse_archived_figures,
)
from insights.metering.assemble import Reads, assemble
from insights.metering.completeness import completeness_of
from insights.metering.explore import (
    Exploration,
    PeriodRead,
    Plan,
    Row,
    SeriesFacts,
    has_shared_windows,
    is_distinct_by_series,
    plan_groups,
    regroup,
    sum_by_value,
)
from insights.metering.faults import Fault, UsageFilterRefused
from insights.metering.hour_queries import read_hours_of_page
from insights.metering.known_moment_queries import settle_known
from insights.metering.known_queries import explore_known
from insights.metering.meter_queries import list_dimension_values, list_marks, list_meters
from insights.metering.slot_queries import (
    EVERYTHING,
    Reading,
    list_unsummed_days,
    may_be_summed,
    read_slot_rows,
    read_totals,
    run,
)
from insights.metering.usage_filter import COST, Pairs, UsageFilter, meter_name, parse_usage_filter
from insights.metering.windows import Slot, days_of, period_of, slots_before, slots_of
from insights.values.period import Period, start_of_day

# About as many rows as are read and added up in the time that a second look at a long period takes.
ROWS_TO_REGROUP_MAX = 2_000


@dataclass(frozen=True, slots=True)
class Asked:
    """A page's question as it was understood. With faults, `question` is what the page falls back to.

    One about cost has neither faults nor an answer, since usage does not know any.
    """

    meters: tuple[MeterFacts, ...]
    values: Mapping[str, tuple[str, ...]]
    question: UsageFilter | None
    faults: tuple[Fault, ...]
    answer: Exploration | None


def answer_query(
    account: Account, pairs: Pairs, now: datetime, *, also: frozenset[str], shown: range | None = None
) -> Asked:
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
        question = settle_known(account, parse(pairs))
    except UsageFilterRefused as refused:
        named = [
            pair for pair in pairs if pair[0] == "meter" and any(pair[1] == meter_name(m) for m in meters)
        ]
        usable = parse(named[:1])
        return Asked(meters, list_dimension_values(account, usable.meter), usable, refused.faults, None)
    values = list_dimension_values(account, question.meter)
    if question.measure == COST:
        return Asked(meters, values, question, (), None)
    try:
        return Asked(meters, values, question, (), explore(account, question, now, shown=shown))
    except UsageFilterRefused as refused:
        return Asked(meters, values, question, refused.faults, None)


def explore(
    account: Account, question: UsageFilter, now: datetime, *, shown: range | None = None
) -> Exploration:
    """Answer one question in at most fifteen statements, whatever it asks.

    A page that shows some rows alone says which: of many hours in groups, others then have no parts. Raises
    UsageFilterRefused if it takes records to answer and some of them are archived.
    """
    if question.known is not None:
        return explore_known(account, question, now)
    zone = ZoneInfo(account.billing_zone)
    series = _list_series(account, question)
    period = question.period(zone)
    marks = completeness_of(
        list_marks(account), source_ids={one.source_id for one in series}, now=now, since=period.start
    )
    slots = slots_of(period, granularity=question.granularity, zone=zone, now=now)
    reading = Reading(account.pk, zone, question, series, _reads_records(question, series))
    earlier: tuple[Slot, ...] = ()
    if question.compares and slots:
        earlier = slots_before(period, granularity=question.granularity, zone=zone, count=len(slots))
    first_day = _first_day(reading) if series else None
    reads = Reads(
        plan=EVERYTHING,
        current=PeriodRead(slots, (), (), {}),
        previous=None,
        completeness=marks,
        first_used_day=first_day,
        first_used_at=start_of_day(first_day, zone) if first_day else None,
        has_series=bool(series),
    )
    if not (slots and series):
        return assemble(question, reads)
    reading = _with_unsummed_days(reading, (*earlier, *slots))
    is_by_hour = question.granularity == "hour" and bool(question.group_by)
    page = read_hours_of_page(reading, slots, earlier, shown) if shown and is_by_hour else None
    if page is None:
        plan, current = _read_current(reading, slots)
        previous = _read_previous(reading, earlier, plan) if earlier else None
        reads = replace(reads, plan=plan, current=current, previous=previous)
    else:
        reads = replace(
            reads, plan=page.plan, current=page.current, previous=page.previous, some_parts=page.some_parts
        )
    archived = list_archived_months(account, Period((*earlier, *slots)[0].start, period.end))
    answer = assemble(question, _without_archived(reading, reads, earlier, archived))
    return replace(
        answer,
        archived=archived_in(archived, period),
        bar_parts=answer.bar_parts if page is None else page.bar_parts,
    )


def _without_archived(
    reading: Reading, reads: Reads, earlier: tuple[Slot, ...], archived: tuple[date, ...]
) -> Reads:
    """Refuse what is made of archived records, and leave out a comparison with them.

    Told after records were read: a month that is detached in between is then known to be missing.
    """
    if not archived or not _needs_records(reading):
        return reads
    slots = reads.current.slots
    if not answers_without_records(reading, slots, reads.plan, archived):
        refuse_archived_figures(archived, period_of(slots), reading.filter.granularity)
    if earlier and not answers_without_records(reading, earlier, reads.plan, archived):
        return replace(reads, previous=None)
    return reads


def _needs_records(reading: Reading) -> bool:
    """Whether any part of the answer comes from records, be it only the wholes of groups that overlap."""
    question = reading.filter
    return reading.reads_records or has_shared_windows(question.meter, question.group_by, reading.series)


def _with_unsummed_days(reading: Reading, slots: tuple[Slot, ...]) -> Reading:
    if not may_be_summed(reading.filter, reading.series):
        return reading
    first, end = days_of(slots, reading.zone)
    days = list_unsummed_days(reading.account_id, reading.filter.meter.id, first, end)
    return replace(reading, unsummed=days)


def _read_current(reading: Reading, slots: tuple[Slot, ...]) -> tuple[Plan, PeriodRead]:
    """Rows of the period shown, in the groups that are its largest."""
    question = reading.filter
    if not _reads_every_value(reading, slots):
        totals = read_totals(reading, slots)
        plan = plan_groups(question.meter, question.group_by, totals) if question.group_by else EVERYTHING
        return plan, _read_period(reading, slots, plan, totals)
    every = Plan(reading.values(), (), names_rest=False)
    read = _read_period(reading, slots, every, {})
    totals = sum_by_value(read.rows, every)
    plan = plan_groups(question.meter, question.group_by, totals)
    return plan, replace(read, rows=regroup(read.rows, every, plan), totals=totals)


def _reads_every_value(reading: Reading, slots: Sequence[Slot]) -> bool:
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
        for series_id, source_id, window_seconds, value, unique in run(statement, parameters)
    )


def _reads_records(question: UsageFilter, series: Iterable[SeriesFacts]) -> bool:
    """Hours are not in rollups, nor is which windows two series share."""
    if question.granularity == "hour":
        return True
    return question.meter.aggregation == "unique_count" and not is_distinct_by_series(series)


def _read_period(
    reading: Reading, slots: tuple[Slot, ...], plan: Plan, totals: Mapping[str | None, Decimal]
) -> PeriodRead:
    """Rows of one period; where groups overlap, the wholes are counted on their own."""
    question = reading.filter
    rows = read_slot_rows(reading, slots, plan, from_records=reading.reads_records)
    wholes: tuple[Row, ...] = ()
    if (
        question.group_by
        and reading.aggregation == "unique_count"
        and not adds_up(question.meter, question.group_by)
    ):
        # Without the groups, a window that two of them share is one window.
        ungrouped = replace(reading, series=tuple(replace(one, value=None) for one in reading.series))
        from_records = reading.reads_records or not is_distinct_by_series(ungrouped.series)
        wholes = read_slot_rows(ungrouped, slots, EVERYTHING, from_records=from_records)
    return PeriodRead(slots, rows, wholes, totals)


def _read_previous(reading: Reading, earlier: tuple[Slot, ...], plan: Plan) -> PeriodRead:
    totals = {} if adds_over_time(reading.aggregation) else read_totals(reading, earlier)
    return _read_period(reading, earlier, plan, totals)


def _first_day(reading: Reading) -> date | None:
    statement = usage_sql.FIRST_DAY_OF_SERIES if reading.filter.values else usage_sql.FIRST_DAY
    parameters = {
        "account": reading.account_id,
        "meter": reading.filter.meter.id,
        "series": [one.id for one in reading.series],
    }
    [[day]] = run(statement, parameters)
    return day
