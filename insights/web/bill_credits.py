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
from insights.billing.credit_balance import CreditGrantFacts
from insights.billing.credit_queries import get_credit_balance
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
        "grants": [_grant(grant, now=now, zone=zone) for grant in balance.grants],
        "uses": [(grant, use, -use.amount) for grant in balance.grants for use in grant.uses],
        "zone": request.account.billing_zone,
    }
    return render(request, "bills/credits.html", context)


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
