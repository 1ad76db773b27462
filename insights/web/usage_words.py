"""The sentences of the usage page about an answer: its change against the period before, and its chart."""

from __future__ import annotations

from datetime import tzinfo
from decimal import Decimal

from insights.metering.explore import Exploration
from insights.metering.windows import ONE_DAY, days_of
from insights.values.period import local_day, start_of_day
from insights.values.quantity import Scale
from insights.web import words


def compare_words(answer: Exploration, *, zone: tzinfo, clock: tzinfo, count: int) -> str:
    """The change in words; where some of it is not complete, they say what is compared."""
    if answer.change is None:
        return ""
    if count == len(answer.buckets):
        compared = _compared(answer, zone=zone, clock=clock, count=count)
        return f"{words.change_words(answer.change)} {compared}"
    unit = answer.filter.granularity
    before = _compared(answer, zone=zone, clock=clock, count=count)
    return words.complete_days_words(answer.change, count=count, unit=unit, before=before)


def _compared(answer: Exploration, *, zone: tzinfo, clock: tzinfo, count: int) -> str:
    """The stretch of the period before that the change is measured against."""
    slots = answer.previous_slots[:count]
    if answer.previous is None or not slots:
        return ""
    are_days = slots[-1].end == start_of_day(local_day(slots[-1].end, zone), zone)
    if answer.filter.granularity == "hour" and not (are_days and clock == zone):
        end = words.hour_words(slots[-1].end, clock)
        return f"{words.hour_words(slots[0].start, clock)} to {end}"
    first, end_day = days_of(slots, zone)
    return words.period_words(first, end_day - ONE_DAY)


def summary(answer: Exploration, *, zone: tzinfo, clock: tzinfo, priced: Scale | None) -> str:
    """The chart in one sentence, for those who do not see it."""
    known = [bucket for bucket in answer.buckets if bucket.quantity is not None]
    granularity = answer.filter.granularity
    text = f"{answer.filter.meter.name} per {granularity}"
    if answer.filter.group_by:
        text += f" by {words.label(answer.filter.group_by)}"
    if not known:
        return f"{text}; no data in this period."
    top = max(known, key=lambda bucket: bucket.quantity or Decimal(0))
    named = words.slot_words(top.slot, granularity=granularity, zone=zone, clock=clock)
    return f"{text}; highest {named} with {words.quantity_words(top.quantity, answer.unit, priced)}."
