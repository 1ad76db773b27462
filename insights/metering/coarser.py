"""Takes several hours of an answer together, for a chart that has no room for every hour of every group. Pure.

The hours of a day are taken together from its midnight on, so that each bar but the last of a day on which the clock is
changed covers as many. Quantities are those of the answer: added, or the highest hour where hours do not add up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import groupby

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
    buckets = [_one_of(answer.buckets[first:end], adds=adds) for first, end in together]
    if answer.bar_parts:
        buckets = [
            bucket._replace(parts=parts) for bucket, parts in zip(buckets, answer.bar_parts, strict=True)
        ]
    return replace(
        answer,
        buckets=tuple(buckets),
        previous_slots=tuple(
            _span(answer.previous_slots[first:end])
            for first, end in together
            if answer.previous_slots[first:end]
        ),
    )


def numbers_together(slots: Sequence[Slot], hours: int) -> Iterator[tuple[int, int]]:
    """Yield the first number and the one after the last of the hours that make one bar."""
    last = HOURS_A_DAY // hours - 1
    for _day, of_day in groupby(range(len(slots)), key=lambda number: slots[number].day):
        numbers = list(of_day)
        midnight = numbers[0]
        for _bar, of_bar in groupby(numbers, key=lambda number: min((number - midnight) // hours, last)):
            bar = list(of_bar)
            yield bar[0], bar[-1] + 1


def _one_of(buckets: Sequence[Bucket], *, adds: bool) -> Bucket:
    known = sum_known if adds else _highest
    quantity = known(bucket.quantity for bucket in buckets)
    kinds = {bucket.kind for bucket in buckets}
    return Bucket(
        slot=_span([bucket.slot for bucket in buckets]),
        kind=next(kind for kind in _KINDS if kind in kinds),
        quantity=quantity,
        # Parts that were not read are of no hour together either.
        parts=tuple(map(known, zip(*(bucket.parts for bucket in buckets), strict=False))),
        records=sum(bucket.records for bucket in buckets),
        previous=known(bucket.previous for bucket in buckets),
        holds_daily_totals=any(bucket.holds_daily_totals for bucket in buckets),
    )


def _highest(quantities: Iterable[Decimal | None]) -> Decimal | None:
    return max((quantity for quantity in quantities if quantity is not None), default=None)


def _span(slots: Sequence[Slot]) -> Slot:
    return Slot(slots[0].start, slots[-1].end, slots[0].day)
