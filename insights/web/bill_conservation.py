"""What became of all usage of a bill's period: on the bill, included, free, or elsewhere and why; nothing left over."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
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
from insights.billing.bill import Bill, BillLine
from insights.billing.price_words import number_words, quantity_words, scale_of_price, scale_words
from insights.billing.uncovered import UncoveredAmount
from insights.explain.conservation import MeterBalance
from insights.explain.conservation_queries import account_for
from insights.explain.priced_scale_queries import list_bill_scales
from insights.exports.conservation_rows import conservation_rows
from insights.values.exact import exact_number_text
from insights.values.quantity import Scale, beside_unit, exact_in, is_multiple
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
        "uncovered": _uncovered(request, found.uncovered),
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


def _uncovered(request: Any, found: Sequence[UncoveredAmount]) -> list[dict[str, Any]]:
    scales = list_bill_scales(request.account) if found else {}
    address = reverse("usage-explorer", args=[request.account.public_id])
    rows = []
    for one in found:
        scale = scales.get((one.found.meter_key, one.unit))
        query = {
            "meter": one.found.meter_key,
            "from": one.found.first_used_on.isoformat(),
            "to": one.found.last_used_on.isoformat(),
        }
        rows.append(
            {
                "found": one.found,
                "quantity": beside_unit(
                    _number(Fraction(one.quantity), scale), scale.unit if scale else one.unit
                ),
                "url": f"{address}?{urlencode(query)}",
            }
        )
    return rows


def _meter(request: Any, bill: Bill, meter: MeterBalance) -> dict[str, Any]:
    first, last = days_of(bill.head.period, ZoneInfo(bill.head.zone))
    query = {
        "meter": meter.meter_key,
        "from": first.isoformat(),
        "to": last.isoformat(),
        "position": bill.usage_as_of,
    }
    lines = {line.position: line for section in bill.sections for line in section.lines}
    scale = _scale(meter, [lines[place] for place in meter.positions])
    address = reverse("usage-explorer", args=[request.account.public_id])
    return {
        "balance": meter,
        "lines": [(place, ", ".join(name_parts(lines[place], bill))) for place in meter.positions],
        "unit": scale.unit if scale else meter.unit,
        "unit_size": scale_words(scale, meter.unit) if scale and is_multiple(meter.unit, scale.unit) else "",
        "known": beside_unit(_number(Fraction(meter.known), scale), scale.unit if scale else meter.unit),
        "metered": quantity_words(Fraction(meter.known), meter.unit) if scale else "",
        "known_url": f"{address}?{urlencode(query)}",
        "charged": _number(meter.charged, scale),
        "included": _number(meter.included, scale),
        "free": _number(meter.free, scale),
        "not_charged": _number(Fraction(meter.not_charged), scale),
        "elsewhere": [(one, _number(Fraction(one.quantity), scale)) for one in meter.elsewhere],
        "residual": _number(meter.residual, scale),
        "is_whole": not meter.residual,
    }


def _scale(meter: MeterBalance, lines: Sequence[BillLine]) -> Scale | None:
    """The unit that the bill's lines for the meter name quantities in; None where it is the meter's, or not one."""
    scales = {scale_of_price(line.terms) for line in lines if line.terms and line.terms.unit == meter.unit}
    return scales.pop() if len(scales) == 1 else None


def _number(number: Fraction, scale: Scale | None) -> str:
    """Every digit in the unit of the price; with more than a quantity has, six decimals and “about”."""
    text = exact_number_text(number)
    if scale is None or "/" in text:
        return number_words(number / scale.size if scale else number)
    return exact_in(Decimal(text), scale)
