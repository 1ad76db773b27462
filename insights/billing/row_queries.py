"""The rows that billing starts from, for many subscriptions or accounts at once, by subscription or account.

Each function is one statement. Runs as the worker, inside the caller's transaction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import zip_longest
from typing import Any

from django.db.models import Max, Sum
from django.db.models.fields.json import KeyTextTransform, KeyTransform

from insights.billing.basis import CreditOffer, StoredLine
from insights.billing.draft_credits import Place, Uses
from insights.billing.invoice_mapping import stored_line
from insights.billing.timeline import AddOnFacts, PhaseFacts
from insights.models import (
    AddOn,
    CreditGrant,
    CreditUse,
    Invoice,
    InvoiceState,
    LineItem,
    Price,
    PriceOverride,
    RollupSeal,
    SettlementState,
    SubscriptionPhase,
)
from insights.rating.credits import Credit
from insights.rating.invoice import LineKind
from insights.rating.plan_change import ChangePolicy
from insights.rating.terms import FeeTiming
from insights.values.period import Period, months_after


def list_phases(subscriptions: Sequence[int]) -> Mapping[int, list[PhaseFacts]]:
    found: dict[int, list[PhaseFacts]] = defaultdict(list)
    for row in SubscriptionPhase.objects.filter(subscription__in=subscriptions, cancelled_at__isnull=True):
        found[row.subscription_id].append(
            PhaseFacts(
                starts_at=row.starts_at,
                plan_id=row.plan_id,
                policy=ChangePolicy(row.policy),
                counts=_counts(row.counts),
            )
        )
    return found


def list_add_ons(subscriptions: Sequence[int]) -> Mapping[int, list[AddOnFacts]]:
    found: dict[int, list[AddOnFacts]] = defaultdict(list)
    for row in AddOn.objects.filter(subscription__in=subscriptions):
        found[row.subscription_id].append(
            AddOnFacts(
                id=row.pk,
                plan_id=row.plan_id,
                starts_at=row.starts_at,
                ends_at=row.ends_at,
                counts=_counts(row.counts),
            )
        )
    return found


def _counts(stored: Mapping[str, Any]) -> dict[str, Decimal]:
    return {key: Decimal(str(count)) for key, count in stored.items()}


def list_overrides(accounts: Sequence[int]) -> Mapping[tuple[int, int], list[PriceOverride]]:
    found: dict[tuple[int, int], list[PriceOverride]] = defaultdict(list)
    for row in PriceOverride.objects.filter(account__in=accounts).order_by("starts_at"):
        found[row.account_id, row.plan_id].append(row)
    return found


def list_grants(accounts: Sequence[int]) -> Mapping[tuple[int, str], list[CreditOffer]]:
    used = dict(
        CreditUse.objects.filter(account__in=accounts).values_list("grant").annotate(Sum("amount_minor"))
    )
    found: dict[tuple[int, str], list[CreditOffer]] = defaultdict(list)
    for row in CreditGrant.objects.filter(account__in=accounts):
        left = int(row.amount_minor - used.get(row.pk, 0))
        credit = Credit(
            key=f"grant {row.public_id}",
            remaining_minor=left,
            granted_at=row.granted_at,
            expires_at=row.expires_at,
            priority=row.priority,
            covers=None if row.covers is None else frozenset(row.covers),
            is_before_tax=row.is_before_tax,
        )
        offer = CreditOffer(credit=credit, name=row.name, kind=row.kind, grant_id=row.pk)
        found[row.account_id, row.currency].append(offer)
    return found


def list_draft_uses(accounts: Sequence[int]) -> Mapping[int, dict[Place, Uses]]:
    """What the drafts of those of the accounts that have credits show of these, by account."""
    with_credits = CreditGrant.objects.filter(account__in=accounts).values("account")
    rows = Invoice.objects.filter(account__in=with_credits).exclude(state=InvoiceState.ISSUED)
    found: dict[int, dict[Place, Uses]] = defaultdict(dict)
    for account_id, subscription_id, kind, end, uses in rows.values_list(
        "account_id", "subscription_id", "kind", "period_end", KeyTransform("credit_uses", "details")
    ):
        found[account_id][end, subscription_id, kind] = {
            int(grant_id): int(minor) for grant_id, minor in (uses or {}).items()
        }
    return found


def list_invoices(subscriptions: Sequence[int]) -> Mapping[int, list[Invoice]]:
    """Invoices that count: voided ones do not, and are billed anew where they have to be."""
    rows = (
        Invoice.objects.filter(subscription__in=subscriptions)
        .exclude(settlements__state=SettlementState.VOID)
        .defer("details")
        .order_by("period_start", "id")
    )
    found: dict[int, list[Invoice]] = defaultdict(list)
    for row in rows:
        found[row.subscription_id].append(row)
    return found


@dataclass(frozen=True, slots=True)
class MadeOf:
    """How many records an issued invoice was made of, and ids of the bills that it could not correct."""

    records: int
    uncorrected: tuple[int, ...]


def list_made_of(invoices: Iterable[int]) -> Mapping[int, MadeOf]:
    """What these invoices were made of, by their ids."""
    rows = Invoice.objects.filter(pk__in=list(invoices)).annotate(
        records=KeyTextTransform("records", "details"), uncorrected=KeyTransform("uncorrected", "details")
    )
    return {
        invoice_id: MadeOf(int(records or 0), tuple(uncorrected or ()))
        for invoice_id, records, uncorrected in rows.values_list("pk", "records", "uncorrected")
    }


def list_voided_corrections(accounts: Sequence[int]) -> frozenset[int]:
    """Ids of the bills of which an invoice that is void now had corrections."""
    rows = LineItem.objects.filter(
        account__in=accounts,
        kind=LineKind.CORRECTION,
        corrects_invoice__isnull=False,
        invoice__settlements__state=SettlementState.VOID,
    )
    return frozenset(rows.values_list("corrects_invoice", flat=True))


def list_lines_ahead(accounts: Sequence[int], invoices: Sequence[int]) -> Mapping[int, list[StoredLine]]:
    rows = LineItem.objects.filter(
        account__in=accounts,
        invoice__in=invoices,
        kind=LineKind.CHARGE,
        terms__timing=FeeTiming.IN_ADVANCE,
        corrects_invoice__isnull=True,
    ).select_related("invoice")
    found: dict[int, list[StoredLine]] = defaultdict(list)
    for row in rows:
        found[row.invoice.subscription_id].append(stored_line(row, row.invoice.number or ""))
    return found


def list_archived_until(accounts: Sequence[int]) -> Mapping[int, date]:
    """The first day after the newest archived month of each account that has any."""
    newest = RollupSeal.objects.filter(account__in=accounts).values_list("account").annotate(Max("month"))
    return {account_id: months_after(month, 1) for account_id, month in newest}


@dataclass(frozen=True, slots=True)
class Claim:
    """That a subscription has a price, in any version of a plan, for these meters while it is on the plan."""

    subscription_id: int
    start: datetime
    end: datetime | None
    meter_keys: frozenset[str]


def list_claims(accounts: Sequence[int]) -> Mapping[int, list[Claim]]:
    """The meters that the plans of the accounts' subscriptions have prices for, by account."""
    phases = SubscriptionPhase.objects.filter(account__in=accounts, cancelled_at__isnull=True)
    rows = list(
        phases.order_by("subscription", "starts_at").values_list(
            "account_id", "subscription_id", "plan_id", "starts_at", "subscription__ends_at"
        )
    )
    priced: dict[int, set[str]] = defaultdict(set)
    prices = Price.objects.filter(plan_version__plan__in={plan_id for _, _, plan_id, _, _ in rows})
    for plan_id, meter_key in prices.exclude(meter_key="").values_list("plan_version__plan_id", "meter_key"):
        priced[plan_id].add(meter_key)
    found: dict[int, list[Claim]] = defaultdict(list)
    for row, following in zip_longest(rows, rows[1:]):
        account_id, subscription_id, plan_id, start, ends_at = row
        is_followed = following is not None and following[1] == subscription_id
        end = following[3] if is_followed else ends_at
        found[account_id].append(Claim(subscription_id, start, end, frozenset(priced[plan_id])))
    return found


def meters_of_others(claims: Iterable[Claim], subscription_id: int, period: Period) -> frozenset[str]:
    """The meters that an account's other subscriptions have a price for at some time in the period."""
    others = [
        claim.meter_keys
        for claim in claims
        if claim.subscription_id != subscription_id
        and claim.start < period.end
        and (claim.end is None or claim.end > period.start)
    ]
    return frozenset().union(*others)
