"""The customer's bills: the list, one bill with every line and step, and the same as PDF, CSV and JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import StreamScope, account_page
from accounts.models import Account
from insights.billing.bill import Bill, BillHead, BillLine, BillStatus, LineGroup
from insights.billing.bill_line_queries import meter_names
from insights.billing.bill_queries import (
    get_bill,
    list_issued_bills,
    list_owed_bills,
    list_unissued_bills,
)
from insights.billing.own_price_queries import list_own_prices
from insights.billing.price_words import money_words, number_words, unit_size_words
from insights.billing.words import (
    StepRow,
    bill_answer,
    bill_why,
    correction_rounding_words,
    included_credit_words,
    line_price_words,
    line_sentence,
    step_rows,
    values_words,
)
from insights.exports.bill_rows import bill_rows
from insights.templatetags.portal import day as day_text
from insights.values.exact import exact_of
from insights.values.money import Money, sum_money
from insights.values.period import Period, local_day, start_of_day
from insights.web import words
from insights.web.bill_charts import totals_figure
from insights.web.bill_credits import left_over_words
from insights.web.bill_ruler import ruler_context
from insights.web.csv_files import ROWS_AT_ONCE, csv_stream
from insights.web.partials import render_page

BILLS_PER_PAGE = 50
BARS_MAX = 24


@account_page
@require_safe
def bill_list(request: Any) -> HttpResponse:
    """Show what is owed and what the running period comes to, then every bill."""
    now = timezone.now()
    older_than = uuid_of(request.GET.get("older", ""))
    page = list_issued_bills(request.account, now=now, limit=BILLS_PER_PAGE, older_than=older_than)
    unissued = () if older_than else list_unissued_bills(request.account, now=now)
    heads = (*unissued, *page.heads)
    bars = [head for head in heads if head.status is not BillStatus.VOID][:BARS_MAX][::-1]
    context = {
        "nav": "bills",
        "bills": [_row(request.account, head) for head in heads],
        "bars": [_row(request.account, head) for head in bars],
        "figure": totals_figure(bars),
        "answer": owed_words(list_owed_bills(request.account, now=now), unissued, now=now),
        "left_over": left_over_words(request.account),
        "zone": request.account.billing_zone,
        "page": {
            "summary": "Newest first",
            "previous_url": "?" if older_than else None,
            "next_url": f"?older={page.heads[-1].public_id}" if page.next_place else None,
            "target": "#bill-table",
        },
    }
    return render_page(request, "bills/list.html", context, part="bill-table")


@account_page
@require_safe
def bill_list_csv(request: Any) -> HttpResponseBase:
    """Download every bill of the account, drafts first."""
    heads = _every_head(request.account, request.stream_scope, timezone.now())
    return csv_stream(request, bill_rows(heads), "bills.csv")


def _every_head(account: Account, scope: StreamScope, now: datetime) -> Iterator[BillHead]:
    """Every bill, read by pages; each transaction ends before what it read is sent."""
    with scope.open():
        unissued = list_unissued_bills(account, now=now)
    yield from unissued
    place: UUID | None = None
    while True:
        with scope.open():
            page = list_issued_bills(account, now=now, limit=ROWS_AT_ONCE, older_than=place)
        yield from page.heads
        if page.next_place is None:
            return
        place = page.heads[-1].public_id


@account_page
@require_safe
def bill_detail(request: Any, bill_uuid: UUID) -> HttpResponse:
    """Show one bill: what it comes to and why, line by line."""
    now = timezone.now()
    bill = bill_or_404(request, bill_uuid, now=now)
    zone = ZoneInfo(bill.head.zone)
    own = list_own_prices(request.account, bill.lines)
    context = {
        "nav": "bills",
        "bill": bill,
        "head": bill.head,
        "answer": bill_answer(bill),
        "why": bill_why(bill.head.kind),
        "period": period_of(bill.head.period, zone),
        "due": local_day(bill.head.due_at, zone) if bill.head.due_at else None,
        "period_ends": _ends(bill.head.period.end, zone),
        "issue_from": local_day(bill.issue_from, zone),
        "sections": [
            (section, [_line_row(request.account, bill, line, section.lines, own) for line in section.lines])
            for section in bill.sections
        ],
        "subtotals": bill.sections,
        "unpriced": _unpriced(bill),
        "ruler": ruler_context(request.account, bill),
        "is_running": bill.head.period.start <= now < bill.head.period.end and not bill.head.is_issued,
        "zone": bill.head.zone,
        "page": {},
    }
    return render(request, "bills/detail.html", context)


def file_stem(head: BillHead) -> str:
    """A plain name for files of the bill; numbers are made of letters, digits and hyphens, and anything else goes."""
    name = "".join(char for char in head.number if char.isascii() and (char.isalnum() or char in "-_"))
    return f"bill-{name or head.public_id}"


def owed_words(
    owed: tuple[BillHead, ...], unissued: tuple[BillHead, ...], *, now: datetime
) -> dict[str, Any]:
    """What is to be paid now, and what the period that runs would come to; amounts by currency."""
    running = [head for head in unissued if head.status is BillStatus.DRAFT and head.period.contains(now)]
    first = owed[0] if owed else None
    return {
        "owed": _sums(owed),
        "owed_count": len(owed),
        "overdue": sum(head.status is BillStatus.OVERDUE for head in owed),
        "first_due": local_day(first.due_at, ZoneInfo(first.zone)) if first and first.due_at else None,
        "running": _sums(running),
        "checking": sum(head.status is BillStatus.CHECKING for head in unissued),
    }


def _sums(heads: Any) -> str:
    by_currency: dict[str, list[Money]] = {}
    for head in heads:
        by_currency.setdefault(head.currency, []).append(head.due)
    return " and ".join(money_words(sum_money(amounts, code)) for code, amounts in by_currency.items())


_KIND_NAMES = {"opening": "In advance", "closing": "After the end"}


def _row(account: Account, head: BillHead) -> dict[str, Any]:
    zone = ZoneInfo(head.zone)
    return {
        "head": head,
        "period": period_of(head.period, zone),
        "due": local_day(head.due_at, zone) if head.due_at else None,
        "total": money_words(head.total),
        "url": reverse("bill-detail", args=[account.public_id, head.public_id]),
        "name": head.number or _KIND_NAMES.get(head.kind) or head.subscription_name,
    }


def period_of(period: Period, zone: tzinfo) -> str:
    """The days of a period on the account's clock, in words."""
    return words.period_words(*words.days_of(period, zone))


def _unpriced(bill: Bill) -> list[dict[str, str]]:
    """Usage that no price names, by the name of its meter."""
    names = meter_names({one.meter_key for one in bill.unpriced}) if bill.unpriced else {}
    return [
        {
            "name": names.get(one.meter_key, one.meter_key),
            "quantity": number_words(exact_of(Decimal(one.quantity))),
            "unit": one.unit,
        }
        for one in bill.unpriced
    ]


def _ends(end: datetime, zone: tzinfo) -> str:
    """When a period ends: before a day, or in a zone off the whole hour at a time of it."""
    day = local_day(end, zone)
    return (
        f"before {day_text(day)}"
        if end == start_of_day(day, zone)
        else f"at {words.instant_words(end, zone)}"
    )


def values_of(line: BillLine, lines: Sequence[BillLine]) -> str:
    """What the line is for; beside lines of some values, the one without is for all others."""
    is_rest = any(other.values for other in lines if other.price_key == line.price_key)
    return values_words(line) or ("everything else" if is_rest else "")


def name_parts(line: BillLine, bill: Bill) -> tuple[str, ...]:
    """What tells the line from its neighbours: its name, what it is for, and its days where they are not the bill's."""
    service = Period(line.service_start, line.service_end)
    is_whole = service == bill.head.period or line.service_start >= line.service_end
    days = "" if is_whole else period_of(service, ZoneInfo(bill.head.zone))
    lines = [one for section in bill.sections for one in section.lines]
    return tuple(filter(None, (line.name, values_of(line, lines), days)))


def _line_row(
    account: Account, bill: Bill, line: BillLine, lines: Sequence[BillLine], own: frozenset[int]
) -> dict[str, Any]:
    zone = ZoneInfo(bill.head.zone)
    service = ""
    if line.service_start < line.service_end:
        service = period_of(Period(line.service_start, line.service_end), zone)
    return {
        "line": line,
        "name": line.name,
        "values": values_of(line, lines),
        "service": service,
        "quantity": "" if line.billed_quantity is None else number_words(line.billed_quantity),
        "unit": line.unit,
        "unit_size": unit_size_words(line.terms),
        "price": line_price_words(line),
        "is_own_price": line.position in own,
        "amount": money_words(line.amount),
        "sentence": " ".join(filter(None, (line_sentence(line), included_credit_words(line, bill.segments)))),
        "rounding": correction_rounding_words(line.amount.currency) if line.corrects else "",
        "steps": [_step(row) for row in step_rows(line)],
        "usage_url": _usage_url(account, line, zone),
        "corrects_url": corrected_url(account, line),
    }


def corrected_url(account: Account, line: BillLine) -> str:
    """The line that a correction corrects, or its bill where that had no such line; empty for any other line."""
    corrected = line.corrects
    if corrected is None:
        return ""
    if corrected.position is None:
        return reverse("bill-detail", args=[account.public_id, corrected.bill_id])
    return reverse("bill-line", args=[account.public_id, corrected.bill_id, corrected.position])


def _step(row: StepRow) -> dict[str, str]:
    return {"words": row.words, "exact": row.exact, "amount": money_words(row.amount)}


def _usage_url(account: Account, line: BillLine, zone: tzinfo) -> str:
    """The usage that the line is made of."""
    if line.group is not LineGroup.USAGE or line.service_start >= line.service_end:
        return ""
    return usage_url(account, line.meter_key, line.values, Period(line.service_start, line.service_end), zone)


def usage_url(
    account: Account, meter_key: str, values: Mapping[str, str], period: Period, zone: tzinfo
) -> str:
    """The usage of a meter with these dimension values in the days of a period."""
    first, last = words.days_of(period, zone)
    query = {"meter": meter_key, "from": first.isoformat(), "to": last.isoformat()}
    query |= {f"dimension.{name}": value for name, value in values.items()}
    return f"{reverse('usage-explorer', args=[account.public_id])}?{urlencode(query)}"


def bill_or_404(request: HttpRequest, bill_uuid: UUID, *, now: datetime) -> Bill:
    """The bill of the account with this id, or 404."""
    account: Account = request.account  # type: ignore[attr-defined]
    bill = get_bill(account, public_id=bill_uuid, now=now)
    if bill is None:
        raise Http404
    return bill


def uuid_of(text: str) -> UUID | None:
    """An id as it stands in an address; None for anything else."""
    try:
        return UUID(text) if len(text) == 36 else None
    except ValueError:
        return None
