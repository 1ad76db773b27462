"""Turns an exploration into the figure that static/js/charts.js draws.

A quantity is sent once, exactly and as a text: the script makes its height, its grouped digits and its share of it, and
what all bars of one stretch of time share is said once for all groups. There may be thousands of bars.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, tzinfo
from decimal import Decimal
from itertools import pairwise
from typing import Any

from insights.metering.explore import Bucket, Exploration, Group
from insights.metering.windows import Kind
from insights.values.quantity import Scale, for_column, scale_for
from insights.web.colours import series_of
from insights.web.words import KIND_WORDS, clock_words, group_words, hour_words, slot_words

TICKS_MAX = 8
Json = dict[str, Any]


def usage_figure(answer: Exploration, *, zone: tzinfo, clock: tzinfo, scale: Scale, hours: int = 1) -> Json:
    """One bar for each stretch of time, stacked only where the parts add up; marks for zeros and gaps.

    `hours` is how many of them a stretch of an answer in hours stands for.
    """
    labels = _labels(answer, zone=zone, clock=clock, hours=hours)
    traces = _group_traces(answer) if answer.groups else [_whole_trace(answer)]
    traces += _previous_trace(answer, zone=zone, clock=clock)
    traces += _marks(answer, labels)
    return {
        "data": traces,
        "points": {
            "x": labels,
            "states": [_state(bucket) for bucket in answer.buckets],
            "unit": answer.unit,
            **heights_in(scale),
            **(_of_wholes(answer, hours) if answer.groups and answer.stacks else {}),
        },
        "layout": {
            "barmode": "stack" if answer.stacks else "group",
            "xaxis": {"type": "category", "nticks": TICKS_MAX, **_ticks(answer, labels, clock, hours)},
            "yaxis": {"title": {"text": scale.unit}},
        },
    }


def _labels(answer: Exploration, *, zone: tzinfo, clock: tzinfo, hours: int) -> list[str]:
    granularity = answer.filter.granularity
    if hours == 1:
        return [
            slot_words(one.slot, granularity=granularity, zone=zone, clock=clock) for one in answer.buckets
        ]
    return [
        f"{hour_words(one.slot.start, clock)} to {clock_words(one.slot.end.astimezone(clock))}"
        for one in answer.buckets
    ]


def heights_in(scale: Scale) -> Json:
    """What the script divides quantities by, so that bars are as high as the scale says."""
    return {"exponent": scale.exponent} | ({"binary": scale.binary} if scale.binary else {})


def scale_of(answer: Exploration, priced: Scale | None = None) -> Scale:
    """The unit of the price, else the scale in which the largest bar is easiest to read; table and chart share it."""
    shown = [
        one for bucket in answer.buckets for one in (bucket.quantity, bucket.previous) if one is not None
    ]
    largest = max(max(shown), -min(shown)) if shown else Decimal(0)
    return for_column(priced, largest) if priced else scale_for(answer.unit, largest)


def _of_wholes(answer: Exploration, hours: int) -> Json:
    """What the parts of a stack are shares of."""
    return {
        "wholes": _texts(bucket.quantity for bucket in answer.buckets),
        "of": f" of the {f'{hours} hours' if hours > 1 else answer.filter.granularity}",
    }


def _whole_trace(answer: Exploration) -> Json:
    return {
        "type": "bar",
        "name": answer.filter.meter.name,
        "quantities": _texts(bucket.quantity for bucket in answer.buckets),
        "meta": {"series": 1, "incomplete": _incomplete(answer.buckets)},
    }


def _group_traces(answer: Exploration) -> list[Json]:
    colours = series_of(group.value for group in answer.groups if not group.is_rest)
    incomplete = _incomplete(answer.buckets)
    columns = zip(*(bucket.parts for bucket in answer.buckets), strict=True)
    return [
        {
            "type": "bar",
            "name": group_words(group.value, is_rest=group.is_rest, members=group.members),
            "quantities": _texts(parts),
            "meta": {"series": _colour(group, colours), "incomplete": incomplete},
        }
        for group, parts in zip(answer.groups, columns, strict=True)
    ]


def _previous_trace(answer: Exploration, *, zone: tzinfo, clock: tzinfo) -> list[Json]:
    if not any(bucket.previous is not None for bucket in answer.buckets):
        return []
    granularity = answer.filter.granularity
    before = [
        slot_words(slot, granularity=granularity, zone=zone, clock=clock) for slot in answer.previous_slots
    ]
    before += [""] * (len(answer.buckets) - len(before))
    return [
        {
            "type": "scatter",
            "name": "Period before",
            "quantities": _texts(bucket.previous for bucket in answer.buckets),
            "beside": before,
            "meta": {"series": "previous"},
        }
    ]


def _marks(answer: Exploration, labels: list[str]) -> list[Json]:
    traces = []
    for kind, series, name in ((Kind.GAP, "gap", "No data"), (Kind.ZERO, "zero", "Zero")):
        marked = [number for number, bucket in enumerate(answer.buckets) if bucket.kind is kind]
        if marked:
            traces.append(
                {
                    "type": "scatter",
                    "name": name,
                    "x": [labels[number] for number in marked],
                    "y": [0] * len(marked),
                    "meta": {"series": series},
                    "customdata": [[KIND_WORDS[kind].capitalize(), "", ""]] * len(marked),
                }
            )
    return traces


def _ticks(answer: Exploration, labels: list[str], clock: tzinfo, hours: int) -> Json:
    """Name a few evenly spaced bars, by words short enough to stand beside each other."""
    step = -(-len(labels) // TICKS_MAX) or 1
    if answer.filter.granularity == "hour" and step * hours > 1:
        apart = next(
            (one for one in (3, 6, 12, 24, 48, 72, 96, 120, 168, 240, 336) if one >= step * hours), 0
        )
        step = apart // hours or step
    starts = [bucket.slot.start.astimezone(clock) for bucket in answer.buckets][::step]
    texts = [_tick(start, before, answer.filter.granularity) for before, start in pairwise([None, *starts])]
    return {"tickvals": labels[::step], "ticktext": texts}


def _tick(start: datetime | None, before: datetime | None, granularity: str) -> str:
    """What is new since the tick before: the hour, the day, the month or the year."""
    if start is None:
        return ""
    month = f"{start:%b}"
    if granularity == "month":
        return month if before and before.year == start.year else f"{month} {start.year}"
    if before and before.date() == start.date():
        return f"{start:%H:%M}"
    if before and (before.year, before.month) == (start.year, start.month):
        return f"{start.day}" if granularity == "day" else f"{start.day} {month}"
    return f"{start.day} {month}"


def _incomplete(buckets: Sequence[Bucket]) -> list[int]:
    return [number for number, bucket in enumerate(buckets) if bucket.kind is Kind.INCOMPLETE]


def _colour(group: Group, colours: dict[str | None, int]) -> int | str:
    return "other" if group.is_rest else colours[group.value]


def _texts(quantities: Iterable[Decimal | None]) -> list[str | None]:
    return [None if quantity is None else format(quantity, "f") for quantity in quantities]


def _state(bucket: Bucket) -> str:
    if bucket.holds_daily_totals:
        return "holds totals of whole days"
    return KIND_WORDS[bucket.kind].capitalize()
