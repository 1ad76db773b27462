"""The figures of a line of a bill: its quantity by day, and what it had come to. Drawn by static/js/charts.js."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Any

from insights.billing.price_words import money_number, money_words
from insights.explain.day_stack import DayStack
from insights.explain.line_proof import DayPart
from insights.metering.windows import ONE_DAY
from insights.templatetags.portal import day as day_text
from insights.templatetags.portal import day_short
from insights.values.period import start_of_day
from insights.values.quantity import Scale
from insights.web.charts import heights_in
from insights.web.colours import series_of
from insights.web.words import group_words

Json = dict[str, Any]


def slot_label(day: DayPart, zone: tzinfo) -> str:
    """A day in words; of a piece of a day also from when or to when, as far as that is not midnight."""
    slot = day.slot
    start, end = slot.start.astimezone(zone), slot.end.astimezone(zone)
    is_from_midnight = slot.start == start_of_day(slot.day, zone)
    is_to_midnight = slot.end == start_of_day(slot.day + ONE_DAY, zone)
    if is_from_midnight and is_to_midnight:
        return day_text(slot.day)
    if is_to_midnight:
        return f"{day_text(slot.day)}, from {start:%H:%M}"
    if is_from_midnight:
        return f"{day_text(slot.day)}, until {end:%H:%M}"
    return f"{day_text(slot.day)}, {start:%H:%M} to {end:%H:%M}"


def quantity_figure(
    days: Sequence[DayPart], *, unit: str, scale: Scale, until: datetime | None, stack: DayStack | None = None
) -> Json:
    """One bar for each day, of its values where these add to it; days that are not complete yet are hatched."""
    incomplete = [number for number, day in enumerate(days) if until is not None and day.slot.end > until]
    wholes = [_text(day.quantity) for day in days]
    traces = (
        [("Quantity", 1, wholes)]
        if stack is None
        else [
            (one["label"], one["series"], [_text(value.quantities.get(day.slot)) for day in days])
            for one, value in zip(stack_legend(stack), stack.values, strict=True)
        ]
    )
    return {
        "data": [
            {
                "type": "bar",
                "name": name,
                "quantities": quantities,
                "meta": {"series": series, "incomplete": incomplete},
            }
            for name, series, quantities in traces
        ],
        "points": {
            "x": _labels(days),
            "states": ["" for _ in days],
            "unit": unit,
            **heights_in(scale),
            **({} if stack is None else {"wholes": wholes, "of": " of the day"}),
        },
        "layout": {
            "barmode": "stack",
            "xaxis": {"type": "category", "nticks": 8},
            "yaxis": {"title": {"text": scale.unit}},
        },
    }


def stack_legend(stack: DayStack) -> list[dict[str, Any]]:
    """What the parts of a bar are called, with their colours, as on the usage page."""
    colours = series_of(value.part.value for value in stack.values if not value.part.is_rest)
    return [
        {
            "label": group_words(
                value.part.value or None, is_rest=value.part.is_rest, members=value.part.members
            ),
            "series": "other" if value.part.is_rest else colours[value.part.value],
        }
        for value in stack.values
    ]


def _text(quantity: Decimal | None) -> str | None:
    return None if quantity is None else f"{quantity:f}"


def running_figure(days: Sequence[DayPart], *, currency: str) -> Json | None:
    """What the line had come to by the end of each day; None where days have no amounts."""
    known = [(day, day.running) for day in days if day.running is not None]
    if not known:
        return None
    return {
        "data": [
            {
                "type": "scatter",
                "mode": "lines",
                "name": "Come to so far",
                "x": _labels([day for day, _ in known]),
                "y": [money_number(running) for _, running in known],
                "customdata": [
                    [money_words(running), f"{money_words(day.amount)} on this day" if day.amount else "", ""]
                    for day, running in known
                ],
                "meta": {"series": 2},
            }
        ],
        "layout": {
            "xaxis": {"type": "category", "nticks": 8},
            "yaxis": {"type": "linear", "title": {"text": currency}},
        },
    }


def _labels(days: Sequence[DayPart]) -> list[str]:
    """The day of each part; pieces of one day are told apart by when they begin."""
    labels: list[str] = []
    for day in days:
        label = day_short(day.slot.day)
        labels.append(label if label not in labels else f"{label}, from {day.slot.start:%H:%M} UTC")
    return labels
