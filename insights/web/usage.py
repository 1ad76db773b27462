"""The usage page: one meter over time, by dimension, against the period before."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import account_page
from accounts.models import Account
from insights.billing.price_words import scale_words
from insights.explain.priced_scale_queries import list_priced_scales
from insights.feeds.part_queries import find_reading
from insights.metering.coarser import coarser, hours_a_bar
from insights.metering.explore import Exploration
from insights.metering.faults import Fault, UsageFilterRefused
from insights.metering.known_since_queries import read_since
from insights.metering.queries import Asked, answer_query
from insights.metering.usage_filter import COST, UsageFilter
from insights.metering.windows import ONE_DAY, Kind, days_of
from insights.templatetags.portal import day
from insights.values.period import local_day
from insights.values.quantity import BYTE_UNITS, Scale
from insights.web import usage_tables, words
from insights.web.chart_notes import cost_notes, explorer_notes
from insights.web.charts import scale_of, usage_figure
from insights.web.filters import make_filter_bar, make_refused_bar, query_pairs, url
from insights.web.known import known_context, known_control
from insights.web.partials import render_page
from insights.web.saved_views import views_beside
from insights.web.usage_cost import cost_context, measure_choices
from insights.web.usage_words import compare_words, summary

ROWS_PER_PAGE = 100
PAGE = "usage/explorer.html"
PART = "usage-explorer"
_PAGES_MAX_DIGITS = 4


@account_page
@require_safe
def usage_explorer(request: HttpRequest) -> HttpResponse:
    """Answer a question about usage, or say at the field what is wrong with it."""
    now = timezone.now()
    account: Account = request.account  # type: ignore[attr-defined]
    pairs = query_pairs(request.GET)
    page = _page_number(dict(pairs).get("page", "1"))
    shown = range(((page or 1) - 1) * ROWS_PER_PAGE, (page or 1) * ROWS_PER_PAGE)
    asked = answer_query(account, pairs, now, also=frozenset({"page"}), shown=shown)
    zone = ZoneInfo(account.billing_zone)
    if asked.question is None or not any(meter.has_usage for meter in asked.meters):
        nothing = {"zone": zone, "reading": find_reading(account)}
        return render_page(request, "usage/nothing_yet.html", nothing, part=PART)
    if asked.question.measure == COST and not asked.faults and page is not None:
        try:
            return _in_money(request, asked, asked.question, page=page, now=now)
        except UsageFilterRefused as refused:
            told = replace(asked, faults=refused.faults)
            return _refused(request, told, asked.question, zone=zone, now=now, is_page_wrong=False)
    if asked.answer is None or page is None:
        return _refused(request, asked, asked.question, zone=zone, now=now, is_page_wrong=page is None)
    priced = list_priced_scales(account).get((asked.question.meter.key, asked.answer.unit))
    context = _context(asked.answer, page=page, zone=zone, now=now, priced=priced)
    bar = make_filter_bar(asked.question, meters=asked.meters, values=asked.values, zone=zone, now=now)
    context["known_control"] = known_control(asked.question, zone=zone)
    if asked.question.known is not None:
        since = read_since(account, asked.answer, now)
        context |= known_context(asked.answer, since, shown=context, zone=zone)
    context |= explorer_notes(request, asked.answer, context, now=now, zone=zone)
    context |= views_beside(request, asked.question.query_string())
    response = render_page(
        request,
        PAGE,
        {
            "bar": bar,
            "reading": find_reading(account),
            "archived": [words.month_words(month) for month in asked.answer.archived],
            **context,
        },
        part=PART,
    )
    return _with_address(request, response, asked.question, page)


def _with_address(
    request: HttpRequest, response: HttpResponse, question: UsageFilter, page: int
) -> HttpResponse:
    """A form sends its empty fields too; the address bar keeps the question alone."""
    if getattr(request, "htmx", None):
        account: Account = request.account  # type: ignore[attr-defined]
        response["HX-Push-Url"] = reverse("usage-explorer", args=[account.public_id]) + url(
            question, **({"page": str(page)} if page > 1 else {})
        )
    return response


def _in_money(
    request: HttpRequest, asked: Asked, question: UsageFilter, *, page: int, now: datetime
) -> HttpResponse:
    """The same page about cost."""
    account: Account = request.account  # type: ignore[attr-defined]
    zone = ZoneInfo(account.billing_zone)
    shown = slice((page - 1) * ROWS_PER_PAGE, page * ROWS_PER_PAGE)
    cost = cost_context(account, question, shown=shown, now=now)
    last_page = -(-cost["count"] // ROWS_PER_PAGE) or 1
    if page > last_page:
        raise Http404
    context = {
        "bar": make_filter_bar(question, meters=asked.meters, values=asked.values, zone=zone, now=now),
        "reading": find_reading(account),
        "question": question,
        "measures": measure_choices(question),
        "zone": str(zone),
        "cost": cost,
        "group_label": words.label(question.group_by),
        "permalink": url(question.permanent()),
        "csv_query": question.query_string(),
        "pages": _pages(question, page, last_page, cost["count"]),
        **views_beside(request, question.query_string()),
        **cost_notes(request, cost, question.query_string(), now=now, zone=zone),
    }
    return _with_address(request, render_page(request, PAGE, context, part=PART), question, page)


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
    control = known_control(question, zone=zone, typed=query_pairs(request.GET), faults=faults)
    # What is said at the control of the moment need not be said above it too.
    bar = replace(bar, errors=tuple(error for error in bar.errors if error not in control.errors))
    # htmx swaps 422 and shows other errors as a passing message, which would lose what was typed.
    status = 422 if getattr(request, "htmx", None) else 400
    context = {
        "bar": bar,
        "question": question,
        "measures": measure_choices(question),
        "zone": str(zone),
        "fresh_url": url(question),
        "known_control": control,
    }
    return render_page(request, PAGE, context, part=PART, status=status)


def _context(
    answer: Exploration, *, page: int, zone: tzinfo, now: datetime, priced: Scale | None
) -> dict[str, Any]:
    question = answer.filter
    clock = UTC if question.clock == "utc" else zone
    scale = scale_of(answer, priced)
    context: dict[str, Any] = {
        "answer": answer,
        "question": question,
        "measures": measure_choices(question),
        "zone": str(zone),
        "clock": str(clock),
        "is_on_another_clock": clock is UTC and str(zone) != "UTC",
        "unit": answer.unit,
        "scale": scale,
        "priced": priced,
        "unit_size": scale_words(scale, answer.unit)
        if answer.unit in BYTE_UNITS and scale.unit != "B"
        else "",
        "filter_words": words.filter_words(question),
        "permalink": url(question.permanent()),
        "csv_query": question.query_string(),
        "group_label": words.label(question.group_by),
    }
    if not answer.buckets:
        first = question.first_day
        return context | {"starts_later": words.period_words(first, question.last_day)}
    today = local_day(now, zone)
    return context | _shown(
        answer, page=page, zone=zone, clock=clock, scale=scale, priced=priced, today=today
    )


def _shown(
    answer: Exploration,
    *,
    page: int,
    zone: tzinfo,
    clock: tzinfo,
    scale: Scale,
    priced: Scale | None,
    today: date,
) -> dict[str, Any]:
    question = answer.filter
    slots = tuple(bucket.slot for bucket in answer.buckets)
    first, end = days_of(slots, zone)
    last_page = -(-len(slots) // ROWS_PER_PAGE)
    if page > last_page:
        raise Http404
    shown = answer.buckets[(page - 1) * ROWS_PER_PAGE : page * ROWS_PER_PAGE]
    complete = [bucket for bucket in answer.buckets if bucket.kind is not Kind.INCOMPLETE]
    writer = usage_tables.RowWriter.of(answer, zone=zone, clock=clock, scale=scale)
    return {
        "period": words.period_words(first, min(end - ONE_DAY, today)),
        "is_so_far": slots[-1].end < question.period(zone).end or complete != list(answer.buckets),
        "change": answer.change,
        "compare_words": compare_words(answer, zone=zone, clock=clock, count=len(complete)),
        "completeness": words.completeness_badge(answer.completeness, end=slots[-1].end, zone=zone),
        "sources": words.sources_words(answer.completeness),
        "begins_later": all(bucket.kind is Kind.BEFORE for bucket in answer.buckets),
        "has_usage": any(bucket.records for bucket in answer.buckets),
        **_chart(answer, zone=zone, clock=clock, priced=priced),
        "caption": usage_tables.caption(answer),
        "whole": Decimal(1),
        "compare_note": usage_tables.compare_note(answer, len(complete)),
        "groups": usage_tables.group_rows(answer),
        "largest": max((group.total for group in answer.groups), default=Decimal(0)),
        "rows": list(map(writer.write, shown)),
        "marks": usage_tables.marks(answer),
        "pages": _pages(question, page, last_page, len(slots)),
        "compares_rows": usage_tables.compares_rows(answer),
        "has_previous": usage_tables.has_previous(answer),
        "hidden_groups": answer.values_found - len(answer.groups) if not answer.stacks else 0,
        "first_used": answer.first_used_day,
        "first_used_words": f"The first usage is from {day(answer.first_used_day)}.",
    }


def _chart(answer: Exploration, *, zone: tzinfo, clock: tzinfo, priced: Scale | None) -> dict[str, Any]:
    hours = hours_a_bar(answer)
    drawn = coarser(answer, hours=hours)
    return {
        "figure": usage_figure(drawn, zone=zone, clock=clock, scale=scale_of(drawn, priced), hours=hours),
        "summary": summary(answer, zone=zone, clock=clock, priced=priced),
        "chart_note": usage_tables.chart_note(answer, hours),
    }


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
