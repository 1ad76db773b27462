"""The tables of an account's billing page as CSV for staff: plans, own prices, credits, payouts, uncovered usage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from accounts.access import staff_page
from accounts.views.directory import get_account
from insights.billing.bill_document import instant_text
from insights.billing.credit_balance import GrantBalance
from insights.billing.credit_queries import list_grant_balances
from insights.billing.payout_queries import list_payouts
from insights.billing.price_words import money_number
from insights.billing.subscription_queries import overrides_of, subscriptions_with_phases
from insights.billing.uncovered_queries import list_findings_of
from insights.exports.formatting import safe_text
from insights.exports.payout_rows import payout_rows
from insights.exports.uncovered_rows import uncovered_rows
from insights.models import PriceOverride, Subscription
from insights.web.csv_files import csv_file
from insights.web.override_words import override_words


@staff_page
@require_safe
def billing_csv(request: HttpRequest, account_uuid: UUID, slug: str) -> HttpResponse:
    """Download one of the page's tables."""
    account = get_account(account_uuid)
    if slug == "subscriptions":
        rows = plan_rows(subscriptions_with_phases(account.pk))
    elif slug == "add-ons":
        rows = add_on_rows(subscriptions_with_phases(account.pk))
    elif slug == "prices":
        rows = override_rows((row, override_words(row)) for row in overrides_of(account.pk))
    elif slug == "credits":
        rows = balance_rows(list_grant_balances(account))
    elif slug == "payouts":
        rows = payout_rows(list_payouts(account))
    elif slug == "uncovered":
        rows = uncovered_rows(list_findings_of(account))
    else:
        raise Http404
    return csv_file(rows, f"billing-{slug}.csv")


def plan_rows(subscriptions: Iterable[Subscription]) -> Iterator[list[str]]:
    """Every plan of each subscription in turn, cancelled changes too, under a heading."""
    yield [
        "subscription",
        "plan",
        "starts_at",
        "subscription_ends_at",
        "tiers",
        "counts",
        "reason",
        "cancelled_at",
    ]
    for one in subscriptions:
        for phase in one.phases.all():
            yield [
                safe_text(one.name),
                phase.plan.key,
                instant_text(phase.starts_at) or "",
                instant_text(one.ends_at) or "",
                phase.policy,
                _counts(phase.counts),
                safe_text(phase.reason),
                instant_text(phase.cancelled_at) or "",
            ]


def add_on_rows(subscriptions: Iterable[Subscription]) -> Iterator[list[str]]:
    """Every add-on of each subscription, under a heading."""
    yield ["subscription", "add_on", "starts_at", "ends_at", "counts"]
    for one in subscriptions:
        for add_on in one.add_ons.all():
            yield [
                safe_text(one.name),
                add_on.plan.key,
                instant_text(add_on.starts_at) or "",
                instant_text(add_on.ends_at) or "",
                _counts(add_on.counts),
            ]


def override_rows(priced: Iterable[tuple[PriceOverride, Iterable[str]]]) -> Iterator[list[str]]:
    """Every own price with its words, under a heading."""
    yield ["plan", "price", "in_words", "starts_at", "ends_at", "reason"]
    for row, words in priced:
        yield [
            row.plan.key,
            row.price_key,
            safe_text("; ".join(words)),
            instant_text(row.starts_at) or "",
            instant_text(row.ends_at) or "",
            safe_text(row.reason),
        ]


def balance_rows(balances: Iterable[GrantBalance]) -> Iterator[list[str]]:
    """Every credit with what is left of it, under a heading."""
    yield [
        "name",
        "kind",
        "currency",
        "granted",
        "used",
        "left",
        "granted_at",
        "expires_at",
        "covers",
        "reason",
    ]
    for one in balances:
        yield [
            safe_text(one.name),
            one.kind,
            one.amount.currency,
            money_number(one.amount),
            money_number(one.used),
            money_number(one.left),
            instant_text(one.granted_at) or "",
            instant_text(one.expires_at) or "",
            " ".join(one.covers or ()),
            safe_text(one.reason),
        ]


def _counts(counts: Mapping[str, str]) -> str:
    return " ".join(f"{key}={count}" for key, count in counts.items())
