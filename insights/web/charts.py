"""Turns an exploration into the figure that static/js/charts.js draws. The only file with floats.

A float here is a bar's height and nothing else: every number a person reads is in customdata, exact, as text.
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
from insights.web.words import KIND_WORDS, group_words, slot_words

TICKS_MAX = 8
Json = dict[str, Any]


def usage_figure(answer: Exploration, *, zone: tzinfo, clock: tzinfo, scale: Scale) -> Json:
    """One bar for each stretch of time, stacked only where the parts add up; marks for zeros and gaps."""
    granularity = answer.filter.granularity
    labels = [slot_words(one.slot, granularity=granularity, zone=zone, clock=clock) for one in answer.buckets]
    traces = _group_traces(answer, labels, scale) if answer.groups else [_whole_trace(answer, labels, scale)]
    traces += _previous_trace(answer, labels, scale, zone=zone, clock=clock)
    traces += _marks(answer, labels)
    return {
        "data": traces,
        "layout": {
            "barmode": "stack" if answer.stacks else "group",
            "xaxis": {"type": "category", "nticks": TICKS_MAX, **_ticks(answer, labels, clock)},
            "yaxis": {"title": {"text": scale.unit}},
        },
    }


def scale_of(answer: Exploration) -> Scale:
    """The scale in which the largest stretch of time is easiest to read; table and chart share it."""
    quantities = [bucket.quantity for bucket in answer.buckets] + [
        bucket.previous for bucket in answer.buckets
    ]
    largest = max((abs(quantity) for quantity in quantities if quantity is not None), default=Decimal(0))
    return scale_for(answer.unit, largest)


def _whole_trace(answer: Exploration, labels: list[str], scale: Scale) -> Json:
    return {
        "type": "bar",
        "name": answer.filter.meter.name,
        "x": labels,
        "y": [_height(bucket.quantity, scale) for bucket in answer.buckets],
        "meta": {"series": 1, "incomplete": _incomplete(answer.buckets)},
        "customdata": [
            [_exact(bucket.quantity, answer.unit), "", _state(bucket)] for bucket in answer.buckets
        ],
    }


def _group_traces(answer: Exploration, labels: list[str], scale: Scale) -> list[Json]:
    colours = series_of(group.value for group in answer.groups if not group.is_rest)
    incomplete = _incomplete(answer.buckets)
    return [
        {
            "type": "bar",
            "name": group_words(group.value, is_rest=group.is_rest, members=group.members),
            "x": labels,
            "y": [_height(bucket.parts[number], scale) for bucket in answer.buckets],
            "meta": {"series": _colour(group, colours), "incomplete": incomplete},
            "customdata": [_part_row(answer, bucket, number) for bucket in answer.buckets],
        }
        for number, group in enumerate(answer.groups)
    ]


def _part_row(answer: Exploration, bucket: Bucket, number: int) -> list[str]:
    part = bucket.parts[number]
    share = ""
    if answer.stacks and part is not None and bucket.quantity:
        share = f"{percent(part / bucket.quantity)} of the {answer.filter.granularity}"
    return [_exact(part, answer.unit), share, _state(bucket)]


def _previous_trace(
    answer: Exploration, labels: list[str], scale: Scale, *, zone: tzinfo, clock: tzinfo
) -> list[Json]:
    if not any(bucket.previous is not None for bucket in answer.buckets):
        return []
    granularity = answer.filter.granularity
    before = [
        slot_words(slot, granularity=granularity, zone=zone, clock=clock) for slot in answer.previous_slots
    ]
    before += [""] * (len(labels) - len(before))
    return [
        {
            "type": "scatter",
            "name": "Period before",
            "x": labels,
            "y": [_height(bucket.previous, scale) for bucket in answer.buckets],
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


def _ticks(answer: Exploration, labels: list[str], clock: tzinfo) -> Json:
    """Name a few evenly spaced bars, by words short enough to stand beside each other."""
    step = -(-len(labels) // TICKS_MAX) or 1
    if answer.filter.granularity == "hour" and step > 1:
        step = next((hours for hours in (3, 6, 12, 24, 48, 72, 96, 120) if hours >= step), step)
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


def _height(quantity: Decimal | None, scale: Scale) -> float | None:
    return None if quantity is None else float(scale.number_of(quantity))


def _exact(quantity: Decimal | None, unit: str) -> str:
    return "No data" if quantity is None else f"{grouped_text(quantity)}{THIN_SPACE}{unit}"


def _state(bucket: Bucket) -> str:
    if bucket.holds_daily_totals:
        return "holds totals of whole days"
    return KIND_WORDS[bucket.kind].capitalize()
