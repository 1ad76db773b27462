"""The usage page: one meter over time, by dimension, against the period before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

from accounts.access import account_page
from accounts.models import Account
from insights.metering.explore import Bucket, Exploration, change_of
from insights.metering.queries import Asked, answer_query
from insights.metering.usage_filter import Fault, UsageFilter
from insights.metering.windows import ONE_DAY, Kind, days_of
from insights.templatetags.portal import quantity_in
from insights.values.quantity import Scale
from insights.web import words
from insights.web.charts import scale_of, usage_figure
from insights.web.colours import series_of
from insights.web.filters import make_filter_bar, make_refused_bar, query_pairs, url, with_value
from insights.web.partials import render_page

ROWS_PER_PAGE = 100
PAGE = "usage/explorer.html"
PART = "usage-explorer"
_PAGES_MAX_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table, every cell ready to print."""

    label: str
    cells: tuple[SafeString, ...]
    previous: SafeString
    change: Decimal | None
    state: str
    css_class: str


@dataclass(frozen=True, slots=True)
class GroupRow:
    """One line of the table of groups."""

    label: str
    series: int | str
    total: Decimal
    share: Decimal | None
    previous: Decimal | None
    change: Decimal | None
    url: str


@account_page
@require_safe
def usage_explorer(request: HttpRequest) -> HttpResponse:
    """Answer a question about usage, or say at the field what is wrong with it."""
    now = timezone.now()
    account: Account = request.account  # type: ignore[attr-defined]
    pairs = query_pairs(request.GET)
    asked = answer_query(account, pairs, now, also=frozenset({"page"}))
    zone = ZoneInfo(account.billing_zone)
    if asked.question is None or not any(meter.has_usage for meter in asked.meters):
        return render_page(request, "usage/nothing_yet.html", {"zone": zone}, part=PART)
    page = _page_number(dict(pairs).get("page", "1"))
    if asked.answer is None or page is None:
        return _refused(request, asked, asked.question, zone=zone, now=now, is_page_wrong=page is None)
    context = _context(account, asked.answer, page=page, zone=zone)
    bar = make_filter_bar(asked.question, meters=asked.meters, values=asked.values, zone=zone, now=now)
    response = render_page(request, PAGE, {"bar": bar, **context}, part=PART)
    if getattr(request, "htmx", None):
        # A form sends its empty fields too; the address bar keeps the question alone.
        response["HX-Push-Url"] = reverse("usage-explorer", args=[account.public_id]) + url(
            asked.question, **({"page": str(page)} if page > 1 else {})
        )
    return response


def _page_number(text: str) -> int | None:
    is_plain = text.isascii() and text.isdigit() and len(text) <= _PAGES_MAX_DIGITS and text[0] != "0"
    return int(text) if is_plain else None


def _refused(
    request: HttpRequest,
    asked: Asked,
    question: UsageFilter,
    *,
    zone: tzinfo,
    now: datetime,
    is_page_wrong: bool,
) -> HttpResponse:
    faults = asked.faults
    if is_page_wrong:
        faults += (Fault("page", "page", "A page is a whole number from 1."),)
    bar = make_refused_bar(
        query_pairs(request.GET),
        faults,
        usable=question,
        meters=asked.meters,
        values=asked.values,
        zone=zone,
        now=now,
    )
    # htmx swaps 422 and shows other errors as a passing message, which would lose what was typed.
    status = 422 if getattr(request, "htmx", None) else 400
    context = {"bar": bar, "question": question, "zone": str(zone), "fresh_url": url(question)}
    return render_page(request, PAGE, context, part=PART, status=status)


def _context(account: Account, answer: Exploration, *, page: int, zone: tzinfo) -> dict[str, Any]:
    question = answer.filter
    clock = UTC if question.clock == "utc" else zone
    scale = scale_of(answer)
    context: dict[str, Any] = {
        "answer": answer,
        "question": question,
        "zone": str(zone),
        "clock": str(clock),
        "is_on_another_clock": clock is UTC and str(zone) != "UTC",
        "unit": answer.unit,
        "scale": scale,
        "filter_words": words.filter_words(question),
        "permalink": url(question.permanent()),
        "csv_query": question.query_string(),
        "group_label": words.label(question.group_by),
    }
    if not answer.buckets:
        first = question.first_day
        return context | {"starts_later": words.period_words(first, question.last_day)}
    return context | _shown(answer, page=page, zone=zone, clock=clock, scale=scale)


def _shown(answer: Exploration, *, page: int, zone: tzinfo, clock: tzinfo, scale: Scale) -> dict[str, Any]:
    question = answer.filter
    slots = tuple(bucket.slot for bucket in answer.buckets)
    first, end = days_of(slots, zone)
    last_page = -(-len(slots) // ROWS_PER_PAGE)
    if page > last_page:
        raise Http404
    shown = answer.buckets[(page - 1) * ROWS_PER_PAGE : page * ROWS_PER_PAGE]
    complete = [bucket for bucket in answer.buckets if bucket.kind is not Kind.INCOMPLETE]
    return {
        "period": words.period_words(first, end - ONE_DAY),
        "is_so_far": slots[-1].end < question.period(zone).end or complete != list(answer.buckets),
        "change": answer.change,
        "change_words": words.change_words(answer.change),
        "compared": _compared(answer, zone=zone, clock=clock, count=len(complete)),
        "completeness": words.completeness_badge(answer.completeness, end=slots[-1].end, zone=zone),
        "sources": words.sources_words(answer.completeness),
        "has_usage": any(bucket.records for bucket in answer.buckets),
        "figure": usage_figure(answer, zone=zone, clock=clock, scale=scale),
        "summary": _summary(answer, zone=zone, clock=clock),
        "caption": _caption(answer),
        "whole": Decimal(1),
        "compare_note": _compare_note(answer, len(complete)),
        "groups": _group_rows(answer),
        "largest": max((group.total for group in answer.groups), default=Decimal(0)),
        "rows": [_row(answer, bucket, zone=zone, clock=clock, scale=scale) for bucket in shown],
        "marks": _marks(answer),
        "pages": _pages(question, page, last_page, len(slots)),
        "compares_rows": _compares_rows(answer),
        "has_previous": any(bucket.previous is not None for bucket in answer.buckets),
        "hidden_groups": answer.values_found - len(answer.groups) if not answer.stacks else 0,
        "first_used": answer.first_used_day,
    }


def _compared(answer: Exploration, *, zone: tzinfo, clock: tzinfo, count: int) -> str:
    """The stretch of the period before that the change is measured against."""
    slots = answer.previous_slots[:count]
    if answer.previous is None or not slots:
        return ""
    if answer.filter.granularity == "hour":
        end = words.hour_words(slots[-1].end, clock)
        return f"{words.hour_words(slots[0].start, clock)} to {end}"
    first, end_day = days_of(slots, zone)
    return words.period_words(first, end_day - ONE_DAY)


def _summary(answer: Exploration, *, zone: tzinfo, clock: tzinfo) -> str:
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
    return f"{text}; highest {named} with {words.quantity_words(top.quantity, answer.unit)}."


def _caption(answer: Exploration) -> str:
    """What the chart and the table show, in one sentence."""
    question = answer.filter
    text = f"{question.meter.name} per {question.granularity}"
    if not question.group_by:
        return f"{text}."
    group = words.label(question.group_by)
    if answer.stacks:
        return f"{text}, split by {group}."
    return f"{text} of each {group}. Bars stand side by side, because these quantities do not add up."


def _compare_note(answer: Exploration, complete: int) -> str:
    """What the change is measured on, where a reader could take it for more."""
    unit = answer.filter.granularity
    if answer.previous is None and any(bucket.previous is not None for bucket in answer.buckets):
        return "Usage began within the period before, so there is no change to name."
    if answer.previous is None or complete == len(answer.buckets):
        return ""
    return f"The change compares the {complete:,} complete {unit}s with the same {unit}s before."


def _group_rows(answer: Exploration) -> list[GroupRow]:
    colours = series_of(group.value for group in answer.groups if not group.is_rest)
    question = answer.filter
    return [
        GroupRow(
            label=words.group_words(group.value, is_rest=group.is_rest, members=group.members),
            series="other" if group.is_rest else colours[group.value],
            total=group.total,
            share=group.total / answer.total if answer.stacks and answer.total else None,
            previous=group.previous,
            change=change_of(group.comparable, group.previous),
            url=url(with_value(question, question.group_by, group.value)) if group.value else "",
        )
        for group in answer.groups
    ]


def _row(answer: Exploration, bucket: Bucket, *, zone: tzinfo, clock: tzinfo, scale: Scale) -> Row:
    granularity = answer.filter.granularity
    is_complete = bucket.kind is not Kind.INCOMPLETE
    state = "total of the day" if bucket.holds_daily_totals else words.KIND_WORDS[bucket.kind]
    return Row(
        label=words.slot_words(bucket.slot, granularity=granularity, zone=zone, clock=clock),
        cells=tuple(_cell(value, answer.unit, scale) for value in (bucket.quantity, *bucket.parts)),
        previous=_cell(bucket.previous, answer.unit, scale),
        change=change_of(bucket.quantity, bucket.previous)
        if is_complete and _compares_rows(answer)
        else None,
        state=state,
        css_class={Kind.INCOMPLETE: "is-incomplete", Kind.GAP: "is-gap"}.get(bucket.kind, ""),
    )


def _compares_rows(answer: Exploration) -> bool:
    """Whether a row stands against its like: a Sunday against a Sunday, or a month against a month."""
    before = answer.previous_slots
    if answer.filter.granularity == "month" or not before:
        return True
    return before[0].day.weekday() == answer.buckets[0].slot.day.weekday()


_DASH = SafeString("\u2014")


def _cell(value: Decimal | None, unit: str, scale: Scale) -> SafeString:
    return _DASH if value is None else quantity_in(value, unit, scale)


def _marks(answer: Exploration) -> list[dict[str, str]]:
    """The legend of the marks that appear in this chart, and of no others."""
    kinds = {bucket.kind for bucket in answer.buckets}
    legend = []
    if any(bucket.previous is not None for bucket in answer.buckets):
        legend.append({"kind": "previous", "label": "Period before"})
    if Kind.INCOMPLETE in kinds:
        legend.append({"kind": "incomplete", "label": "Not yet complete"})
    if Kind.GAP in kinds:
        legend.append({"kind": "gap", "label": "No data arrived"})
    if Kind.ZERO in kinds:
        legend.append({"kind": "zero", "label": "Measured zero"})
    return legend


def _pages(question: UsageFilter, page: int, last_page: int, count: int) -> dict[str, Any]:
    if last_page <= 1:
        return {}
    first = (page - 1) * ROWS_PER_PAGE + 1
    return {
        "summary": f"Rows {first:,} to {min(page * ROWS_PER_PAGE, count):,} of {count:,}",
        "previous_url": url(question, page=str(page - 1)) if page > 1 else None,
        "next_url": url(question, page=str(page + 1)) if page < last_page else None,
        "target": f"#{PART}",
    }
