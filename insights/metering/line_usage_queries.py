"""Reads the usage behind one line of a bill, as known at the bill's ledger position: by day, by series and in all.

A line is for some series of one meter in one stretch of time, which may begin or end inside a day. Whole days come from
rollups as far as nothing touched them since, the pieces of days at either end from records. In an account's scope.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import reduce
from itertools import groupby
from typing import NamedTuple
from zoneinfo import ZoneInfo

from insights.metering.aggregations import MeterFacts, adds_over_time, settled
from insights.metering.explore import Plan, SeriesFacts, SlotRow, is_distinct_by_series
from insights.metering.known_moment import KnownAt
from insights.metering.known_queries import WHOLE, KnownReading, rows_of
from insights.metering.usage_filter import UsageFilter
from insights.metering.windows import ONE_DAY, Slot, days_of, period_of
from insights.values.exact import EXACT
from insights.values.period import Period, local_day, split_by_day, start_of_day

ZERO = Decimal(0)
# Above every position that a ledger can reach, so that nothing came since.
NOW = 2**62
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class LineSeries:
    """One series behind a line, with its dimension values; an absent one is not there."""

    facts: SeriesFacts
    dimensions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LineScope:
    """Which usage a line is for: these series of a meter, windows that begin in `service`, days on the zone's clock."""

    account_id: int
    zone: ZoneInfo
    meter: MeterFacts
    service: Period
    series: tuple[LineSeries, ...]

    def within(self, service: Period) -> LineScope:
        """The same series in another stretch."""
        return LineScope(self.account_id, self.zone, self.meter, service, self.series)

    def of(self, series: Sequence[LineSeries]) -> LineScope:
        """Others of the meter's series in the same stretch."""
        return LineScope(self.account_id, self.zone, self.meter, self.service, tuple(series))


class DayUsage(NamedTuple):
    """What was metered in one day or a piece of one, in the meter's unit; None where no record is."""

    slot: Slot
    quantity: Decimal | None
    records: int


@dataclass(frozen=True, slots=True)
class LineUsage:
    """A line's usage by day, by series in the sum's own unit, and in all as billing counts it.

    `is_current` says that what is known now is sure to be the same.
    """

    days: tuple[DayUsage, ...]
    by_series: Mapping[int, tuple[Decimal, int]]
    quantity: Decimal
    records: int
    is_current: bool


_SERIES = """
SELECT s.id, s.source_id, s.window_seconds, s.dimensions::text,
    ARRAY(SELECT s.dimensions ->> k FROM unnest(%(unique)s::text[]) k)
FROM insights_series s WHERE s.account_id = %(account)s AND s.meter_id = %(meter)s ORDER BY s.id
"""


def list_line_series(account_id: int, meter: MeterFacts) -> tuple[LineSeries, ...]:
    """Every series of a meter, with its source and dimension values: what lines choose theirs from."""
    parameters = {"account": account_id, "meter": meter.id, "unique": list(meter.unique_dimensions)}
    return tuple(
        LineSeries(
            SeriesFacts(series_id, source_id, seconds, str(series_id), tuple(unique)), json.loads(text)
        )
        for series_id, source_id, seconds, text, unique in rows_of(_SERIES, parameters)
    )


def read_line_days(scope: LineScope, *, position: int, until: datetime) -> tuple[DayUsage, ...]:
    """The line's usage day by day, oldest first; days that begin at `until` or later are left out."""
    return read_days_of_lines((scope,), position=position, until=until)[0]


def read_days_of_lines(
    scopes: Sequence[LineScope], *, position: int, until: datetime
) -> tuple[tuple[DayUsage, ...], ...]:
    """The same of several lines for one meter and one stretch of time, in as many statements as for one."""
    first = scopes[0]
    slots = tuple(slot for slot in _days(first) if slot.start < until)
    names = tuple(map(str, range(len(scopes))))
    together = replace(
        first,
        series=tuple(
            LineSeries(replace(one.facts, value=name), one.dimensions)
            for name, scope in zip(names, scopes, strict=True)
            for one in scope.series
        ),
    )
    plan = Plan(names, (), names_rest=False)
    found: tuple[dict[Slot, SlotRow], ...] = tuple({} for _ in scopes)
    for piece in _pieces(slots, first.zone):
        for row in _rows(together, piece, plan, position, is_grouped=True):
            found[row.group_no][piece[row.slot_no]] = row
    return tuple(tuple(_as_added(first.meter.aggregation, slots, days)) for days in found)


def read_line_usage(scope: LineScope, *, position: int, until: datetime) -> LineUsage:
    """Read a line's usage by day, by series and in all: at once where its parts add up, and each alone where not.

    Days that begin at `until` or later are left out of the days.
    """
    aggregation = scope.meter.aggregation
    if not adds_over_time(aggregation) or not _distinct(scope):
        quantity, records = read_line_total(scope, position=position)
        return LineUsage(
            days=read_line_days(scope, position=position, until=until),
            by_series=read_line_by_series(scope, position=position),
            quantity=quantity,
            records=records,
            is_current=False,
        )
    slots = _days(scope)
    by_series: dict[int, tuple[Decimal, int]] = {}
    found: dict[Slot, SlotRow] = {}
    is_current = True
    for piece in _pieces(slots, scope.zone) if scope.series else ():
        reading, by_record = _reading(scope, piece, position, is_grouped=True)
        rows = reading.rows_both_ways(piece, _by_series(scope), by_hour=by_record)
        found |= {piece[row.slot_no]: row for row in rows.stretches}
        _add_groups(by_series, scope, rows.groups)
        is_current = is_current and rows.is_current
    raw = reduce(EXACT.add, (row.value for row in found.values() if row.value is not None), ZERO)
    return LineUsage(
        days=tuple(_as_added(aggregation, [slot for slot in slots if slot.start < until], found)),
        by_series=by_series,
        quantity=settled(aggregation, raw),
        records=sum(row.records for row in found.values()),
        is_current=is_current,
    )


def _days(scope: LineScope) -> tuple[Slot, ...]:
    """The days of the service, those at its ends perhaps in part."""
    return tuple(
        Slot(part.start, part.end, local_day(part.start, scope.zone))
        for part in split_by_day(scope.service, scope.zone)
    )


def _as_added(aggregation: str, slots: Sequence[Slot], found: Mapping[Slot, SlotRow]) -> Iterator[DayUsage]:
    """Quantities of days that add to the whole: each is what the whole has more by the day's end than before it.

    What is held over time is rounded when it is shown, and rounding each day alone would not add up.
    """
    before = ZERO
    for slot in slots:
        row = found.get(slot)
        if row is None or row.value is None:
            yield DayUsage(slot, None, 0)
        elif adds_over_time(aggregation):
            after = EXACT.add(before, row.value)
            quantity = EXACT.subtract(settled(aggregation, after), settled(aggregation, before))
            yield DayUsage(slot, quantity, row.records)
            before = after
        else:
            yield DayUsage(slot, row.value, row.records)


def read_line_total(scope: LineScope, *, position: int) -> tuple[Decimal, int]:
    """The line's metered quantity and its number of records, as billing counts them."""
    rows = [row for piece in _whole_pieces(scope) for row in _rows(scope, piece, WHOLE, position)]
    raw = reduce(EXACT.add, (row.value for row in rows if row.value is not None), ZERO)
    return settled(scope.meter.aggregation, raw), sum(row.records for row in rows)


def read_line_by_series(scope: LineScope, *, position: int) -> dict[int, tuple[Decimal, int]]:
    """The line's quantity and number of records by series; quantities add to the line's where the meter adds up.

    In the sum's own unit: quantity times seconds for what is held over time, to be settled after adding.
    """
    totals: dict[int, tuple[Decimal, int]] = {}
    for piece in _whole_pieces(scope):
        _add_groups(totals, scope, _rows(scope, piece, _by_series(scope), position, is_grouped=True))
    return totals


def _by_series(scope: LineScope) -> Plan:
    return Plan(tuple(one.facts.value for one in scope.series), (), names_rest=False)


def _add_groups(totals: dict[int, tuple[Decimal, int]], scope: LineScope, rows: Iterable[SlotRow]) -> None:
    """Add the rows of a piece, one for each series, to what earlier pieces came to."""
    for row in rows:
        number = scope.series[row.group_no].facts.id
        quantity, records = totals.get(number, (ZERO, 0))
        totals[number] = EXACT.add(quantity, row.value or ZERO), records + row.records


def _whole_pieces(scope: LineScope) -> Iterator[tuple[Slot, ...]]:
    """The service as few slots: one, where quantities of its pieces do not add up."""
    if not scope.series:
        return
    whole = Slot(scope.service.start, scope.service.end, local_day(scope.service.start, scope.zone))
    if not adds_over_time(scope.meter.aggregation) or not _distinct(scope):
        yield (whole,)
        return
    for piece in _pieces(_days(scope), scope.zone):
        period = period_of(piece)
        yield (Slot(period.start, period.end, piece[0].day),)


def _pieces(slots: Sequence[Slot], zone: ZoneInfo) -> Iterator[tuple[Slot, ...]]:
    """Slots one after another: whole days together, and each piece of a day by itself."""
    for is_whole, members in groupby(slots, key=lambda slot: _is_whole(slot, zone)):
        if is_whole:
            yield tuple(members)
        else:
            yield from ((slot,) for slot in members)


def _is_whole(slot: Slot, zone: ZoneInfo) -> bool:
    """Whether the slot begins and ends with days of the zone."""
    first, end = days_of((slot,), zone)
    return slot.start == start_of_day(first, zone) and slot.end == start_of_day(end, zone)


def _distinct(scope: LineScope) -> bool:
    is_counted = scope.meter.aggregation == "unique_count"
    return not is_counted or is_distinct_by_series(_alone(scope))


def _alone(scope: LineScope) -> list[SeriesFacts]:
    """The series as if there were no groups."""
    return [SeriesFacts(f.id, f.source_id, f.window_seconds, None, f.unique) for f in _facts(scope)]


def _facts(scope: LineScope) -> Iterator[SeriesFacts]:
    return (one.facts for one in scope.series)


def _rows(
    scope: LineScope, slots: tuple[Slot, ...], plan: Plan, position: int, *, is_grouped: bool = False
) -> tuple[SlotRow, ...]:
    if not scope.series or not slots:
        return ()
    reading, by_record = _reading(scope, slots, position, is_grouped=is_grouped)
    return reading.rows(slots, plan, by_hour=by_record)


def _reading(
    scope: LineScope, slots: tuple[Slot, ...], position: int, *, is_grouped: bool
) -> tuple[KnownReading, bool]:
    """What reads these days, and whether it has to look at records because not all of them are whole."""
    first, end = days_of(slots, scope.zone)
    question = UsageFilter(
        meter=scope.meter,
        preset="",
        first_day=first,
        last_day=end - ONE_DAY,
        granularity="day",
        group_by="series" if is_grouped else "",
        values=(),
        compares=False,
        clock="billing",
        known=KnownAt(asked_position=position, position=position),
    )
    reading = KnownReading(scope.account_id, scope.zone, question, tuple(_facts(scope)))
    return reading, not all(_is_whole(slot, scope.zone) for slot in slots)


def last_instant(service: Period, now: datetime) -> datetime:
    """Up to when a line has usage to show: the end of its service, or now, in UTC."""
    return min(service.end, now.astimezone(UTC) + _INSTANT)
