"""What an account pays for what: the prices of its plans in force, as its newest bill was made at them."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import account_page
from insights.billing.bill import PlanSegment
from insights.billing.bill_queries import PricesInForce, list_prices_in_force
from insights.billing.price_words import (
    bound_words,
    discount_words,
    price_amount,
    price_words,
    sheet_price_rows,
    tier_rows,
)
from insights.exports.bill_rows import PRICE_COLUMNS, price_rows
from insights.rating.sheet import PriceSheet, SheetPrice
from insights.values.period import local_day
from insights.web.bills import period_of
from insights.web.csv_files import csv_file


@account_page
@require_safe
def price_list(request: Any) -> HttpResponse:
    """Show every price in force, in words, with tiers as a table."""
    in_force = list_prices_in_force(request.account, now=timezone.now())
    context = {
        "nav": "bills",
        "plans": [_plan(one, segment) for one in in_force for segment in _in_force(one)],
        "zone": request.account.billing_zone,
    }
    return render(request, "bills/prices.html", context)


@account_page
@require_safe
def prices_csv(request: Any) -> HttpResponse:
    """Download the same prices."""
    rows: list[list[str]] = [list(PRICE_COLUMNS)]
    for one in list_prices_in_force(request.account, now=timezone.now()):
        rows += price_rows(one.head.subscription_name, _in_force(one), one.own)
    return csv_file(rows, "prices.csv")


def _in_force(one: PricesInForce) -> list[PlanSegment]:
    """The plan at the end of the period, and every add-on."""
    base = [segment for segment in one.segments if not segment.is_add_on]
    return base[-1:] + [segment for segment in one.segments if segment.is_add_on]


def _plan(one: PricesInForce, segment: PlanSegment) -> dict[str, Any]:
    sheet, zone = segment.sheet, ZoneInfo(one.head.zone)
    return {
        "name": sheet.plan_name,
        "version": sheet.version,
        "since": local_day(sheet.effective_from, zone),
        "is_add_on": segment.is_add_on,
        "subscription": one.head.subscription_name,
        "period": period_of(one.head.period, zone),
        "terms": whole_words(sheet),
        "prices": [_price(price, segment, one) for price in sheet.prices],
    }


def _price(price: SheetPrice, segment: PlanSegment, one: PricesInForce) -> dict[str, Any]:
    return {
        "name": price.name,
        "meter": price.meter_key,
        "count": segment.counts.get(price.key, ""),
        "is_own": (segment.sheet.plan_key, price.key) in one.own,
        "rows": [(what, price_words(terms), tier_rows(terms)) for what, terms in sheet_price_rows(price)],
    }


def whole_words(sheet: PriceSheet) -> list[str]:
    """What holds for the bill as a whole."""
    words = [f"{discount_words(discount, sheet.currency)} everything" for discount in sheet.discounts]
    words += [f"{bound} a period" for bound in bound_words(sheet.minimum, sheet.maximum, sheet.currency)]
    credit = sheet.included_credit
    if credit is not None:
        amount = price_amount(credit.amount, sheet.currency)
        covers = "" if credit.covers is None else f", for {', '.join(_names(sheet, credit.covers))}"
        words.append(f"{amount} of credit each period ({credit.name}){covers}")
    return words


def _names(sheet: PriceSheet, keys: tuple[str, ...]) -> list[str]:
    return [price.name for key in keys if (price := sheet.price(key)) is not None]
