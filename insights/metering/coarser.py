"""Takes several hours of an answer together, for a chart that has no room for every hour of every group. Pure.

The hours of a day are taken together from its midnight on, so that each bar but the last of a day on which the clock is
changed covers as many. Quantities are those of the answer: added, or the highest hour where hours do not add up.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal

from insights.metering.aggregations import adds_over_time
from insights.metering.assemble import sum_known
from insights.metering.explore import Bucket, Exploration
from insights.metering.usage_filter import POINTS_MAX
from insights.metering.windows import Kind, Slot

_HOURS_TOGETHER = (1, 2, 3, 4, 6, 8, 12, 24)
# More bars than this are too thin to be told apart.
BARS_MAX = 1_000
HOURS_A_DAY = 24
# What several hours are, if any of them is: the first that applies.
_KINDS = (Kind.INCOMPLETE, Kind.COMPLETE, Kind.ZERO, Kind.DAILY, Kind.GAP, Kind.BEFORE)


def hours_together(count: int, columns: int) -> int:
    """How many of so many hours a bar stands for when each has so many parts; 1 where each has a bar of its own."""
    bars_max = min(BARS_MAX, POINTS_MAX // max(1, columns))
    return next((hours for hours in _HOURS_TOGETHER if count <= bars_max * hours), _HOURS_TOGETHER[-1])


def hours_a_bar(answer: Exploration) -> int:
    """How many hours a bar of the answer's chart stands for; 1 for days and months."""
    return (
        hours_together(len(answer.buckets), len(answer.groups)) if answer.filter.granularity == "hour" else 1
    )


def coarser(answer: Exploration, *, hours: int) -> Exploration:
    """The same answer with so many hours in each of its stretches of time."""
    if hours == 1:
        return answer
    adds = adds_over_time(answer.filter.meter.aggregation)
    together = list(numbers_together([bucket.slot for bucket in answer.buckets], hours))
    return replace(
        answer,
        buckets=tuple(_taken_together(answer, together, adds=adds)),
        previous_slots=tuple(
            _span(answer.previous_slots, first, min(end, len(answer.previous_slots)))
            for first, end in together
            if first < len(answer.previous_slots)
        ),
    )


def numbers_together(slots: Sequence[Slot], hours: int) -> Iterator[tuple[int, int]]:
    """Yield the first number and the one after the last of the hours that make one bar."""
    midnight = 0
    while midnight < len(slots):
        end = bisect_right(slots, slots[midnight].day, midnight, key=lambda slot: slot.day)
        bars = min(-(-(end - midnight) // hours), HOURS_A_DAY // hours)
        firsts = range(midnight, midnight + bars * hours, hours)
        yield from zip(firsts, (*firsts[1:], end), strict=True)
        midnight = end


def _taken_together(
    answer: Exploration, together: Sequence[tuple[int, int]], *, adds: bool
) -> Iterator[Bucket]:
    """Make one bucket of each stretch, column by column: there are hundreds of bars and thousands of hours."""
    known = sum_known if adds else _highest
    slots, kinds, quantities, parts, records, previous, daily = zip(*answer.buckets, strict=True)
    for number, (first, end) in enumerate(together):
        found = set(kinds[first:end])
        yield Bucket(
            slot=_span(slots, first, end),
            kind=kinds[first] if len(found) == 1 else next(kind for kind in _KINDS if kind in found),
            quantity=known(quantities[first:end]),
            parts=answer.bar_parts[number] if answer.bar_parts else _parts(parts[first:end], known),
            records=sum(records[first:end]),
            previous=known(previous[first:end]),
            holds_daily_totals=any(daily[first:end]),
        )


def _parts(
    of_hours: Sequence[tuple[Decimal | None, ...]],
    known: Callable[[Iterable[Decimal | None]], Decimal | None],
) -> tuple[Decimal | None, ...]:
    # Parts that were not read are of no hour together either.
    return tuple(map(known, zip(*of_hours, strict=False))) if of_hours[0] else ()


def _highest(quantities: Iterable[Decimal | None]) -> Decimal | None:
    return max((quantity for quantity in quantities if quantity is not None), default=None)


def _span(slots: Sequence[Slot], first: int, end: int) -> Slot:
    return Slot(slots[first].start, slots[end - 1].end, slots[first].day)
