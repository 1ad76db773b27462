"""The filter bar of the usage page: what can be chosen, as links and one small form that work without script.

Every link asks a whole question again, so that it can be opened, kept and sent to a colleague.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, tzinfo
from typing import Any
from urllib.parse import urlencode

from django.http import QueryDict

from insights.metering.aggregations import MeterFacts
from insights.metering.faults import Fault
from insights.metering.usage_filter import (
    DIMENSION_PREFIX,
    PRESETS,
    Pairs,
    UsageFilter,
    fits_page,
    granularities_of,
    meter_name,
)
from insights.values.period import local_day, months_after, previous_period
from insights.web.words import PRESET_WORDS, label, period_words

_ONE_DAY = timedelta(days=1)
# A new period takes the granularity that fits it.
_OF_THE_PERIOD = ("period", "from", "to", "granularity")


@dataclass(frozen=True, slots=True)
class Choice:
    """One link: what it says, where it leads, and whether it is what is shown."""

    label: str
    url: str
    current: bool = False
    id: str = ""


@dataclass(frozen=True, slots=True)
class DimensionField:
    """The field that narrows one dimension, with the values to choose from."""

    name: str
    label: str
    options: tuple[str, ...]
    typed: str
    error: str


@dataclass(frozen=True, slots=True)
class FilterBar:
    """Everything the filter bar shows."""

    meters: tuple[Choice, ...]
    granularities: tuple[Choice, ...]
    groups: tuple[Choice, ...]
    comparison: tuple[Choice, ...]
    clocks: tuple[Choice, ...]
    chips: tuple[Choice, ...]
    dimensions: tuple[DimensionField, ...]
    hidden: Pairs
    picker: Mapping[str, Any]
    errors: tuple[str, ...]


def query_pairs(query: QueryDict) -> Pairs:
    """A query string as pairs, repeated names repeated."""
    return tuple((name, value) for name, values in query.lists() for value in values)


def make_filter_bar(
    question: UsageFilter,
    *,
    meters: Sequence[MeterFacts],
    values: Mapping[str, tuple[str, ...]],
    zone: tzinfo,
    now: datetime,
) -> FilterBar:
    """The bar of a question that was answered."""
    return FilterBar(
        meters=_meters(question, meters),
        granularities=tuple(_granularities(question)),
        groups=_groups(question),
        comparison=tuple(
            Choice(
                words,
                url(replace(question, compares=compares)),
                current=question.compares is compares,
                id=name,
            )
            for words, compares, name in (("On", True, "compare-on"), ("Off", False, "compare-off"))
        ),
        clocks=_clocks(question, zone),
        chips=_chips(question),
        dimensions=tuple(
            DimensionField(f"{DIMENSION_PREFIX}{key}", label(key), values.get(key, ()), "", "")
            for key in question.meter.dimensions
        ),
        hidden=question.pairs(),
        picker=_picker(question, zone, now),
        errors=(),
    )


def make_refused_bar(
    typed: Pairs,
    faults: Sequence[Fault],
    *,
    usable: UsageFilter,
    meters: Sequence[MeterFacts],
    values: Mapping[str, tuple[str, ...]],
    zone: tzinfo,
    now: datetime,
) -> FilterBar:
    """The bar of a question that was refused: what was typed stays, and each fault stands at its field."""
    bar = make_filter_bar(usable, meters=meters, values=values, zone=zone, now=now)
    given = dict(reversed(typed))
    messages: dict[str, list[str]] = {}
    for fault in faults:
        messages.setdefault(fault.field, []).append(fault.message)
    at_fault = {fault.field for fault in faults}
    at_period = [text for field in ("period", "from", "to") for text in messages.pop(field, [])]
    dimensions = tuple(
        replace(field, typed=given.get(field.name, ""), error=" ".join(messages.pop(field.name, [])))
        for field in bar.dimensions
    )
    picker = {
        **bar.picker,
        "hidden": [
            pair for pair in typed if pair[0] not in (*_OF_THE_PERIOD, "page") and pair[0] not in at_fault
        ],
        "errors": at_period,
        "from_value": given.get("from", "") or bar.picker["from_value"],
        "to_value": given.get("to", "") or bar.picker["to_value"],
    }
    rest = tuple(text for texts in messages.values() for text in texts)
    return replace(bar, dimensions=dimensions, picker=picker, errors=rest)


def url(question: UsageFilter, **extra: str) -> str:
    """The link that asks a question on this page."""
    return f"?{urlencode((*question.pairs(), *extra.items()))}"


def _meters(question: UsageFilter, meters: Sequence[MeterFacts]) -> tuple[Choice, ...]:
    shown = [meter for meter in meters if meter.has_usage or meter.id == question.meter.id]
    return tuple(
        Choice(
            meter.name if meter.is_newest else f"{meter.name} (version {meter.version})",
            url(_with_meter(question, meter)),
            current=meter.id == question.meter.id,
            id=f"meter-{meter_name(meter).replace(':', '-')}",
        )
        for meter in shown
    )


def _with_meter(question: UsageFilter, meter: MeterFacts) -> UsageFilter:
    """The same question of another meter; what it does not know falls away."""
    return replace(
        question,
        meter=meter,
        group_by=question.group_by if question.group_by in meter.dimensions else "",
        values=tuple((key, values) for key, values in question.values if key in meter.dimensions),
    )


def _granularities(question: UsageFilter) -> list[Choice]:
    return [
        Choice(
            name.capitalize(),
            # A stretch too long for the finer step has no link to it.
            url(replace(question, granularity=name, clock="billing" if name != "hour" else question.clock))
            if fits_page(question, name)
            else "",
            current=question.granularity == name,
            id=f"by-{name}",
        )
        for name in granularities_of(question.measure)
    ]


def _groups(question: UsageFilter) -> tuple[Choice, ...]:
    if not question.meter.dimensions:
        return ()
    choices = [
        Choice("Nothing", url(replace(question, group_by="")), current=not question.group_by, id="group-none")
    ]
    choices += [
        Choice(
            label(key).capitalize(),
            url(replace(question, group_by=key))
            if fits_page(replace(question, group_by=key), question.granularity)
            else "",
            current=question.group_by == key,
            id=f"group-{key}",
        )
        for key in question.meter.dimensions
    ]
    return tuple(choices)


def _clocks(question: UsageFilter, zone: tzinfo) -> tuple[Choice, ...]:
    if question.granularity != "hour" or str(zone) == "UTC":
        return ()
    return (
        Choice(
            str(zone),
            url(replace(question, clock="billing")),
            current=question.clock == "billing",
            id="clock-own",
        ),
        Choice("UTC", url(replace(question, clock="utc")), current=question.clock == "utc", id="clock-utc"),
    )


def _chips(question: UsageFilter) -> tuple[Choice, ...]:
    return tuple(
        Choice(f"{label(key)}: {value}", url(without_value(question, key, value)))
        for key, values in question.values
        for value in values
    )


def without_value(question: UsageFilter, key: str, value: str) -> UsageFilter:
    """The question without one of its values."""
    kept = tuple(
        (name, tuple(one for one in values if (name, one) != (key, value)))
        for name, values in question.values
    )
    return replace(question, values=tuple((name, values) for name, values in kept if values))


def with_value(question: UsageFilter, key: str, value: str) -> UsageFilter:
    """The question narrowed to one value of a dimension, and no longer grouped by it."""
    values = dict(question.values) | {key: (value,)}
    group_by = "" if question.group_by == key else question.group_by
    return replace(question, values=tuple(sorted(values.items())), group_by=group_by)


def _picker(question: UsageFilter, zone: tzinfo, now: datetime) -> dict[str, Any]:
    today = local_day(now, zone)
    last_shown = min(question.last_day, today) if question.first_day <= today else question.last_day
    earlier, later = _neighbours(question, zone)
    presets = [
        {
            "label": PRESET_WORDS[preset],
            "url": _preset_url(question, preset),
            "current": question.preset == preset,
        }
        for preset in PRESETS
    ]
    return {
        "label": period_words(question.first_day, last_shown),
        "previous_url": url(earlier),
        "next_url": url(later) if later.first_day <= today else None,
        "presets": presets,
        "action": "",
        "hidden": [pair for pair in question.pairs() if pair[0] not in _OF_THE_PERIOD],
        "from_value": question.first_day.isoformat(),
        "to_value": question.last_day.isoformat(),
        "zone": str(zone),
        "errors": [],
    }


def _preset_url(question: UsageFilter, preset: str) -> str:
    # Without a granularity the page takes the one that fits the period.
    kept = [
        pair for pair in question.pairs() if pair[0] not in ("period", "from", "to", "granularity", "clock")
    ]
    return f"?{urlencode([*kept, ('period', preset)])}"


def _neighbours(question: UsageFilter, zone: tzinfo) -> tuple[UsageFilter, UsageFilter]:
    """The same question one period earlier and one later."""
    earlier = previous_period(question.period(zone), zone)
    first = local_day(earlier.start, zone)
    before = replace(question, preset="", first_day=first, last_day=question.first_day - _ONE_DAY)
    following = question.last_day + _ONE_DAY
    return before, replace(
        question, preset="", first_day=following, last_day=_last_day_after(question, following)
    )


def _last_day_after(question: UsageFilter, first: date) -> date:
    """The last day of the period that follows: months after months, days after days."""
    if question.first_day.day == 1 and first.day == 1:
        months = (first.year - question.first_day.year) * 12 + first.month - question.first_day.month
        return months_after(first, months) - _ONE_DAY
    return first + (question.last_day - question.first_day)
