"""Makes the answer out of the rows that were read: adds, compares and says what is complete."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import partial

from insights.metering.aggregations import adds_over_time, adds_up, needs_seconds, settled, unit_of
from insights.metering.completeness import Completeness
from insights.metering.explore import ZERO, Bucket, Exploration, Group, PeriodRead, Plan
from insights.metering.usage_filter import UsageFilter
from insights.metering.windows import Kind, Slot, kind_of

Cells = list[list[Decimal | None]]


@dataclass(frozen=True, slots=True)
class GroupTotals:
    """What each group of the plan comes to: in all, in the stretches compared, and in those before."""

    total: Sequence[Decimal | None]
    comparable: Sequence[Decimal | None]
    previous: Sequence[Decimal | None]


@dataclass(frozen=True, slots=True)
class SomeParts:
    """Of which stretches the parts were read, and what the groups come to when so many from the first are compared."""

    numbers: range
    totals: Callable[[int], GroupTotals]


@dataclass(frozen=True, slots=True)
class Reads:
    """Everything one exploration read; the parts of every stretch unless `some_parts` says of which."""

    plan: Plan
    current: PeriodRead
    previous: PeriodRead | None
    completeness: Completeness
    first_used_day: date | None
    first_used_at: datetime | None
    has_series: bool
    some_parts: SomeParts | None = None


def assemble(question: UsageFilter, reads: Reads) -> Exploration:
    """Put the answer together; quantities stay raw until the last step, so that nothing is rounded twice."""
    aggregation = question.meter.aggregation
    parts = _part_table(reads.current, reads.plan)
    wholes = _wholes(question, reads.current, parts)
    records = _records(reads.current)
    kinds = _kinds(reads, wholes, records)
    complete = _complete_count(kinds, reads)
    previous = _Previous.of(question, reads, complete=complete)
    is_sum = adds_over_time(aggregation)
    total = sum_known(wholes) if is_sum else sum_known(reads.current.totals.values())
    return Exploration(
        filter=question,
        unit=unit_of(question.meter),
        stacks=not question.group_by or adds_up(question.meter, question.group_by),
        values_found=len(reads.plan.values) + len(reads.plan.rest),
        groups=_groups(question, reads, parts, previous, complete=complete),
        buckets=_buckets(question, reads, kinds, wholes, parts, records, previous),
        total=_shown(aggregation, total),
        comparable=_shown(aggregation, sum_known(wholes[:complete]) if is_sum else total),
        previous=_shown(aggregation, previous.total),
        previous_slots=previous.slots,
        completeness=reads.completeness,
        first_used_day=reads.first_used_day,
        has_series=reads.has_series,
    )


def _buckets(
    question: UsageFilter,
    reads: Reads,
    kinds: Sequence[Kind],
    wholes: Sequence[Decimal | None],
    parts: Cells,
    records: Sequence[int],
    previous: _Previous,
) -> tuple[Bucket, ...]:
    """Put the columns together; thousands of rows take a third of the time that way."""
    slots, count = reads.current.slots, len(wholes)
    before = [*previous.wholes[:count], *[None] * (count - len(previous.wholes))]
    shown_parts: list[tuple[Decimal | None, ...]] = [()] * count
    if question.group_by:
        for number in _numbers_shown(reads, count):
            shown_parts[number] = tuple(parts[number][: reads.plan.columns])
    daily = [False] * count
    if question.granularity == "hour":
        for row in reads.current.rows:
            daily[row[0]] |= row[4]
    if needs_seconds(question.meter.aggregation):
        shown = partial(_shown, question.meter.aggregation)
        wholes, before = list(map(shown, wholes)), list(map(shown, before))
        shown_parts = [tuple(map(shown, row)) for row in shown_parts]
    told = zip(slots, kinds, wholes, shown_parts, records, before, daily, strict=True)
    return tuple(map(Bucket._make, told))


def _numbers_shown(reads: Reads, count: int) -> range:
    """The stretches whose parts were read."""
    if reads.some_parts is None:
        return range(count)
    return range(count)[reads.some_parts.numbers.start : reads.some_parts.numbers.stop]


@dataclass(frozen=True, slots=True)
class _Previous:
    """The period compared with, cut to the stretches that are complete in the one shown."""

    slots: tuple[Slot, ...]
    parts: Cells
    wholes: list[Decimal | None]
    totals: Mapping[str | None, Decimal]
    total: Decimal | None
    complete: int
    is_measure: bool

    @classmethod
    def of(cls, question: UsageFilter, reads: Reads, *, complete: int) -> _Previous:
        """What there is to compare with; nothing when nothing was asked for."""
        read = reads.previous
        if read is None or not read.slots:
            return cls((), [], [], {}, None, 0, is_measure=False)
        parts = _part_table(read, reads.plan)
        wholes = _wholes(question, read, parts)
        if reads.first_used_at is None or read.slots[0].start < reads.first_used_at:
            # A stretch in which usage only began is no measure of a change, nor is a period that holds one.
            kept = [
                whole if _is_in_use(slot, reads) else None
                for slot, whole in zip(read.slots, wholes, strict=True)
            ]
            return cls(read.slots, [], kept, {}, None, 0, is_measure=False)
        is_sum = adds_over_time(question.meter.aggregation)
        total = sum_known(wholes[:complete]) if is_sum else sum_known(read.totals.values())
        return cls(read.slots, parts, wholes, read.totals, total, complete, is_measure=True)

    def group_total(self, number: int, members: Iterable[str | None], *, is_sum: bool) -> Decimal | None:
        """The total of one group over the stretches compared."""
        if is_sum:
            return sum_known(row[number] for row in self.parts[: self.complete])
        return sum_known(self.totals.get(value) for value in members)


def _is_in_use(slot: Slot, reads: Reads) -> bool:
    return reads.first_used_at is not None and slot.start >= reads.first_used_at


def _groups(
    question: UsageFilter, reads: Reads, parts: Cells, previous: _Previous, *, complete: int
) -> tuple[Group, ...]:
    plan, aggregation = reads.plan, question.meter.aggregation
    if not question.group_by:
        return ()
    if reads.some_parts is None:
        totals = _group_totals(question, reads, parts, previous, complete=complete)
    else:
        totals = reads.some_parts.totals(complete)
    return tuple(
        Group(
            value=None if number == len(plan.values) else plan.values[number],
            is_rest=number == len(plan.values),
            members=len(members),
            total=settled(aggregation, totals.total[number] or ZERO),
            comparable=_shown(aggregation, totals.comparable[number]),
            previous=_shown(aggregation, totals.previous[number]) if previous.is_measure else None,
        )
        for number, members in enumerate(plan.members())
    )


def _group_totals(
    question: UsageFilter, reads: Reads, parts: Cells, previous: _Previous, *, complete: int
) -> GroupTotals:
    members = reads.plan.members()
    is_sum = adds_over_time(question.meter.aggregation)
    if is_sum:
        columns = list(zip(*parts, strict=True))[: len(members)]
        total = [sum_known(column) for column in columns]
        comparable = [sum_known(column[:complete]) for column in columns]
    else:
        total = [sum_known(map(reads.current.totals.get, values)) for values in members]
        comparable = total
    before = [previous.group_total(number, values, is_sum=is_sum) for number, values in enumerate(members)]
    return GroupTotals(total, comparable, before)


def _part_table(read: PeriodRead, plan: Plan) -> Cells:
    """Quantities by slot and group, the rest last; what was not read stays None."""
    width = len(plan.values) + 1
    table: Cells = [[None] * width for _ in read.slots]
    for slot_no, group_no, quantity, _records, _is_daily in read.rows:
        table[slot_no][group_no] = quantity
    return table


def _wholes(question: UsageFilter, read: PeriodRead, parts: Cells) -> list[Decimal | None]:
    """The quantity of each slot: the sum of its parts, or what was read for it where parts overlap."""
    if not read.wholes:
        return [sum_known(row) for row in parts] if question.group_by else [row[0] for row in parts]
    wholes: list[Decimal | None] = [None] * len(read.slots)
    for slot_no, _group_no, quantity, _records, _is_daily in read.wholes:
        wholes[slot_no] = quantity
    return wholes


def _kinds(reads: Reads, wholes: Sequence[Decimal | None], records: Sequence[int]) -> list[Kind]:
    slots = reads.current.slots
    daily = {slots[row[0]].day for row in reads.current.rows if row[4]}
    complete = reads.completeness.cover_each(slots)
    return [
        kind_of(
            slot,
            records=count,
            is_zero=not whole,
            is_complete=is_complete,
            first_used_at=reads.first_used_at,
            is_in_daily_total=slot.day in daily,
        )
        for slot, whole, count, is_complete in zip(slots, wholes, records, complete, strict=True)
    ]


def _records(read: PeriodRead) -> list[int]:
    records = [0] * len(read.slots)
    # Where parts overlap, each record is in one of them; where few parts were read, the wholes have them all.
    for slot_no, _group_no, _quantity, count, _is_daily in read.wholes or read.rows:
        records[slot_no] += count
    return records


def _complete_count(kinds: Sequence[Kind], reads: Reads) -> int:
    """How many stretches from the first are complete, as are those before; what follows is not compared."""
    earlier = reads.previous.slots[: len(kinds)] if reads.previous else ()
    are_complete = reads.completeness.cover_each(earlier)
    firsts = [
        kinds.index(Kind.INCOMPLETE) if Kind.INCOMPLETE in kinds else len(kinds),
        are_complete.index(False) if False in are_complete else len(kinds),
    ]
    return min(firsts)


def sum_known(values: Iterable[Decimal | None]) -> Decimal | None:
    """The sum of what is known; None when nothing is."""
    known = [value for value in values if value is not None]
    if len(known) == 1:
        return known[0]
    return sum(known, ZERO) if known else None


def _shown(aggregation: str, raw: Decimal | None) -> Decimal | None:
    return None if raw is None else settled(aggregation, raw)
