"""The first page of an account: what was used so far this month, meter by meter, and how complete that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import account_page
from accounts.models import Account
from insights.billing.bill_queries import find_running_draft
from insights.billing.price_words import scale_words
from insights.explain.next_unit_queries import NextUnitPrice, list_next_units
from insights.explain.priced_scale_queries import list_priced_scales
from insights.feeds.part_queries import find_reading
from insights.metering.overview import AccountOverview, MeterOverview, TrendPoint
from insights.metering.overview_queries import get_account_overview
from insights.metering.usage_filter import COST, meter_name
from insights.metering.windows import ONE_DAY, Kind, MonthSoFar
from insights.templatetags.portal import day, percent
from insights.values.period import period_of_days, start_of_day
from insights.values.quantity import BYTE_UNITS, THIN_SPACE, Scale, grouped_text, scale_for
from insights.web import words
from insights.web.bills import period_of
from insights.web.chart_notes import mark_days, notes_of_days, notes_under
from insights.web.colours import series_of
from insights.web.next_unit import next_unit_rows
from insights.web.partials import render_page

NEXT_UNITS_SHOWN = 2
_POINT_KINDS = {Kind.GAP: "gap", Kind.ZERO: "zero", Kind.INCOMPLETE: "incomplete", Kind.BEFORE: "before"}


@dataclass(frozen=True, slots=True)
class Card:
    """One meter's card, every part as the template prints it."""

    name: str
    description: str
    unit: str
    scale: Scale
    unit_size: str
    url: str
    value: Decimal | None
    change: Decimal | None
    compared: str
    previous_whole: Decimal | None
    previous_name: str
    points: list[dict[str, Any]]
    points_summary: str
    share_title: str
    parts: list[dict[str, Any]]
    completeness: dict[str, str]
    next_units: list[dict[str, Any]]
    next_units_left: int
    cost_url: str


@account_page
@require_safe
def account_overview(request: HttpRequest) -> HttpResponse:
    """Show the month so far."""
    account: Account = request.account  # type: ignore[attr-defined]
    now = timezone.now()
    zone = ZoneInfo(account.billing_zone)
    overview = get_account_overview(account, now)
    draft = find_running_draft(account, now=now)
    if not overview.meters:
        nothing = {"zone": str(zone), "reading": find_reading(account)}
        return render_page(request, "usage/nothing_yet.html", nothing, part="usage-explorer")
    usage_url = reverse("usage-explorer", args=[account.public_id])
    prices = list_next_units(account, now=now)
    scales = list_priced_scales(account)
    cards = [
        _card(
            one,
            overview.month,
            usage_url=usage_url,
            zone=zone,
            prices=_prices_of(one, prices),
            priced=scales.get((one.meter.key, one.unit)),
        )
        for one in overview.meters
    ]
    days = [point.day for point in overview.meters[0].trend]
    notes = notes_of_days(request, period_of_days(days[0], days[-1] + ONE_DAY, zone))
    mark_days((card.points for card in cards), days, notes, zone)
    context = {
        "reading": find_reading(account),
        **notes_under(request, notes, back="overview", query="", now=now, zone=zone),
        "cards": cards,
        "lead": cards[0],
        "lead_words": _change_words(overview.meters[0], overview.month),
        "largest_change": _largest_change(cards[1:], overview),
        "month_name": words.month_name(overview.month.first),
        "period": words.period_words(overview.month.first, overview.month.today),
        "zone": str(zone),
        "sources": words.sources_words(overview.completeness),
        "unit_sizes": list(dict.fromkeys(card.unit_size for card in cards if card.unit_size)),
        "completeness": _completeness(overview, zone),
        "missing": overview.completeness.missing,
        "draft": draft,
        "draft_period": period_of(draft.period, ZoneInfo(draft.zone)) if draft else "",
    }
    return render_page(request, "usage/overview.html", context, part="usage-overview")


def _completeness(overview: AccountOverview, zone: tzinfo) -> dict[str, str]:
    end = start_of_day(overview.month.today + ONE_DAY, zone)
    return words.completeness_badge(overview.completeness, end=end, zone=zone)


def _prices_of(one: MeterOverview, prices: Sequence[NextUnitPrice]) -> list[NextUnitPrice]:
    key = (one.meter.key, one.meter.version)
    return [price for price in prices if (price.meter_key, price.meter_version) == key]


def _card(
    one: MeterOverview,
    month: MonthSoFar,
    *,
    usage_url: str,
    zone: tzinfo,
    prices: Sequence[NextUnitPrice],
    priced: Scale | None,
) -> Card:
    meter = meter_name(one.meter)
    # One scale for the whole card, so that its numbers can be compared.
    largest = max(abs(one.so_far or Decimal(0)), abs(one.previous_whole or Decimal(0)))
    scale = priced or scale_for(one.unit, largest)
    query = {"meter": meter, "period": "this-month"}
    end = start_of_day(month.today + ONE_DAY, zone)
    return Card(
        name=one.meter.name,
        description=one.meter.description,
        unit=one.unit,
        scale=scale,
        unit_size=scale_words(scale, one.unit) if one.unit in BYTE_UNITS and scale.unit != "B" else "",
        url=f"{usage_url}?{urlencode(query)}",
        value=one.so_far,
        change=one.change,
        compared=_compared(one, month),
        previous_whole=one.previous_whole,
        previous_name=words.month_name(month.previous_first),
        points=[_point(point, one.unit, scale) for point in one.trend],
        points_summary=f"{one.meter.name} per day, {words.period_words(one.trend[0].day, one.trend[-1].day)}",
        share_title=f"{one.meter.name} by {words.label(one.share_by)}, {words.month_name(month.first)} so far",
        parts=_parts(one, scale),
        completeness=words.short_badge(
            words.completeness_badge(one.completeness, end=end, zone=zone), one.completeness, zone
        ),
        next_units=next_unit_rows(prices)[:NEXT_UNITS_SHOWN],
        next_units_left=max(len(prices) - NEXT_UNITS_SHOWN, 0),
        cost_url=f"{usage_url}?{urlencode({**query, 'measure': COST})}",
    )


def _compared(one: MeterOverview, month: MonthSoFar) -> str:
    """The days of the month before that stand against the complete days of this one."""
    if one.compared_to is None:
        return ""
    last = min(month.previous_first + (one.compared_to - month.first), month.first - ONE_DAY)
    return words.period_words(month.previous_first, last).removesuffix(f" {last.year}")


def _point(point: TrendPoint, unit: str, scale: Scale) -> dict[str, Any]:
    said = words.quantity_words(point.quantity, unit, scale)
    state = words.KIND_WORDS[point.kind]
    is_measured = point.quantity is not None and point.kind is not Kind.ZERO
    title = (
        f"{day(point.day)}: {said}{', ' + state if state else ''}"
        if is_measured
        else f"{day(point.day)}: {state}"
    )
    return {"y": point.quantity, "kind": _POINT_KINDS.get(point.kind, "value"), "title": title}


def _parts(one: MeterOverview, scale: Scale) -> list[dict[str, Any]]:
    whole = sum((share.quantity for share in one.shares), Decimal(0))
    colours = series_of(share.value for share in one.shares if not share.is_rest)
    return [
        {
            "label": words.group_words(share.value, is_rest=share.is_rest, members=share.members),
            "series": "other" if share.is_rest else colours[share.value],
            "weight": share.quantity,
            "value": words.quantity_words(share.quantity, one.unit, scale),
            "exact": f"{grouped_text(share.quantity)}{THIN_SPACE}{one.unit}",
            "share": percent(share.quantity / whole, 0) if whole else "",
        }
        for share in one.shares
    ]


def _change_words(one: MeterOverview, month: MonthSoFar) -> str:
    if one.compared_to is None:
        return ""
    count = (one.compared_to - month.first).days + 1
    before = f"the same days of {words.month_name(month.previous_first)}"
    return words.complete_days_words(one.change, count=count, unit="day", before=before)


def _largest_change(cards: list[Card], overview: AccountOverview) -> dict[str, str] | None:
    """The meter that moved most against the same days before, when any did."""
    moved = [(abs(one.change), number) for number, one in enumerate(overview.meters[1:]) if one.change]
    if not moved:
        return None
    _, number = max(moved)
    card = cards[number]
    return {
        "name": card.name,
        "url": card.url,
        "words": _change_words(overview.meters[number + 1], overview.month),
    }
