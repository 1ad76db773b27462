"""The forecast of a running bill: a page of its own, which the bill's page and the overview load parts of, and as CSV.

It looks at a year of days, so that neither page waits for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.http import Http404, HttpResponse
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_safe

from accounts.access import account_page
from insights.billing.bill import Bill
from insights.billing.bill_queries import has_bill
from insights.billing.day_words import running_words
from insights.billing.forecast import BillForecast
from insights.billing.forecast_quantities import MeterForecast
from insights.billing.forecast_queries import get_bill_forecast
from insights.billing.forecast_words import band_sentence, forecast_sentence
from insights.billing.price_words import money_words, price_amount
from insights.explain.priced_scale_queries import list_bill_scales
from insights.exports.forecast_rows import forecast_rows
from insights.values.quantity import Scale, for_column, scale_for
from insights.web.bills import bill_or_404, period_of
from insights.web.csv_files import csv_file
from insights.web.forecast_charts import forecast_figure
from insights.web.partials import render_page
from insights.web.words import period_words

CARD = "forecast-card"


@account_page
@require_safe
def bill_forecast(request: Any, bill_uuid: UUID) -> HttpResponse:
    """Show where a running bill goes; to htmx the section of the bill's page, or the card of the overview."""
    now = timezone.now()
    bill = bill_or_404(request, bill_uuid, now=now)
    found = None if bill.head.is_issued else get_bill_forecast(request.account, public_id=bill_uuid, now=now)
    context = {
        "nav": "bills",
        "head": bill.head,
        "period": period_of(bill.head.period, ZoneInfo(bill.head.zone)),
        "forecast": forecast_context(found, bill, list_bill_scales(request.account)),
    }
    part = "card" if request.htmx and request.htmx.target == CARD else "section"
    response = render_page(request, "bills/forecast.html", context, part=part)
    patch_vary_headers(response, ["HX-Target"])
    return response


@account_page
@require_safe
def bill_forecast_csv(request: Any, bill_uuid: UUID) -> HttpResponse:
    """Download the forecast; of a bill whose period does not run, a heading and no row."""
    forecast = get_bill_forecast(request.account, public_id=bill_uuid, now=timezone.now())
    if forecast is None and not has_bill(request.account, public_id=bill_uuid):
        raise Http404
    return csv_file(forecast_rows(forecast), f"forecast-{bill_uuid}.csv")


def forecast_context(
    forecast: BillForecast | None, bill: Bill, scales: Mapping[tuple[str, str], Scale]
) -> dict[str, Any] | None:
    """What a page shows of a forecast; None where there is nothing to look ahead to."""
    if forecast is None:
        return None
    return {
        "is_known": forecast.is_known,
        "sentence": forecast_sentence(forecast),
        "band": band_sentence(forecast),
        "expected": money_words(forecast.expected),
        "low": money_words(forecast.low),
        "high": money_words(forecast.high),
        "so_far": money_words(forecast.so_far),
        "open_days": period_words(forecast.until, forecast.last_day) if forecast.until < forecast.end else "",
        "meters": [_meter(meter, scales.get((meter.key, meter.unit))) for meter in forecast.meters],
        "running": [(point.day, money_words(point.amount)) for point in forecast.running],
        "running_words": running_words(
            [point.amount for point in forecast.running], bill.lines, _minimum_words(bill)
        ),
        "figure": forecast_figure(forecast) if forecast.is_known else None,
    }


def _meter(meter: MeterForecast, priced: Scale | None) -> dict[str, Any]:
    outlook = meter.outlook
    return {
        "name": meter.name,
        "unit": meter.unit,
        "scale": for_column(priced, outlook.high) if priced else scale_for(meter.unit, outlook.high),
        "used": meter.used,
        "low": outlook.low,
        "expected": outlook.expected,
        "high": outlook.high,
    }


def _minimum_words(bill: Bill) -> str:
    """The least that the plan in force last lets a period come to; empty without one."""
    base = [segment.sheet for segment in bill.segments if not segment.is_add_on]
    least = base[-1].minimum if base else None
    return price_amount(least.amount, bill.head.currency) if least else ""
