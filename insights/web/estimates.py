"""What would it cost: an account's closed periods, or quantities typed in, on another plan; the same as CSV.

A form by GET, so that the address of an answer can be kept and shared. Nothing is stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import account_page
from accounts.models import Account
from insights.billing.bill import BillLine
from insights.billing.closed_period_queries import find_subscription
from insights.billing.estimate import Estimate, EstimatedPeriod, RatedSide
from insights.billing.estimate_queries import find_prices, list_asked_meters, make_estimate
from insights.billing.estimate_question import (
    PERIODS_MAX,
    EstimateRefused,
    count_field,
    quantity_field,
    question_of_form,
)
from insights.billing.estimate_words import estimate_sentence, left_out_sentences, period_notes
from insights.billing.plan_choice_queries import PlanChoice, list_plan_choices
from insights.billing.price_words import cell_words, money_words, number_words, per_words
from insights.billing.words import line_price_words, line_sentence, step_rows
from insights.exports.estimate_rows import estimate_rows
from insights.ingest.refusals import Refusal
from insights.rating.charges import Flat, Package
from insights.rating.sheet import PriceSheet
from insights.rating.terms import PriceTerms
from insights.web.bill_charts import signed_number
from insights.web.bills import period_of, uuid_of, values_of
from insights.web.csv_files import csv_file
from insights.web.estimate_charts import sides_figure

_FIELDS_MAX = 2_000
# Browsers and Django follow no address that is much longer.
_QUERY_LED_ON_MAX = 1_500
Pairs = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Asked:
    """An answer, or why there is none: the message and the field that it is about."""

    estimate: Estimate | None = None
    fault: str = ""
    field: str = ""


@account_page
@require_safe
def estimate(request: Any) -> HttpResponse:
    """Ask, and show the answer where something was asked."""
    account, now, pairs = request.account, timezone.now(), _pairs(request)
    may_take_any = request.support_access is not None
    values = dict(pairs)
    plans = _offered(account, values, now=now, may_take_any=may_take_any)
    asked = _ask(account, pairs, now=now, may_take_any=may_take_any) if _is_asked(values) else _Asked()
    context = {
        "nav": "bills",
        "plans": [_plan(plan, values) for plan in plans],
        "values": values,
        "is_typed": values.get("from") == "quantities",
        "numbers": [str(number) for number in range(1, PERIODS_MAX + 1)],
        "periods": values.get("periods") or "3",
        "fields": _fields(account, values, plans, asked, now=now, may_take_any=may_take_any),
        "fault": asked.fault,
        "fault_field": asked.field,
        "zone": account.billing_zone,
        "csv_query": request.META.get("QUERY_STRING", ""),
        **(_answer(account, asked.estimate) if asked.estimate else {}),
    }
    return render(request, "bills/estimate.html", context, status=400 if asked.fault else 200)


@account_page
@require_safe
def estimate_csv(request: Any) -> HttpResponse:
    """Download every line of both sides and the sums; a question without an answer leads to the page that says why."""
    asked = _ask(
        request.account, _pairs(request), now=timezone.now(), may_take_any=request.support_access is not None
    )
    if asked.estimate is None:
        page = reverse("estimate", args=[request.account.public_id])
        query = request.META.get("QUERY_STRING", "")
        return redirect(f"{page}?{query}" if len(query) <= _QUERY_LED_ON_MAX else page)
    return csv_file(estimate_rows(asked.estimate), f"estimate-{asked.estimate.plan_key}.csv")


def _offered(
    account: Account, values: dict[str, str], *, now: datetime, may_take_any: bool
) -> tuple[PlanChoice, ...]:
    """The plans to choose from; for closed periods those that could have billed them."""
    plans = list_plan_choices(account, now=now, may_take_any=may_take_any)
    if values.get("from") == "quantities":
        return plans
    subscription = find_subscription(account, public_id=uuid_of(values.get("subscription", "")))
    if subscription is None:
        return plans
    place = (subscription.currency, subscription.interval_months)
    return tuple(plan for plan in plans if (plan.currency, plan.interval_months) == place)


def _pairs(request: Any) -> Pairs:
    text = request.META.get("QUERY_STRING", "")
    try:
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_FIELDS_MAX)
    except ValueError:
        return [("from", "unreadable")]


def _is_asked(values: dict[str, str]) -> bool:
    """Whether it is a question: a plan alone was chosen to type quantities for."""
    return bool(values) and not (values.get("from") == "quantities" and set(values) <= {"from", "plan"})


def _ask(account: Account, pairs: Pairs, *, now: datetime, may_take_any: bool) -> _Asked:
    try:
        question = question_of_form(pairs)
        return _Asked(make_estimate(account, question, now=now, may_take_any=may_take_any))
    except (EstimateRefused, Refusal) as error:
        return _Asked(fault=error.message, field=error.field)


def _plan(plan: PlanChoice, values: dict[str, str]) -> dict[str, Any]:
    return {
        "key": plan.key,
        "words": f"{plan.name}, {plan.currency}",
        "is_chosen": plan.key == values.get("plan"),
    }


def _fields(
    account: Account,
    values: dict[str, str],
    plans: tuple[PlanChoice, ...],
    asked: _Asked,
    *,
    now: datetime,
    may_take_any: bool,
) -> list[dict[str, str]]:
    """A field for each counted fee of the chosen plan, and for each part of each price where quantities are typed in.

    Of closed periods the first plan is the one that the form shows as chosen.
    """
    is_typed, key = values.get("from") == "quantities", values.get("plan", "")
    keys = [plan.key for plan in plans]
    if key not in keys and (is_typed or not keys):
        return []
    sheet = find_prices(account, key if key in keys else keys[0], now=now, may_take_any=may_take_any)
    if not is_typed:
        return _count_fields(sheet, values, asked)
    return [*_quantity_fields(sheet, values), *_count_fields(sheet, values, asked)]


def _quantity_fields(sheet: PriceSheet, values: dict[str, str]) -> list[dict[str, str]]:
    found = []
    for meter in list_asked_meters(sheet):
        price = sheet.by_meter.get(meter.key)
        names = price.matrix.dimensions if price and price.matrix else ()
        for cell, terms in price.every_terms() if price else (((), None),):
            of = dict(zip(names, cell, strict=True)) if cell else {}
            name = quantity_field(meter.key, of)
            label = f"{meter.name}, {cell_words(of)}" if of else meter.name
            if names and not of:
                label = f"{meter.name}, everything else"
            found.append(
                {
                    "name": name,
                    "label": label,
                    "unit": meter.unit,
                    "priced": _priced(terms),
                    "value": values.get(name, ""),
                    "empty": "0",
                }
            )
    return found


def _priced(terms: PriceTerms | None) -> str:
    """For how many of it the price is, where it is not for one of what is typed in; so that both can be compared."""
    if terms is None or terms.exempt_reason or isinstance(terms.charge, Flat):
        return ""
    is_other = terms.conversion is not None or isinstance(terms.charge, Package)
    return f"priced {per_words(terms)}" if is_other else ""


def _count_fields(sheet: PriceSheet, values: dict[str, str], asked: _Asked) -> list[dict[str, str]]:
    """How many of each counted fee; where it is left empty, what the newest period of the answer was rated with."""
    newest = asked.estimate.periods[0].counts if asked.estimate else {}
    otherwise = "1" if values.get("from") == "quantities" else "as billed, else 1"
    return [
        {
            "name": name,
            "label": f"How many: {price.name}",
            "unit": "",
            "priced": "",
            "value": values.get(name, ""),
            "empty": newest.get(price.key, otherwise),
        }
        for price in sheet.prices
        if price.is_counted and (name := count_field(price.key))
    ]


def _answer(account: Account, found: Estimate) -> dict[str, Any]:
    zone = ZoneInfo(found.zone)
    return {
        "estimate": found,
        "sentence": estimate_sentence(found),
        "left_out": left_out_sentences(found),
        "billed": "" if found.billed is None else money_words(found.billed),
        "estimated": money_words(found.estimated),
        "difference": "" if found.difference is None else signed_number(found.difference, is_change=True),
        # As in the chart, whose time runs from left to right.
        "periods_shown": [_period(account, period, zone) for period in reversed(found.periods)],
        "figure": sides_figure(found, zone) if found.billed is not None else None,
        "zone": found.zone,
    }


def _period(account: Account, period: EstimatedPeriod, zone: ZoneInfo) -> dict[str, Any]:
    head, difference = period.head, period.difference
    return {
        "days": period_of(period.period, zone),
        "number": head.number if head else "",
        "url": reverse("bill-detail", args=[account.public_id, head.public_id]) if head else "",
        "version": period.sheet.version,
        "billed": "" if period.billed is None else money_words(period.billed.total),
        "came_to": money_words(head.total) if head and period.left_out and period.left_out.minor else "",
        "estimated": money_words(period.estimate.total),
        "difference": "" if difference is None else signed_number(difference, is_change=True),
        "notes": period_notes(period),
        "is_changed": period.is_changed and head is not None,
        "sections": _sections(period.estimate),
    }


def _sections(side: RatedSide) -> list[dict[str, Any]]:
    return [
        {
            "title": section.title,
            "subtotal": money_words(section.subtotal) if len(section.lines) > 1 else "",
            "lines": [_line(line, section.lines) for line in section.lines],
        }
        for section in side.sections
    ]


def _line(line: BillLine, together: tuple[BillLine, ...]) -> dict[str, Any]:
    return {
        "name": line.name,
        "values": values_of(line, together),
        "quantity": "" if line.billed_quantity is None else number_words(line.billed_quantity),
        "unit": line.unit,
        "price": line_price_words(line),
        "amount": money_words(line.amount),
        "sentence": line_sentence(line),
        "steps": [
            {"words": row.words, "exact": row.exact, "amount": money_words(row.amount)}
            for row in step_rows(line)
        ],
    }
