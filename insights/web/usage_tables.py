"""The tables of the usage page and the sentences around them, made of an answer and ready to print."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import tzinfo
from decimal import Decimal

from django.utils.safestring import SafeString

from insights.metering.aggregations import adds_over_time
from insights.metering.explore import Bucket, Exploration, change_of
from insights.metering.usage_filter import UsageFilter
from insights.metering.windows import ONE_DAY, Kind, Slot, days_of
from insights.templatetags.portal import quantity_in
from insights.values.quantity import Scale
from insights.web import words
from insights.web.colours import series_of
from insights.web.filters import url, with_value

# A heading longer than this would make its column wider than its numbers.
SHORT_LABEL_MAX = 16
FINER = {"month": "day", "day": "hour"}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table, every cell ready to print."""

    label: str
    whole: SafeString
    parts: SafeString
    previous: SafeString
    change: Decimal | None
    state: str
    css_class: str
    url: str
    leads_to: str


@dataclass(frozen=True, slots=True)
class GroupRow:
    """One line of the table of groups."""

    label: str
    short_label: str
    series: int | str
    total: Decimal
    share: Decimal | None
    previous: Decimal | None
    change: Decimal | None
    url: str


def group_rows(answer: Exploration) -> list[GroupRow]:
    colours = series_of(group.value for group in answer.groups if not group.is_rest)
    question = answer.filter
    return [
        GroupRow(
            label=(name := words.group_words(group.value, is_rest=group.is_rest, members=group.members)),
            short_label=name if len(name) <= SHORT_LABEL_MAX else f"{name[: SHORT_LABEL_MAX - 1]}…",
            series="other" if group.is_rest else colours[group.value],
            total=group.total,
            share=group.total / answer.total if answer.stacks and answer.total else None,
            previous=group.previous,
            change=change_of(group.comparable, group.previous),
            url=url(with_value(question, question.group_by, group.value)) if group.value else "",
        )
        for group in answer.groups
    ]


def row(answer: Exploration, bucket: Bucket, *, zone: tzinfo, clock: tzinfo, scale: Scale) -> Row:
    granularity = answer.filter.granularity
    is_complete = bucket.kind not in (Kind.INCOMPLETE, Kind.UNKNOWN)
    state = "total of the day" if bucket.holds_daily_totals else words.KIND_WORDS[bucket.kind]
    label = words.slot_words(bucket.slot, granularity=granularity, zone=zone, clock=clock)
    finer = FINER.get(granularity, "") if bucket.records else ""
    return Row(
        label=label,
        whole=_cell(bucket.quantity, answer.unit, scale),
        # Put together here: a template takes as long for the tags of a cell as for its number.
        parts=SafeString(
            "".join(f'<td class="num">{_cell(part, answer.unit, scale)}</td>' for part in bucket.parts)
        ),
        previous=_cell(bucket.previous, answer.unit, scale),
        change=change_of(bucket.quantity, bucket.previous) if is_complete and compares_rows(answer) else None,
        state=state,
        css_class={Kind.INCOMPLETE: "is-incomplete", Kind.GAP: "is-gap"}.get(bucket.kind, ""),
        url=_url_within(answer.filter, bucket.slot, finer, zone) if finer else "",
        leads_to=f"{label} by {finer}" if finer else "",
    )


def _url_within(question: UsageFilter, slot: Slot, finer: str, zone: tzinfo) -> str:
    """The same question of one stretch alone, in smaller steps: why is this day different."""
    first, end = days_of((slot,), zone)
    return url(replace(question, preset="", first_day=first, last_day=end - ONE_DAY, granularity=finer))


def compares_rows(answer: Exploration) -> bool:
    """Whether a row stands against its like: a Sunday against a Sunday, or a month against a month."""
    before = answer.previous_slots
    if answer.filter.granularity == "month" or not before:
        return True
    return before[0].day.weekday() == answer.buckets[0].slot.day.weekday()


_DASH = SafeString("\u2014")


def _cell(value: Decimal | None, unit: str, scale: Scale) -> SafeString:
    return _DASH if value is None else quantity_in(value, unit, scale)


def marks(answer: Exploration) -> list[dict[str, str | int]]:
    """The legend of what appears in this chart, groups in the order of their table, and of nothing else."""
    kinds = {bucket.kind for bucket in answer.buckets}
    legend: list[dict[str, str | int]] = [
        {"series": group.series, "label": group.label} for group in group_rows(answer)
    ]
    if any(bucket.previous is not None for bucket in answer.buckets):
        legend.append({"kind": "previous", "label": "Period before"})
    if Kind.INCOMPLETE in kinds:
        legend.append({"kind": "incomplete", "label": "Not yet complete"})
    if Kind.GAP in kinds:
        legend.append({"kind": "gap", "label": "No data arrived"})
    if Kind.ZERO in kinds:
        legend.append({"kind": "zero", "label": "Measured zero"})
    return legend


def caption(answer: Exploration) -> str:
    """What the chart and the table show, in one sentence."""
    question = answer.filter
    text = f"{question.meter.name} per {question.granularity}"
    if not question.group_by:
        return f"{text}."
    group = words.label(question.group_by)
    if answer.stacks:
        return f"{text}, split by {group}."
    return f"{text} of each {group}. Bars stand side by side, because these quantities do not add up."


def chart_note(answer: Exploration, hours: int) -> str:
    """How many hours a bar of the chart takes together, where it is not one."""
    if hours == 1:
        return ""
    adds = adds_over_time(answer.filter.meter.aggregation)
    shown = f"{hours} hours per bar" if adds else f"the highest of {hours} hours per bar"
    return f"The chart shows {shown}; the table and the CSV have every hour."


def compare_note(answer: Exploration, complete: int) -> str:
    """What the change is measured on, where a reader could take it for more."""
    unit = answer.filter.granularity
    missing = sum(
        bucket.previous is None for bucket in answer.buckets[: min(complete, len(answer.previous_slots))]
    )
    if answer.previous is not None and missing:
        return (
            f"No data arrived for {missing:,} of the {unit}s before, so the change is larger than usage was."
        )
    if not complete and any(bucket.previous is not None for bucket in answer.buckets):
        return f"No {unit} of this period is complete yet, so there is no change to name."
    if answer.previous is None and any(bucket.previous is not None for bucket in answer.buckets):
        return "Usage began within the period before, so there is no change to name."
    if answer.previous is None or complete == len(answer.buckets):
        return ""
    return f"The change compares the {complete:,} complete {unit}s with the same {unit}s before."
