"""Why a bill is not what another one was: the answer, a waterfall, and each part with the lines and usage behind."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import account_page
from accounts.models import Account
from insights.billing.bill import Bill, BillHead, BillStatus
from insights.billing.bill_facts import bill_facts, plan_names
from insights.billing.difference_queries import TwoBills, find_two_bills
from insights.billing.difference_words import (
    causes_words,
    change_words,
    counted_part,
    difference_sentence,
    open_part,
)
from insights.billing.forecast_queries import get_outlook
from insights.billing.forecast_words import expected_against
from insights.billing.price_words import money_words, share_words
from insights.exports.difference_rows import difference_rows
from insights.scenarios.difference import BillDifference, compare_bills
from insights.scenarios.facts import DifferentCurrencies
from insights.values.money import Money
from insights.web import words
from insights.web.bill_charts import waterfall_figure
from insights.web.bill_difference_rows import WITH, DifferenceRows, plain_number, signed_change
from insights.web.bills import file_stem, period_of, uuid_of
from insights.web.csv_files import csv_file

PAGE = "bills/difference.html"
_KINDS = {"opening": "in advance", "closing": "after the end"}


@dataclass(frozen=True, slots=True)
class Compared:
    """Both bills and what they differ by, or what is wrong with the question."""

    found: TwoBills
    difference: BillDifference | None = None
    fault: str = ""


@account_page
@require_safe
def bill_difference(request: Any, bill_uuid: UUID) -> HttpResponse:
    """Show what changed from another bill, the one before unless another is chosen, to this one, and why."""
    compared = compare(request, bill_uuid)
    found = compared.found
    context: dict[str, Any] = {
        "nav": "bills",
        "head": found.bill.head,
        "name": name_of(found.bill.head),
        "zone": found.bill.head.zone,
        "fault": compared.fault,
        "offered": _offered(found),
        "page": {},
    }
    if compared.difference and found.other:
        context |= _context(request.account, compared.difference, found.other, found.bill)
        context["expected"] = _expected(request.account, compared.difference, found, context["other_name"])
    return render(request, PAGE, context, status=400 if compared.fault else 200)


@account_page
@require_safe
def bill_difference_csv(request: Any, bill_uuid: UUID) -> HttpResponse:
    """Download every part."""
    compared = compare(request, bill_uuid)
    found = compared.found
    if compared.fault:
        return HttpResponse(compared.fault, content_type="text/plain; charset=utf-8", status=400)
    # A bill with none before it has no rows under the heading.
    rows = difference_rows(compared.difference, found.other or found.bill, found.bill)
    return csv_file(rows, f"{file_stem(found.bill.head)}-difference.csv")


def compare(request: Any, bill_uuid: UUID) -> Compared:
    """The bill and the one that the address names, or the one before; 404 where one of them is not the account's."""
    asked = request.GET.get(WITH, "")
    other_id = uuid_of(asked)
    found = find_two_bills(request.account, public_id=bill_uuid, other_id=other_id, now=timezone.now())
    if found is None:
        raise Http404
    if asked and other_id is None:
        return Compared(found, fault="That is not the id of a bill. Choose one from the list.")
    if found.other is None:
        return Compared(found)
    if found.other.head.public_id == found.bill.head.public_id:
        return Compared(found, fault="A bill does not differ from itself. Choose another one.")
    try:
        return Compared(found, compare_bills(bill_facts(found.other), bill_facts(found.bill)))
    except DifferentCurrencies:
        currencies = f"{found.other.head.currency} and {found.bill.head.currency}"
        return Compared(found, fault=f"Bills in {currencies} cannot be compared. Choose one in the same.")


def _context(account: Account, difference: BillDifference, before: Bill, after: Bill) -> dict[str, Any]:
    rows = DifferenceRows(account, before, after, plan_names(before, after))
    before_name, after_name = name_of(before.head), name_of(after.head)
    if before_name == after_name:
        # Of two bills for the same days the other one is told apart by its number.
        before_name = f"{before_name}, {before.head.number or before.head.subscription_name}"
    part = open_part(after.head)
    return {
        "other": before.head,
        "other_name": before_name,
        "difference": difference,
        "sentence": difference_sentence(difference, before_name),
        "answer": change_words(difference, before_name),
        "so_far": difference_sentence(difference, before_name, part=part) if part else "",
        "because": causes_words(difference),
        "covered": _covered(before.head, after.head),
        "figure": waterfall_figure(difference, before=before_name, after=after_name),
        "causes": [rows.cause(bar) for bar in difference.bars if any(p.amount.minor for p in bar.parts)],
        "matches": [rows.match(match, money) for match, money, _ in difference.by_match],
        "csv_query": f"{WITH}={before.head.public_id}",
        "before": plain_number(difference.before),
        "after": plain_number(difference.after),
        "change": signed_change(difference.change),
        "unchanged": plain_number(difference.unchanged),
        "nothing": plain_number(Money(0, difference.change.currency)),
        "before_url": rows.bill_url(before),
        "after_url": rows.bill_url(after),
    }


def _expected(account: Account, difference: BillDifference, found: TwoBills, than: str) -> str:
    """What a running bill is expected to come to against the whole other one: both are whole periods then."""
    head = found.bill.head
    if open_part(head) is None:
        return ""
    forecast = get_outlook(account, public_id=head.public_id, now=timezone.now())
    if forecast is None:
        return ""
    return expected_against(forecast, period_of(head.period, ZoneInfo(head.zone)), difference.before, than)


def name_of(head: BillHead) -> str:
    """A bill by its days, and by its number where other bills may be for the same days."""
    period = period_of(head.period, ZoneInfo(head.zone))
    if head.kind in _KINDS:
        return f"{period}, {_KINDS[head.kind]}"
    if head.status is BillStatus.CHECKING:
        return f"{period}, being checked"
    return period if head.is_issued else f"{period} so far"


def _offered(found: TwoBills) -> list[dict[str, Any]]:
    chosen = found.other.head.public_id if found.other else None
    return [
        {
            "id": str(head.public_id),
            "words": f"{name_of(head)}{f', {head.number}' if head.number else ''}, {money_words(head.total)}",
            "is_chosen": head.public_id == chosen,
        }
        for head in found.offered
    ]


def _covered(*heads: BillHead) -> list[str]:
    """How much of its period each bill speaks for, if one of them is not issued yet."""
    return [] if all(head.is_issued for head in heads) else [_covered_by(head) for head in heads]


def _covered_by(head: BillHead) -> str:
    zone = ZoneInfo(head.zone)
    name = period_of(head.period, zone)
    if head.is_issued:
        return f"{name} is whole."
    share = counted_part(head)
    if share is None:
        return f"No source has said yet how far usage of {name} is complete."
    end = head.period.start + timedelta(seconds=share.seconds)
    return f"Usage of {name} is complete to {words.instant_words(end, zone)}, which is {share_words(share)}."
