"""Reads usage as it was known at a ledger position: what came since is left out, what went since is put back.

Usage at a position never changes again, so statements of one answer agree although each is a snapshot of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from accounts.models import Account
from accounts.tenancy import connection
from insights.metering import known_sql, usage_sql
from insights.metering.aggregations import adds_over_time, adds_up
from insights.metering.archived_queries import list_archived_months, refused_for
from insights.metering.assemble import Reads, assemble
from insights.metering.completeness import completeness_of
from insights.metering.explore import (
    Exploration,
    PeriodRead,
    Plan,
    SeriesFacts,
    SlotRow,
    is_distinct_by_series,
    plan_groups,
    regroup,
    sum_by_value,
)
from insights.metering.known import as_known, then_or_open
from insights.metering.meter_queries import list_marks
from insights.metering.usage_filter import UsageFilter
from insights.metering.windows import ONE_DAY, Slot, days_of, period_of, slots_before, slots_of
from insights.values.period import Period, start_of_day

WHOLE = Plan(values=(None,), rest=(), names_rest=False)


@dataclass(frozen=True, slots=True)
class RowsBothWays:
    """The same usage by stretches, whose rows have no group, and by groups, whose rows have no stretch.

    `is_current` where nothing that came or went since is of these days, so that it is what is known now too.
    """

    stretches: tuple[SlotRow, ...]
    groups: tuple[SlotRow, ...]
    is_current: bool


@dataclass(frozen=True, slots=True)
class KnownReading:
    """What every statement about one moment needs."""

    account_id: int
    zone: ZoneInfo
    question: UsageFilter
    series: tuple[SeriesFacts, ...]

    @classmethod
    def of(cls, account: Account, question: UsageFilter) -> KnownReading:
        """The question of an account, with the series that it concerns."""
        statement, parameters = usage_sql.series_of(
            account_id=account.pk,
            meter_id=question.meter.id,
            group_by=question.group_by,
            unique_dimensions=question.meter.unique_dimensions,
            values=question.values,
        )
        series = tuple(
            SeriesFacts(series_id, source_id, window_seconds, value, tuple(unique))
            for series_id, source_id, window_seconds, value, unique in rows_of(statement, parameters)
        )
        return cls(account.pk, ZoneInfo(account.billing_zone), question, series)

    @property
    def position(self) -> int:
        """The ledger position."""
        return self.question.known.position if self.question.known else 0

    def parameters(self, slots: tuple[Slot, ...], plan: Plan, *, all_days: bool = False) -> dict[str, Any]:
        """The parameters of the statements: which stretches of time, and which series in which group.

        `all_days` reads also the touched days of which nothing was known.
        """
        first, end = days_of(slots, self.zone)
        numbers = {value: number for number, value in enumerate(plan.values)}
        rest = len(plan.values)
        tuples: dict[tuple[str | None, ...], int] = {}
        grouped = bool(self.question.group_by) and plan is not WHOLE
        return {
            "account": self.account_id,
            "meter": self.question.meter.id,
            "position": self.position,
            "zone": str(self.zone),
            "all_days": all_days,
            "first_day": first,
            "end_day": end,
            "wide_start": datetime.combine(first - ONE_DAY, time(), tzinfo=UTC),
            "wide_end": datetime.combine(end + ONE_DAY, time(), tzinfo=UTC),
            "start": slots[0].start,
            "end": slots[-1].end,
            "slot_days": [slot.day for slot in slots],
            "slot_starts": [slot.start for slot in slots],
            "series": _array(one.id for one in self.series),
            "groups": _array(numbers.get(one.value, rest) if grouped else 0 for one in self.series),
            "seconds": _array(one.window_seconds for one in self.series),
            "tuples": _array(tuples.setdefault(one.unique, len(tuples)) for one in self.series),
        }

    def rows(self, slots: tuple[Slot, ...], plan: Plan, *, by_hour: bool) -> tuple[SlotRow, ...]:
        """Rows of stretches and groups, out of days unless hours are asked for or windows are shared."""
        found, _ = self._read(slots, plan, ways=known_sql.EACH, by_hour=by_hour)
        return tuple(map(SlotRow._make, found))

    def rows_both_ways(self, slots: tuple[Slot, ...], plan: Plan, *, by_hour: bool) -> RowsBothWays:
        """Rows of stretches in all, and of groups over all stretches: for what adds over time and over groups."""
        found, is_current = self._read(slots, plan, ways=known_sql.BOTH_WAYS, by_hour=by_hour)
        return RowsBothWays(
            stretches=tuple(SlotRow._make(row) for row in found if row[1] is None),
            groups=tuple(SlotRow._make(row) for row in found if row[0] is None),
            is_current=is_current,
        )

    def _read(
        self, slots: tuple[Slot, ...], plan: Plan, *, ways: str, by_hour: bool
    ) -> tuple[list[Any], bool]:
        """The rows, and whether they are sure to be those of now too."""
        aggregation = self.question.meter.aggregation
        # Without groups, the windows that two of them share are one window.
        series = self.series if plan is not WHOLE else [replace(one, value=None) for one in self.series]
        parameters, is_current = self.parameters(slots, plan), False
        if by_hour or (aggregation == "unique_count" and not is_distinct_by_series(series)):
            found = rows_of(known_sql.slot_rows_of_known_records(aggregation, ways=ways), parameters)
        else:
            found = rows_of(known_sql.slot_rows_untouched(aggregation, ways=ways), parameters)
            is_current = not (found and found[-1][:2] == (None, None))
            if not is_current:
                found = rows_of(known_sql.slot_rows_known(aggregation, ways=ways), parameters)
        return found, is_current


def _array(numbers: Iterable[int]) -> str:
    """An array of whole numbers as PostgreSQL reads it; the driver takes ten times as long for thousands of them."""
    return f"{{{','.join(map(str, numbers))}}}"


def explore_known(account: Account, question: UsageFilter, now: datetime) -> Exploration:
    """Answer a question as it would have been answered at its position, whose completeness was not kept.

    Raises UsageFilterRefused if some of the period's records are archived.
    """
    reading = KnownReading.of(account, question)
    period = question.period(reading.zone)
    slots = slots_of(period, granularity=question.granularity, zone=reading.zone, now=now)
    marks = completeness_of(
        list_marks(account), source_ids={one.source_id for one in reading.series}, now=now, since=period.start
    )
    plan, current, previous = WHOLE, PeriodRead(slots, (), (), {}), None
    first_day = _first_day(reading) if reading.series else None
    if slots and reading.series:
        plan, current = _read_current(reading, slots)
        previous = _read_previous(reading, slots, plan) if question.compares else None
    _refuse_archived(account, period)
    if previous is not None and list_archived_months(account, period_of(previous.slots)):
        previous = None
    reads = Reads(
        plan=plan,
        current=current,
        previous=previous,
        completeness=then_or_open(marks, question.known),
        first_used_day=first_day,
        first_used_at=start_of_day(first_day, reading.zone) if first_day else None,
        has_series=bool(reading.series),
    )
    return as_known(assemble(question, reads))


def _refuse_archived(account: Account, period: Period) -> None:
    """Told after records were read: a month that is detached in between is then known to be missing."""
    if months := list_archived_months(account, period):
        way_out = "What was known at a moment is told from them; choose later days, or ask what is known now."
        raise refused_for(months, field="from", way_out=way_out)


def _read_current(reading: KnownReading, slots: tuple[Slot, ...]) -> tuple[Plan, PeriodRead]:
    question = reading.question
    if not question.group_by:
        return WHOLE, _read_period(reading, slots, WHOLE, _totals(reading, slots))
    every = _every_value(reading)
    totals: Mapping[str | None, Decimal]
    if adds_over_time(question.meter.aggregation) and len(slots) * len(every.values) <= ROWS_TO_REGROUP_MAX:
        read = _read_period(reading, slots, every, {})
        totals = sum_by_value(read.rows, every)
        plan = plan_groups(question.meter, question.group_by, totals)
        return plan, replace(read, rows=regroup(read.rows, every, plan), totals=totals)
    totals = _totals(reading, slots)
    plan = plan_groups(question.meter, question.group_by, totals)
    return plan, _read_period(reading, slots, plan, totals)


# As many rows as are read in the time that a second look at the touched days takes.
ROWS_TO_REGROUP_MAX = 8_000


def _every_value(reading: KnownReading) -> Plan:
    return Plan(tuple(dict.fromkeys(one.value for one in reading.series)), (), names_rest=False)


def _totals(reading: KnownReading, slots: tuple[Slot, ...]) -> Mapping[str | None, Decimal]:
    """Totals of the whole period by value: to rank by, and where sums of stretches would be wrong."""
    question = reading.question
    if not question.group_by and adds_over_time(question.meter.aggregation):
        return {}
    every = _every_value(reading)
    whole = Slot(slots[0].start, slots[-1].end, slots[0].day)
    return sum_by_value(reading.rows((whole,), every, by_hour=False), every)


def _read_period(
    reading: KnownReading, slots: tuple[Slot, ...], plan: Plan, totals: Mapping[str | None, Decimal]
) -> PeriodRead:
    question = reading.question
    by_hour = question.granularity == "hour"
    rows = reading.rows(slots, plan, by_hour=by_hour)
    wholes: tuple[SlotRow, ...] = ()
    overlaps = question.meter.aggregation == "unique_count" and not adds_up(question.meter, question.group_by)
    if question.group_by and overlaps:
        wholes = reading.rows(slots, WHOLE, by_hour=by_hour)
    return PeriodRead(slots, rows, wholes, totals)


def _read_previous(reading: KnownReading, slots: tuple[Slot, ...], plan: Plan) -> PeriodRead:
    question = reading.question
    earlier = slots_before(
        question.period(reading.zone), granularity=question.granularity, zone=reading.zone, count=len(slots)
    )
    totals = {} if adds_over_time(question.meter.aggregation) else _totals(reading, earlier)
    return _read_period(reading, earlier, plan, totals)


def _first_day(reading: KnownReading) -> date | None:
    parameters = {
        "account": reading.account_id,
        "position": reading.position,
        "zone": str(reading.zone),
        "series": [one.id for one in reading.series],
    }
    [[day]] = rows_of(known_sql.FIRST_DAY_KNOWN, parameters)
    return day


def rows_of(statement: str, parameters: Any) -> list[Any]:
    """Every row of a statement, on the connection of the role in force."""
    with connection().cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()
