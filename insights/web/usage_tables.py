"""The tables of the usage page and the sentences around them, made of an answer and ready to print."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import tzinfo
from decimal import Decimal
from html import escape
from typing import Any

from django.utils.safestring import SafeString

from insights.metering.aggregations import adds_over_time
from insights.metering.explore import Bucket, Exploration, change_of
from insights.metering.usage_filter import UsageFilter
from insights.metering.windows import ONE_DAY, Kind, Slot, days_of
from insights.templatetags.cells import quantities_in
from insights.templatetags.portal import signed_percent
from insights.values.quantity import Scale
from insights.web import words
from insights.web.colours import series_of
from insights.web.filters import url, with_value

# A heading longer than this would make its column wider than its numbers.
SHORT_LABEL_MAX = 16
FINER = {"month": "day", "day": "hour"}
_CSS_CLASSES = {Kind.INCOMPLETE: "is-incomplete", Kind.GAP: "is-gap"}
_DASH = "\u2014"


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


@dataclass(frozen=True, slots=True)
class RowWriter:
    """Writes the lines of one table. Put together here: a template takes as long for the tags as for the numbers."""

    answer: Exploration
    zone: tzinfo
    clock: tzinfo
    has_previous: bool
    has_change: bool
    number: Callable[[Decimal], SafeString]
    finer: str
    link: Callable[[Slot], str]

    @classmethod
    def of(cls, answer: Exploration, *, zone: tzinfo, clock: tzinfo, scale: Scale) -> RowWriter:
        """What all lines of a table have in common."""
        finer = FINER.get(answer.filter.granularity, "")
        return cls(
            answer=answer,
            zone=zone,
            clock=clock,
            has_previous=has_previous(answer),
            has_change=has_previous(answer) and compares_rows(answer),
            number=quantities_in(answer.unit, scale),
            finer=finer,
            link=_links_within(answer.filter, finer, zone) if finer else _no_link,
        )

    def write(self, bucket: Bucket) -> SafeString:
        """One line, from its heading to its last part."""
        css_class = _CSS_CLASSES.get(bucket.kind, "")
        begin = f'<tr class="{css_class}">' if css_class else "<tr>"
        cells = [self._cell(bucket.quantity, "num")]
        if self.has_previous:
            cells.append(self._cell(bucket.previous, "num muted"))
        if self.has_change:
            cells.append(f'<td class="num">{_change(bucket)}</td>')
        cells += [self._cell(part, "num phone-out") for part in bucket.parts]
        return SafeString(f"{begin}{self._heading(bucket)}{''.join(cells)}</tr>")

    def _heading(self, bucket: Bucket) -> str:
        label = escape(
            words.slot_words(
                bucket.slot,
                granularity=self.answer.filter.granularity,
                zone=self.zone,
                clock=self.clock,
            )
        )
        state = "total of the day" if bucket.holds_daily_totals else words.KIND_WORDS[bucket.kind]
        name = label
        if bucket.records and self.finer:
            href = escape(self.link(bucket.slot))
            name = f'<a class="plain" href="{href}" title="{label} by {self.finer}">{label}</a>'
        note = f' <span class="note">{escape(state)}</span>' if state else ""
        return f'<th scope="row" class="nowrap">{name}{note}</th>'

    def _cell(self, value: Decimal | None, css_class: str) -> str:
        return f'<td class="{css_class}">{_DASH if value is None else self.number(value)}</td>'


def _change(bucket: Bucket) -> str:
    is_complete = bucket.kind not in (Kind.INCOMPLETE, Kind.UNKNOWN)
    change = change_of(bucket.quantity, bucket.previous) if is_complete else None
    return _DASH if change is None else escape(signed_percent(change))


def _no_link(_slot: Slot) -> str:
    return ""


def _links_within(question: UsageFilter, finer: str, zone: tzinfo) -> Callable[[Slot], str]:
    """The same question of one stretch alone, in smaller steps: why is this day different."""
    first, last = question.first_day, question.last_day
    # No value holds a bare & or =, so that the days stand in one place.
    before, after = url(replace(question, preset="", granularity=finer)).split(f"from={first}&to={last}")

    def link(slot: Slot) -> str:
        first, end = days_of((slot,), zone)
        return f"{before}from={first}&to={end - ONE_DAY}{after}"

    return link


def has_previous(answer: Exploration) -> bool:
    """Whether anything is known of the period before."""
    return any(bucket.previous is not None for bucket in answer.buckets)


def compares_rows(answer: Exploration) -> bool:
    """Whether a row stands against its like: a Sunday against a Sunday, or a month against a month."""
    before = answer.previous_slots
    if answer.filter.granularity == "month" or not before:
        return True
    return before[0].day.weekday() == answer.buckets[0].slot.day.weekday()


def marks(answer: Exploration) -> list[dict[str, Any]]:
    """The legend of what appears in this chart, groups in the order of their table, and of nothing else."""
    kinds = {bucket.kind for bucket in answer.buckets}
    legend: list[dict[str, Any]] = [
        {"series": group.series, "label": group.label} for group in group_rows(answer)
    ]
    if has_previous(answer):
        legend = words.legend_before(legend)
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
    if not complete and has_previous(answer):
        return f"No {unit} of this period is complete yet, so there is no change to name."
    if answer.previous is None and has_previous(answer):
        return "Usage began within the period before, so there is no change to name."
    if answer.previous is None or complete == len(answer.buckets):
        return ""
    return f"The change compares the {complete:,} complete {unit}s with the same {unit}s before."
