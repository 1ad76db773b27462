"""The plan-change ruler of a bill, ready for its page: stretches drawn and listed, and the cost without the change."""

from __future__ import annotations

from datetime import UTC
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.urls import reverse

from accounts.models import Account
from insights.billing.bill import Bill
from insights.billing.bill_facts import bill_ruler, plan_names
from insights.billing.closed_period_queries import find_closed_since
from insights.billing.estimate_question import PERIODS_MAX
from insights.billing.price_words import money_words, share_words
from insights.rating.plan_change import ChangePolicy
from insights.scenarios.ruler import PlanRuler, PlanStretch
from insights.values.money import Money
from insights.values.share import Share
from insights.web.words import days_of, instant_words, period_words

_POLICY_WORDS = {
    ChangePolicy.RESTART: "begin anew",
    ChangePolicy.CONTINUE: "go on where they stood",
    ChangePolicy.SHARED_BY_TIME: "are shared by time",
}
_SERIES_MAX = 8


def ruler_context(account: Account, bill: Bill) -> dict[str, Any] | None:
    """What the page shows of the change of plan; None where the plan stayed."""
    ruler = bill_ruler(bill)
    if ruler is None:
        return None
    names = plan_names(bill)
    zone = ZoneInfo(bill.head.zone)
    series = {key: number for number, key in enumerate(dict.fromkeys(names), 1)}
    stretches = [
        {
            "label": names[stretch.plan_key],
            "version": segment.sheet.version,
            "days": period_words(*days_of(stretch.service, zone)),
            "series": min(series[stretch.plan_key], _SERIES_MAX),
            "weight": share.seconds,
            "value": share_words(share),
            "share": _fraction(share),
            "start": instant_words(stretch.service.start, zone),
            "end": instant_words(stretch.service.end, zone),
            "start_utc": instant_words(stretch.service.start, UTC),
            "end_utc": instant_words(stretch.service.end, UTC),
            "tiers": _POLICY_WORDS[stretch.policy] if number else "from the beginning",
            "counts": _counts(stretch),
        }
        for number, ((stretch, share), segment) in enumerate(
            zip(ruler.stretches, bill.plan_changes, strict=True)
        )
    ]
    return {
        "stretches": stretches,
        "zone_is_utc": bill.head.zone == "UTC",
        "rows": [
            {
                "name": row.name,
                "billed": money_words(row.billed),
                "without": "" if row.without is None else money_words(row.without),
            }
            for row in ruler.rows
        ],
        "billed": money_words(ruler.billed),
        "without": "" if ruler.without is None else money_words(ruler.without),
        "answer": _answer(ruler, str(stretches[0]["label"])),
        "whole_bills_url": whole_bills_url(account, bill),
    }


def whole_bills_url(account: Account, bill: Bill) -> str:
    """Where whole bills on the plan that the period began with stand beside this one; empty where none can."""
    closed = find_closed_since(account, bill.head.public_id)
    if closed is None or closed[1] > PERIODS_MAX or not bill.plan_changes:
        return ""
    question = {
        "plan": bill.plan_changes[0].sheet.plan_key,
        "periods": closed[1],
        "prices": "then",
        "subscription": closed[0],
    }
    return f"{reverse('estimate', args=[account.public_id])}?{urlencode(question)}"


def _fraction(share: Share) -> str:
    part = share.fraction
    return f"{part.numerator}/{part.denominator}"


def _counts(stretch: PlanStretch) -> str:
    names = {offer.price_key: offer.name for offer in stretch.offers if offer.is_counted}
    return ", ".join(f"{names[key]}: {count:f}" for key, count in stretch.counts.items() if key in names)


def _answer(ruler: PlanRuler, first_plan: str) -> str:
    """What the change made of the bill, in one sentence."""
    if ruler.without is None:
        return f"What the period would have come to on {first_plan} throughout cannot be told of every line."
    change = ruler.billed - ruler.without
    if not change.minor:
        return f"The change made no difference: on {first_plan} throughout these lines come to the same."
    more = "more" if change.minor > 0 else "less"
    size = Money(abs(change.minor), change.currency)
    return (
        f"With the change these lines come to {money_words(size)} {more} than on {first_plan} throughout, with the "
        "same usage, before discounts on the whole bill, credits and tax."
    )
