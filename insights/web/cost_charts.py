"""The figure of cost: a bar for each day or month, stacked by value where values have parts in it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from typing import Any

from insights.billing.price_words import money_number, money_words
from insights.explain.cost_answer import CostBucket, CostGroup, CostState, CurrencyCost
from insights.metering.usage_filter import UsageFilter
from insights.templatetags.portal import day_short
from insights.values.money import Money
from insights.web.charts import TICKS_MAX
from insights.web.colours import series_of
from insights.web.cost_before import CostBefore
from insights.web.words import group_words, slot_words

Json = dict[str, Any]
STATE_WORDS = {
    CostState.BILLED: "",
    CostState.SO_FAR: "so far",
    CostState.NO_PRICE: "no price",
}


def bucket_label(bucket: CostBucket, question: UsageFilter, zone: tzinfo) -> str:
    """What a bar and a row are called."""
    return slot_words(bucket.slot, granularity=question.granularity, zone=zone, clock=zone)


def cost_figure(
    one: CurrencyCost, question: UsageFilter, *, zone: tzinfo, before: CostBefore | None = None
) -> Json:
    """Amounts as texts, so that none is rounded on its way."""
    labels = [bucket_label(bucket, question, zone) for bucket in one.buckets]
    open_bars = [number for number, each in enumerate(one.buckets) if each.state is CostState.SO_FAR]
    if one.has_parts and one.groups:
        traces = [
            _trace(
                group_words(group.value, is_rest=group.is_rest, members=group.members),
                series,
                [bucket.parts[number] for bucket in one.buckets],
                one.buckets,
            )
            for number, (group, series) in enumerate(zip(one.groups, group_series(one.groups), strict=True))
        ]
    else:
        traces = [_trace(question.meter.name, 1, [bucket.amount for bucket in one.buckets], one.buckets)]
    for trace in traces:
        trace["meta"]["incomplete"] = open_bars
    if before is not None:
        traces.append(_previous_trace(before, question, zone=zone))
    for trace in traces:
        trace["x"] = labels
    return {
        "data": traces,
        "layout": {
            "barmode": "stack",
            "xaxis": {"type": "category", **_ticks(one, labels, question)},
            "yaxis": {"type": "linear", "title": {"text": one.total.currency}},
        },
    }


def _ticks(one: CurrencyCost, labels: Sequence[str], question: UsageFilter) -> Json:
    """Name a few evenly spaced bars, without their year where they are days."""
    step = -(-len(labels) // TICKS_MAX) or 1
    shown = range(0, len(labels), step)
    is_day = question.granularity == "day"
    texts = [day_short(one.buckets[number].slot.day) if is_day else labels[number] for number in shown]
    return {"tickvals": [labels[number] for number in shown], "ticktext": texts}


def _trace(
    name: str, series: int | str, amounts: Sequence[Money | None], buckets: Sequence[CostBucket]
) -> Json:
    return {
        "type": "bar",
        "name": name,
        "y": [None if amount is None else money_number(amount) for amount in amounts],
        "customdata": [
            ["No price" if amount is None else money_words(amount), "", STATE_WORDS[bucket.state]]
            for amount, bucket in zip(amounts, buckets, strict=True)
        ],
        "meta": {"series": series},
    }


def _previous_trace(before: CostBefore, question: UsageFilter, *, zone: tzinfo) -> Json:
    """The period before as a line, each point with the words of its own stretch."""
    labels = [
        slot_words(slot, granularity=question.granularity, zone=zone, clock=zone) for slot in before.slots
    ]
    labels += [""] * (len(before.amounts) - len(labels))
    return {
        "type": "scatter",
        "name": "Period before",
        "y": [None if amount is None else money_number(amount) for amount in before.amounts],
        "customdata": [
            ["No price" if amount is None else money_words(amount), label, ""]
            for amount, label in zip(before.amounts, labels, strict=False)
        ],
        "meta": {"series": "previous"},
    }


def group_series(groups: Sequence[CostGroup]) -> list[int | str]:
    """The colour of each group, as in the chart."""
    colours = series_of(group.value for group in groups if not group.is_rest)
    return ["other" if group.is_rest else colours[group.value] for group in groups]
