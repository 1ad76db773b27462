"""Reads three months of hours in groups for a page: the parts of the hours in its table, and of the bars in its chart.

Every part of every hour is what a file or a program gets, and twenty thousand quantities that no page shows. Only sums
over many series answer so; without them the page reads everything.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, tzinfo
from decimal import Decimal

from insights.metering import sum_sql
from insights.metering.aggregations import adds_over_time, adds_up, needs_seconds, settled
from insights.metering.assemble import GroupTotals, SomeParts, sum_known
from insights.metering.coarser import HOURS_A_DAY, hours_together, numbers_together
from insights.metering.explore import PeriodRead, Plan, Row, plan_groups, put_together
from insights.metering.slot_queries import (
    EVERYTHING,
    Reading,
    read_open_rows,
    read_slot_rows,
    read_totals,
    run,
    summed_part,
)
from insights.metering.windows import ONE_DAY, Slot
from insights.values.period import start_of_day

Cells = list[list[Decimal | None]]


@dataclass(frozen=True, slots=True)
class HoursOfPage:
    """What a page shows of one period in hours and groups; `bar_parts` has the groups of each bar in their order."""

    plan: Plan
    current: PeriodRead
    previous: PeriodRead | None
    some_parts: SomeParts
    bar_parts: tuple[tuple[Decimal | None, ...], ...]


def read_hours_of_page(
    reading: Reading, slots: tuple[Slot, ...], earlier: tuple[Slot, ...], shown: range
) -> HoursOfPage | None:
    """Read what a page of these rows needs; None where each hour has a bar, or sums do not answer."""
    question = reading.filter
    reading = _without_begun_day(reading, slots)
    totals = read_totals(reading, slots)
    plan = plan_groups(question.meter, question.group_by, totals)
    hours = hours_together(len(slots), plan.columns)
    if hours == 1 or summed_part(reading, slots, plan) is None:
        return None
    opened = read_open_rows(reading, slots, plan, from_records=True)
    wholes = _wholes(reading, slots, opened)
    numbers = _whole_days(slots, shown)
    rows = read_slot_rows(reading, slots[numbers.start : numbers.stop], plan, from_records=True)
    return HoursOfPage(
        plan=plan,
        current=PeriodRead(slots, tuple((numbers.start + row[0], *row[1:]) for row in rows), wholes, totals),
        previous=PeriodRead(earlier, (), _wholes(reading, earlier), _totals_before(reading, earlier))
        if earlier
        else None,
        some_parts=SomeParts(
            shown,
            lambda complete: _group_totals(
                reading, slots, earlier, plan, totals, complete=complete, opened=opened
            ),
        ),
        bar_parts=_bar_parts(reading, slots, plan, wholes, hours=hours, opened=opened),
    )


def _wholes(
    reading: Reading, slots: tuple[Slot, ...], opened: Sequence[Row] | None = None
) -> tuple[Row, ...]:
    """Hours of all groups together; `opened` are those of each group that no sum answers, where they were read."""
    ungrouped = replace(reading, series=tuple(replace(one, value=None) for one in reading.series))
    # Groups that add up need not be read once more without them.
    adds = opened is not None and adds_up(reading.filter.meter, reading.filter.group_by)
    together = put_together((row[0], 0, *row[2:]) for row in opened or ()) if adds else None
    return read_slot_rows(ungrouped, slots, EVERYTHING, from_records=True, opened=together)


def _totals_before(reading: Reading, earlier: tuple[Slot, ...]) -> dict[str | None, Decimal]:
    return {} if adds_over_time(reading.aggregation) else read_totals(reading, earlier)


def _whole_days(slots: Sequence[Slot], shown: range) -> range:
    """The hours of every day of which an hour is shown."""
    first, last = slots[min(shown.start, len(slots) - 1)].day, slots[min(shown.stop, len(slots)) - 1].day
    return range(
        bisect_left(slots, first, key=lambda slot: slot.day),
        bisect_right(slots, last, key=lambda slot: slot.day),
    )


def _group_totals(
    reading: Reading,
    slots: tuple[Slot, ...],
    earlier: tuple[Slot, ...],
    plan: Plan,
    totals: dict[str | None, Decimal],
    *,
    complete: int,
    opened: Sequence[Row],
) -> GroupTotals:
    if not adds_over_time(reading.aggregation):
        total = [sum_known(map(totals.get, values)) for values in plan.members()]
        before = _totals_before(reading, earlier) if earlier else {}
        return GroupTotals(total, total, [sum_known(map(before.get, values)) for values in plan.members()])
    total = _until(reading, slots, plan, len(slots), opened=opened)
    comparable = total if complete >= len(slots) else _until(reading, slots, plan, complete, opened=opened)
    return GroupTotals(total, comparable, _until(reading, earlier, plan, complete))


def _until(
    reading: Reading,
    slots: tuple[Slot, ...],
    plan: Plan,
    count: int,
    *,
    opened: Sequence[Row] | None = None,
) -> list[Decimal | None]:
    """What each group comes to in the first hours of a period: whole days first, then the hours of the day begun.

    `opened` are the hours that no sum answers, where they were read.
    """
    count = min(count, len(slots))
    midnight = _begun_day(slots, count, reading.zone)
    totals = read_totals(reading, slots[:midnight]) if midnight else {}
    found = [[sum_known(map(totals.get, values))] for values in plan.members()]
    if midnight < count:
        for number, group, quantity, *_ in _hours_of_day(reading, slots, plan, midnight, opened):
            if midnight <= number < count and group < len(found):
                found[group].append(quantity)
    return [sum_known(quantities) for quantities in found]


def _hours_of_day(
    reading: Reading, slots: tuple[Slot, ...], plan: Plan, midnight: int, opened: Sequence[Row] | None
) -> Sequence[Row]:
    """The hours of the day that begins at a place among the hours of a period, by their places in it."""
    summed = summed_part(reading, slots, plan)
    if opened is not None and summed and summed.open_first <= slots[midnight].day < summed.open_end:
        return opened
    of_day = _whole_days(slots, range(midnight, midnight + 1))
    rows = read_slot_rows(reading, slots[of_day.start : of_day.stop], plan, from_records=True)
    return [(midnight + row[0], *row[1:]) for row in rows]


def _begun_day(slots: tuple[Slot, ...], count: int, zone: tzinfo) -> int:
    """Where the day begins that is not whole among the first hours, or their number if every day is."""
    if count == 0 or slots[count - 1].end == start_of_day(slots[count - 1].day + ONE_DAY, zone):
        return count
    return bisect_left(slots, slots[count - 1].day, key=lambda slot: slot.day)


def _without_begun_day(reading: Reading, slots: tuple[Slot, ...]) -> Reading:
    """Let a last day that is not whole be read hour by hour: its sums may hold windows that lie ahead of now."""
    if reading.unsummed is None or _begun_day(slots, len(slots), reading.zone) == len(slots):
        return reading
    return replace(reading, unsummed=tuple(sorted({*reading.unsummed, slots[-1].day})))


def _bar_parts(
    reading: Reading,
    slots: tuple[Slot, ...],
    plan: Plan,
    wholes: Sequence[Row],
    *,
    hours: int,
    opened: Sequence[Row],
) -> tuple[tuple[Decimal | None, ...], ...]:
    """The groups of each bar; the rest of a bar is what the others leave of it."""
    firsts = [first for first, _ in numbers_together(slots, hours)]
    parts: Cells = [[None] * plan.columns for _ in firsts]
    adds = adds_over_time(reading.aggregation)
    bars_of_days: dict[date, int] = {}
    for bar, first in enumerate(firsts):
        bars_of_days.setdefault(slots[first].day, bar)
    groups = {value or "": group for group, value in enumerate(plan.values)}
    for day, bar, value, quantity in _summed_bars(reading, slots, plan, hours=hours):
        parts[bars_of_days[day] + bar][groups[value]] = quantity
    for number, group, added, _records, _daily in opened:
        if group < len(plan.values):
            row = parts[bisect_right(firsts, number) - 1]
            known = [one for one in (row[group], added) if one is not None]
            row[group] = sum_known(known) if adds else max(known, default=None)
    if plan.names_rest:
        _add_rest(parts, firsts, wholes)
    if not needs_seconds(reading.aggregation):
        return tuple(map(tuple, parts))
    return tuple(
        tuple(None if part is None else settled(reading.aggregation, part) for part in row) for row in parts
    )


def _add_rest(parts: Cells, firsts: Sequence[int], wholes: Sequence[Row]) -> None:
    of_bars: list[list[Decimal | None]] = [[] for _ in parts]
    for number, _group, quantity, _records, _daily in wholes:
        of_bars[bisect_right(firsts, number) - 1].append(quantity)
    for row, of_bar in zip(parts, of_bars, strict=True):
        whole, shown = sum_known(of_bar), sum_known(row)
        row[-1] = whole if shown is None or whole is None else (whole - shown) or None


def _summed_bars(
    reading: Reading, slots: tuple[Slot, ...], plan: Plan, *, hours: int
) -> list[tuple[date, int, str, Decimal]]:
    summed = summed_part(reading, slots, plan)
    if summed is None:
        return []
    parameters = summed.parameters(reading) | {
        "only": [value or "" for value in plan.values],
        "hours": hours,
        "last_bar": HOURS_A_DAY // hours - 1,
    }
    return run(sum_sql.bar_rows("sum" if adds_over_time(reading.aggregation) else "max"), parameters)
