"""The customer's credits: what is left, where it came from, and which bill used it."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import account_page
from accounts.models import Account
from insights.billing.credit_balance import CreditGrantFacts
from insights.billing.credit_queries import get_credit_balance
from insights.billing.payout_queries import list_left_over
from insights.billing.price_words import money_words
from insights.exports.bill_rows import credit_rows
from insights.values.period import local_day
from insights.web.csv_files import csv_file

KIND_WORDS = {
    "promotion": "promotion",
    "goodwill": "goodwill",
    "commitment": "paid in advance",
    "carried": "carried from a bill below zero",
}


@account_page
@require_safe
def credit_list(request: Any) -> HttpResponse:
    """Show the balance, every grant and every use."""
    now = timezone.now()
    balance = get_credit_balance(request.account)
    zone = ZoneInfo(request.account.billing_zone)
    left = [money for money in balance.usable(now) if money.minor]
    context = {
        "nav": "bills",
        "left": " and ".join(money_words(money) for money in left),
        "left_over": left_over_words(request.account),
        "grants": [_grant(grant, now=now, zone=zone) for grant in balance.grants],
        "uses": [(grant, use, -use.amount) for grant in balance.grants for use in grant.uses],
        "payouts": [(grant, one, -one.amount) for grant in balance.grants for one in grant.payouts],
        "zone": request.account.billing_zone,
    }
    return render(request, "bills/credits.html", context)


def left_over_words(account: Account) -> str:
    """What a closed account is paid out, in a sentence; empty for any other, and where nothing is left."""
    found = () if account.closed_at is None else list_left_over(account)
    if not found:
        return ""
    amounts = " and ".join(money_words(one.amount) for one in found)
    # What a bill below zero leaves is money of the account's; other credits only ever lower bills.
    if all(one.is_final for one in found):
        return f"The account is closed and has no bill to come: {amounts} from your bills is to be paid out to you."
    return (
        f"The account is closed. {amounts} from your bills lowers those that are still to come; what is then left is "
        "to be paid out to you."
    )


@account_page
@require_safe
def credits_csv(request: Any) -> HttpResponse:
    """Download every grant and every use."""
    return csv_file(credit_rows(get_credit_balance(request.account)), "credits.csv")


def _grant(grant: CreditGrantFacts, *, now: datetime, zone: ZoneInfo) -> dict[str, Any]:
    expires = grant.expires_at
    return {
        "grant": grant,
        "kind": KIND_WORDS.get(grant.kind, grant.kind),
        "since": local_day(grant.granted_at, zone),
        "expires": local_day(expires, zone) if expires else None,
        "is_expired": grant.is_expired(now),
        "covers": ", ".join(key.replace("_", " ") for key in grant.covers or ()),
        "usable": grant.usable(now),
    }
