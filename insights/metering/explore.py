"""One answer about usage: groups and stretches of time with their quantities, made of rows that were read.

Table, chart, CSV and API show these values and compute no others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from insights.metering.aggregations import MeterFacts, adds_up
from insights.metering.completeness import Completeness
from insights.metering.usage_filter import GROUPS_SHOWN, UsageFilter
from insights.metering.windows import Kind, Slot

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class SeriesFacts:
    """One series that the question concerns. `value` is that of the dimension grouped by."""

    id: int
    source_id: int
    window_seconds: int
    value: str | None
    unique: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Which values are shown as groups of their own, and which series go into which group."""

    values: tuple[str | None, ...]
    rest: tuple[str | None, ...]
    names_rest: bool

    @property
    def columns(self) -> int:
        """How many groups are shown."""
        return len(self.values) + (1 if self.names_rest else 0)

    def members(self) -> list[tuple[str | None, ...]]:
        """The values of each group that is shown, in their order."""
        return [*((value,) for value in self.values), *([self.rest] if self.names_rest else [])]


class SlotRow(NamedTuple):
    """What was read for one stretch of time and one group; there are thousands, hence a tuple."""

    slot_no: int
    group_no: int
    value: Decimal | None
    records: int
    is_daily: bool


# The same without names, which takes a third of the time to make.
Row = tuple[int, int, Decimal | None, int, bool]


@dataclass(frozen=True, slots=True)
class PeriodRead:
    """What was read of one period: rows, wholes where parts make none, and totals by value."""

    slots: tuple[Slot, ...]
    rows: tuple[Row, ...]
    wholes: tuple[Row, ...]
    totals: Mapping[str | None, Decimal]


@dataclass(frozen=True, slots=True)
class Group:
    """One dimension value, or the rest. `previous` and `comparable` cover the same complete stretches."""

    value: str | None
    is_rest: bool
    members: int
    total: Decimal
    comparable: Decimal | None
    previous: Decimal | None


class Bucket(NamedTuple):
    """One stretch of time: its quantity, its parts in the order of the groups, and what it says of itself.

    There are thousands, hence a tuple.
    """

    slot: Slot
    kind: Kind
    quantity: Decimal | None
    parts: tuple[Decimal | None, ...]
    records: int
    previous: Decimal | None
    holds_daily_totals: bool


@dataclass(frozen=True, slots=True)
class Exploration:
    """The whole answer. `change` compares complete stretches with the same ones before, if there are any.

    Where a page did not need the parts of every hour, `bar_parts` has those of the bars of its chart.
    """

    filter: UsageFilter
    unit: str
    stacks: bool
    values_found: int
    groups: tuple[Group, ...]
    buckets: tuple[Bucket, ...]
    total: Decimal | None
    comparable: Decimal | None
    previous: Decimal | None
    previous_slots: tuple[Slot, ...]
    completeness: Completeness
    first_used_day: date | None
    has_series: bool
    bar_parts: tuple[tuple[Decimal | None, ...], ...] = ()
    archived: tuple[date, ...] = ()

    @property
    def change(self) -> Decimal | None:
        """By which share of the earlier period usage rose or fell."""
        return change_of(self.comparable, self.previous)

    @property
    def holds_daily_totals(self) -> bool:
        """Whether hours are shown of which some were delivered as whole days."""
        return any(bucket.holds_daily_totals for bucket in self.buckets)


def change_of(current: Decimal | None, previous: Decimal | None) -> Decimal | None:
    """The change as a share of the earlier quantity; without one there is nothing to compare with."""
    if current is None or not previous or previous < 0:
        return None
    return (current - previous) / previous


def plan_groups(meter: MeterFacts, group_by: str, totals: Mapping[str | None, Decimal]) -> Plan:
    """Put the largest values first; the rest is named only where parts add up to a whole."""
    ranked = sorted(totals, key=lambda value: (-totals[value], value or ""))
    # One value more than is shown needs as much room as the words for the rest.
    shown = len(ranked) if len(ranked) <= GROUPS_SHOWN + 1 else GROUPS_SHOWN
    rest = tuple(ranked[shown:])
    return Plan(tuple(ranked[:shown]), rest, names_rest=bool(rest) and adds_up(meter, group_by))


def sum_by_value(rows: Iterable[Row], plan: Plan) -> dict[str | None, Decimal]:
    """Totals of rows that were read for every value on its own."""
    totals: dict[str | None, Decimal] = {}
    for _slot_no, group_no, quantity, _records, _is_daily in rows:
        if quantity is not None:
            value = plan.values[group_no]
            totals[value] = totals.get(value, ZERO) + quantity
    return totals


def regroup(rows: Iterable[Row], every: Plan, plan: Plan) -> tuple[Row, ...]:
    """Put rows of single values into the groups of a plan, adding up what falls into its rest."""
    numbers = {value: number for number, value in enumerate(plan.values)}
    rest = len(plan.values)
    into = [numbers.get(value, rest) for value in every.values]
    regrouped = [(row[0], into[row[1]], row[2], row[3], row[4]) for row in rows]
    shown = [row for row in regrouped if row[1] < rest]
    return (*shown, *put_together(row for row in regrouped if row[1] == rest))


def put_together(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Make one row of all those of a stretch of time and a group, whose quantities add up."""
    together: dict[tuple[int, int], Row] = {}
    for row in rows:
        place = row[:2]
        together[place] = _added(together[place], row) if place in together else row
    return tuple(together.values())


def _added(one: Row, other: Row) -> Row:
    value = (one[2] or ZERO) + (other[2] or ZERO)
    return one[0], one[1], value, one[3] + other[3], one[4] or other[4]


def is_distinct_by_series(series: Iterable[SeriesFacts]) -> bool:
    """Whether no two series of a group share what makes a window distinct, so that their counts add up."""
    seen: set[tuple[str | None, tuple[str | None, ...]]] = set()
    for one in series:
        mark = (one.value, one.unique)
        if mark in seen:
            return False
        seen.add(mark)
    return True


def has_shared_windows(meter: MeterFacts, group_by: str, series: Iterable[SeriesFacts]) -> bool:
    """Whether groups overlap in windows that only the records tell apart."""
    if meter.aggregation != "unique_count" or not group_by or adds_up(meter, group_by):
        return False
    return not is_distinct_by_series(replace(one, value=None) for one in series)


def fold_totals(
    totals: Mapping[int, Decimal | None], series: Iterable[SeriesFacts], aggregation: str
) -> dict[str | None, Decimal]:
    """Totals per series become totals per dimension value."""
    folded: dict[str | None, Decimal] = {}
    for one in series:
        value = totals.get(one.id)
        if value is None:
            continue
        weighted = value * one.window_seconds if aggregation == "time_weighted_sum" else value
        folded[one.value] = folded.get(one.value, ZERO) + weighted
    return folded
