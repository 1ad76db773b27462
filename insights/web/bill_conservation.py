"""What became of all usage of a bill's period: on the bill, included, free, or elsewhere and why; nothing left over."""

from __future__ import annotations

from fractions import Fraction
from typing import Any
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import account_page
from insights.billing.bill import Bill
from insights.billing.price_words import number_words, quantity_words
from insights.billing.uncovered import UncoveredAmount
from insights.explain.conservation import MeterBalance
from insights.explain.conservation_queries import account_for
from insights.exports.conservation_rows import conservation_rows
from insights.web.bills import bill_or_404, file_stem, name_parts, period_of
from insights.web.csv_files import csv_file
from insights.web.words import days_of


@account_page
@require_safe
def bill_conservation(request: Any, bill_uuid: UUID) -> HttpResponse:
    """Show, for each meter, that everything known of the period is on the bill or named with the reason why not."""
    bill = bill_or_404(request, bill_uuid, now=timezone.now())
    found = account_for(request.account, bill)
    context = {
        "nav": "bills",
        "bill": bill,
        "head": bill.head,
        "period": period_of(bill.head.period, ZoneInfo(bill.head.zone)),
        "meters": [_meter(request, bill, meter) for meter in found.meters],
        "lines": found.lines,
        "is_whole": found.is_whole,
        "not_additive": found.not_additive,
        "uncovered": [_uncovered(request, one) for one in found.uncovered],
        "zone": bill.head.zone,
        "page": {},
    }
    return render(request, "bills/conservation.html", context)


@account_page
@require_safe
def bill_conservation_csv(request: Any, bill_uuid: UUID) -> HttpResponse:
    """Download the same as CSV."""
    bill = bill_or_404(request, bill_uuid, now=timezone.now())
    found = account_for(request.account, bill)
    return csv_file(conservation_rows(found), f"{file_stem(bill.head)}-where-usage-went.csv")


def _uncovered(request: Any, one: UncoveredAmount) -> dict[str, Any]:
    query = {
        "meter": one.found.meter_key,
        "from": one.found.first_used_on.isoformat(),
        "to": one.found.last_used_on.isoformat(),
    }
    address = reverse("usage-explorer", args=[request.account.public_id])
    return {
        "found": one.found,
        "quantity": quantity_words(Fraction(one.quantity), one.unit),
        "url": f"{address}?{urlencode(query)}",
    }


def _meter(request: Any, bill: Bill, meter: MeterBalance) -> dict[str, Any]:
    first, last = days_of(bill.head.period, ZoneInfo(bill.head.zone))
    query = {
        "meter": meter.meter_key,
        "from": first.isoformat(),
        "to": last.isoformat(),
        "position": bill.usage_as_of,
    }
    lines = {line.position: line for section in bill.sections for line in section.lines}
    address = reverse("usage-explorer", args=[request.account.public_id])
    return {
        "balance": meter,
        "lines": [(place, ", ".join(name_parts(lines[place], bill))) for place in meter.positions],
        "known": quantity_words(Fraction(meter.known), meter.unit),
        "known_url": f"{address}?{urlencode(query)}",
        "charged": number_words(meter.charged),
        "included": number_words(meter.included),
        "free": number_words(meter.free),
        "not_charged": number_words(Fraction(meter.not_charged)),
        "elsewhere": [(one, number_words(Fraction(one.quantity))) for one in meter.elsewhere],
        "residual": number_words(meter.residual),
        "is_whole": not meter.residual,
    }
