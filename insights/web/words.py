"""The words of the usage pages: periods, completeness and changes, in plain English and without markup."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta, tzinfo
from decimal import Decimal
from functools import lru_cache
from typing import Any

from insights.metering.completeness import Completeness
from insights.metering.usage_filter import UsageFilter
from insights.metering.windows import Kind, Slot
from insights.templatetags.portal import day as day_text
from insights.templatetags.portal import day_short, percent
from insights.values.period import Period, local_day, months_after
from insights.values.quantity import Scale, scaled

_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_ONE_DAY = timedelta(days=1)
_WINDOW = timedelta(hours=1)
# Some pages of three months; an hour is called the same on each of them.
_HOURS_KEPT = 8_000
PRESET_WORDS = {
    "this-month": "This month",
    "last-month": "Last month",
    "last-7-days": "Last 7 days",
    "last-30-days": "Last 30 days",
    "last-12-months": "Last 12 months",
}
KIND_WORDS = {
    Kind.COMPLETE: "",
    Kind.ZERO: "measured zero",
    Kind.INCOMPLETE: "not yet complete",
    Kind.GAP: "no data arrived",
    Kind.BEFORE: "before the first usage",
    Kind.DAILY: "in the day's total",
    Kind.UNKNOWN: "",
}


def days_of(period: Period, zone: tzinfo) -> tuple[date, date]:
    """The first and the last local day of a period, both included.

    In a zone off the whole hour a period ends with the first window that begins after midnight; the half hour before
    that is in a window of the day before, so that the next period's first day is not this one's last.
    """
    last = max(period.start, period.end - _WINDOW)
    return local_day(period.start, zone), local_day(last, zone)


def period_words(first: date, last: date) -> str:
    """A stretch of days, both included, as short as it can be said."""
    if first == last:
        return day_text(first)
    if first.day == 1 and last == months_after(first, 1) - _ONE_DAY:
        return f"{_MONTHS[first.month - 1]} {first.year}"
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day} to {day_text(last)}"
    if first.year == last.year:
        return f"{day_short(first)} to {day_text(last)}"
    return f"{day_text(first)} to {day_text(last)}"


def month_name(day: date) -> str:
    """The month's name alone."""
    return _MONTHS[day.month - 1]


def month_words(month: date) -> str:
    """A month with its year."""
    return f"{_MONTHS[month.month - 1]} {month.year}"


def month_short(month: date) -> str:
    """A month with its year where there is little room."""
    return f"{_MONTHS[month.month - 1][:3]} {month.year}"


def slot_words(slot: Slot, *, granularity: str, zone: tzinfo, clock: tzinfo) -> str:
    """What a row of a table and a bar of a chart are called."""
    if granularity == "month":
        last = local_day(slot.end - timedelta(microseconds=1), zone)
        is_whole = slot.day.day == 1 and last == months_after(slot.day, 1) - _ONE_DAY
        return (
            f"{_MONTHS[slot.day.month - 1][:3]} {slot.day.year}" if is_whole else period_words(slot.day, last)
        )
    if granularity == "day":
        return day_text(slot.day)
    return hour_words(slot.start, clock)


@lru_cache(_HOURS_KEPT)
def hour_words(instant: datetime, clock: tzinfo) -> str:
    """An hour by its start; where the clock is set back, the repeated hour says its offset."""
    local = instant.astimezone(clock)
    text = f"{day_short(local.date())}, {clock_words(local)}"
    if local.replace(fold=0).utcoffset() == local.replace(fold=1).utcoffset():
        return text
    offset = f"{local:%z}"
    return f"{text} (UTC{offset[:3]}:{offset[3:5]})"


def clock_words(local: datetime) -> str:
    """What a clock shows: 14:00. Format codes take several times as long, and a chart has hundreds of hours."""
    return f"{local.hour:02}:{local.minute:02}"


def instant_words(instant: datetime, zone: tzinfo) -> str:
    """An instant on the clock of a zone: 3 Nov 2026, 14:00."""
    local = instant.astimezone(zone)
    return f"{day_text(local.date())}, {local:%H:%M}"


def change_words(change: Decimal | None) -> str:
    """A change against an earlier quantity: 4.3 % more than."""
    if change is None:
        return ""
    size = percent(abs(change))
    if not change or size.startswith("0.0"):
        return "as much as"
    return f"{size} {'more' if change > 0 else 'less'} than"


def complete_days_words(change: Decimal | None, *, count: int, unit: str, before: str) -> str:
    """A change where not all that is shown is complete: its 21 complete days are 4.3 % below those of October."""
    if change is None:
        return ""
    size = percent(abs(change))
    is_level = not change or size.startswith("0.0")
    relation = "level with" if is_level else f"{size} {'above' if change > 0 else 'below'}"
    if count == 1:
        return f"its one complete {unit} is {relation} {before}"
    return f"its {count:,} complete {unit}s are {relation} {before}"


def short_badge(badge: dict[str, str], completeness: Completeness, zone: tzinfo) -> dict[str, str]:
    """The badge for a card: short, with the whole sentence in its title."""
    if completeness.complete_to is None or badge["state"] == "complete":
        return badge
    local = completeness.complete_to.astimezone(zone)
    to = f"to {day_short(local.date())}, {local:%H:%M}"
    count = len(completeness.missing)
    label = f"{count} source{'' if count == 1 else 's'} missing, {to}" if count else f"Complete {to}"
    return {**badge, "label": label}


def completeness_badge(completeness: Completeness, *, end: datetime, zone: tzinfo) -> dict[str, str]:
    """How complete a figure that ends at an instant is, for the badge beside it."""
    if completeness.complete_to is None:
        return {
            "state": "none",
            "label": "No data yet",
            "detail": "No source has said up to when it is complete.",
        }
    to = instant_words(completeness.complete_to, zone)
    detail = f"Complete to {to}. {sources_words(completeness)}"
    if completeness.missing:
        return {"state": "missing", "label": f"Source missing, complete to {to}", "detail": detail}
    if completeness.is_settled or completeness.complete_to >= end:
        return {"state": "complete", "label": "Complete", "detail": detail}
    return {"state": "incomplete", "label": f"Complete to {to}", "detail": detail}


def sources_words(completeness: Completeness) -> str:
    """Which sources are heard of, and which are not."""
    sentences = [_reporting_words(completeness)] if completeness.sources else []
    if completeness.ended:
        names = " and ".join(mark.name for mark in completeness.ended)
        sentences.append(f"{names} {'has' if len(completeness.ended) == 1 else 'have'} ended.")
    return " ".join(sentences) or "Every source of it had ended before."


def _reporting_words(completeness: Completeness) -> str:
    count = completeness.sources
    if not completeness.missing:
        return "Its source reports on time." if count == 1 else f"All {count} sources report on time."
    parts = [f"{completeness.reporting} of {count} sources report on time"]
    silent = ", ".join(mark.name for mark in completeness.missing if mark.has_reported)
    if silent:
        parts.append(f"nothing from {silent} for more than twice the time it usually takes")
    unheard = [mark.name for mark in completeness.missing if not mark.has_reported]
    if unheard:
        parts.append(f"{', '.join(unheard)} {'has' if len(unheard) == 1 else 'have'} not reported yet")
    return f"{'; '.join(parts)}."


def filter_words(question: UsageFilter) -> str:
    """Which values are looked at, if not all: only region eu-central or us-east."""
    parts = [f"{label(key)} {' or '.join(values)}" for key, values in question.values]
    return f"only {' and '.join(parts)}" if parts else ""


def quantity_words(quantity: Decimal | None, unit: str, scale: Scale | None = None) -> str:
    """A quantity scaled for reading, as plain text; in the unit of its price where there is one."""
    return "no data" if quantity is None else str(scaled(quantity, unit, scale=scale))


def legend_before(items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A legend with the period before: which is which in words, since colour and line say it to some only."""
    bars = items or [{"series": 1, "label": "This period: bars"}]
    return [*bars, {"kind": "previous", "label": "Period before: dotted line"}]


def label(key: str) -> str:
    """A dimension's key as a word of a sentence."""
    return key.replace("_", " ")


def group_words(value: str | None, *, is_rest: bool, members: int) -> str:
    """What a group is called on pages."""
    if is_rest:
        return f"{members:,} others"
    return "(none)" if value is None else value
