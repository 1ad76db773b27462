"""Turns an exploration into the figure that static/js/charts.js draws. The only file with floats.

A float here is a bar's height and nothing else: every number a person reads is exact and a text. What all bars of one
stretch of time share is said once for all groups, in `points`: there may be thousands of bars.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo
from decimal import Decimal
from itertools import pairwise
from typing import Any

from insights.metering.explore import Bucket, Exploration, Group
from insights.metering.windows import Kind
from insights.templatetags.portal import percent
from insights.values.quantity import THIN_SPACE, Scale, grouped_text, scale_for
from insights.web.colours import series_of
from insights.web.words import KIND_WORDS, group_words, hour_words, slot_words

TICKS_MAX = 8
Json = dict[str, Any]


def usage_figure(answer: Exploration, *, zone: tzinfo, clock: tzinfo, scale: Scale, hours: int = 1) -> Json:
    """One bar for each stretch of time, stacked only where the parts add up; marks for zeros and gaps.

    `hours` is how many of them a stretch of an answer in hours stands for.
    """
    labels = _labels(answer, zone=zone, clock=clock, hours=hours)
    traces = _group_traces(answer, scale) if answer.groups else [_whole_trace(answer, scale)]
    traces += _previous_trace(answer, scale, zone=zone, clock=clock)
    traces += _marks(answer, labels)
    return {
        "data": traces,
        "points": {
            "x": labels,
            "states": [_state(bucket) for bucket in answer.buckets],
            "unit": f"{THIN_SPACE}{answer.unit}",
            "share": f" of the {f'{hours} hours' if hours > 1 else answer.filter.granularity}",
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
        f"{hour_words(one.slot.start, clock)} to {one.slot.end.astimezone(clock):%H:%M}"
        for one in answer.buckets
    ]


def scale_of(answer: Exploration) -> Scale:
    """The scale in which the largest stretch of time is easiest to read; table and chart share it."""
    quantities = [bucket.quantity for bucket in answer.buckets] + [
        bucket.previous for bucket in answer.buckets
    ]
    largest = max((abs(quantity) for quantity in quantities if quantity is not None), default=Decimal(0))
    return scale_for(answer.unit, largest)


def _whole_trace(answer: Exploration, scale: Scale) -> Json:
    quantities = [bucket.quantity for bucket in answer.buckets]
    return {
        "type": "bar",
        "name": answer.filter.meter.name,
        "y": _heights(quantities, scale),
        "meta": {"series": 1, "incomplete": _incomplete(answer.buckets)},
        "exact": [quantity if quantity is None else grouped_text(quantity) for quantity in quantities],
    }


def _group_traces(answer: Exploration, scale: Scale) -> list[Json]:
    colours = series_of(group.value for group in answer.groups if not group.is_rest)
    incomplete = _incomplete(answer.buckets)
    wholes = [bucket.quantity for bucket in answer.buckets]
    columns = zip(*(bucket.parts for bucket in answer.buckets), strict=True)
    return [
        {
            "type": "bar",
            "name": group_words(group.value, is_rest=group.is_rest, members=group.members),
            "y": _heights(parts, scale),
            "meta": {"series": _colour(group, colours), "incomplete": incomplete},
            "exact": [part if part is None else grouped_text(part) for part in parts],
            **({"share": list(map(_share, parts, wholes))} if answer.stacks else {}),
        }
        for group, parts in zip(answer.groups, columns, strict=True)
    ]


def _share(part: Decimal | None, whole: Decimal | None) -> str:
    """The share of a bar in its stack as `percent` writes it, in a fifth of its time for the usual ones."""
    if part is None or not whole:
        return ""
    if part < 0 or whole < 0:
        return percent(part / whole)
    tenths = int((part * 2000 // whole + 1) // 2)
    if part and not tenths:
        return percent(part / whole)
    return f"{tenths // 10}.{tenths % 10}{THIN_SPACE}%"


def _previous_trace(answer: Exploration, scale: Scale, *, zone: tzinfo, clock: tzinfo) -> list[Json]:
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
            "y": _heights([bucket.previous for bucket in answer.buckets], scale),
            "meta": {"series": "previous"},
            "customdata": [
                [_exact(bucket.previous, answer.unit), name, ""]
                for bucket, name in zip(answer.buckets, before, strict=True)
            ],
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


def _heights(quantities: Sequence[Decimal | None], scale: Scale) -> list[float | None]:
    divisor = 10**scale.exponent
    return [None if quantity is None else float(quantity) / divisor for quantity in quantities]


def _exact(quantity: Decimal | None, unit: str) -> str:
    return "No data" if quantity is None else f"{grouped_text(quantity)}{THIN_SPACE}{unit}"


def _state(bucket: Bucket) -> str:
    if bucket.holds_daily_totals:
        return "holds totals of whole days"
    return KIND_WORDS[bucket.kind].capitalize()
