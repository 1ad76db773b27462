"""The rows that billing starts from, for many subscriptions or accounts at once, by subscription or account.

Each function is one statement. Runs as the worker, inside the caller's transaction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from itertools import zip_longest
from typing import Any, NamedTuple

from django.db.models import Max, Sum
from django.db.models.expressions import RawSQL
from django.db.models.fields.json import KeyTextTransform, KeyTransform

from insights.billing.ahead_mapping import line_ahead
from insights.billing.basis import CreditOffer, StoredLine
from insights.billing.draft_credits import Place, Uses
from insights.billing.meter_claims import PricedTime
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
from insights.values.period import months_after

# The key of no line: it stands for all of an invoice.
_EVERYTHING = ""


def any_of(ids: Iterable[int]) -> RawSQL:
    """These ids, to be looked for with `__in`: one array, since the driver reads thousands of parameters slowly."""
    return RawSQL("SELECT unnest(%s::bigint[])", [list(ids)])


class EarlierInvoice(NamedTuple):
    """An invoice of a subscription as the next one's basis needs it; the number is None while it is a draft."""

    pk: int
    account_id: int
    subscription_id: int
    kind: str
    state: str
    number: str | None
    period_start: datetime
    period_end: datetime
    usage_as_of: int
    total_minor: Decimal


def list_phases(subscriptions: Sequence[int]) -> Mapping[int, list[PhaseFacts]]:
    rows = SubscriptionPhase.objects.filter(
        subscription__in=any_of(subscriptions), cancelled_at__isnull=True
    ).values_list("subscription_id", "starts_at", "plan_id", "policy", "counts")
    found: dict[int, list[PhaseFacts]] = defaultdict(list)
    for subscription_id, starts_at, plan_id, policy, counts in rows:
        found[subscription_id].append(
            PhaseFacts(
                starts_at=starts_at, plan_id=plan_id, policy=ChangePolicy(policy), counts=_counts(counts)
            )
        )
    return found


def list_add_ons(subscriptions: Sequence[int]) -> Mapping[int, list[AddOnFacts]]:
    rows = AddOn.objects.filter(subscription__in=any_of(subscriptions)).values_list(
        "subscription_id", "id", "plan_id", "starts_at", "ends_at", "counts"
    )
    found: dict[int, list[AddOnFacts]] = defaultdict(list)
    for subscription_id, add_on_id, plan_id, starts_at, ends_at, counts in rows:
        found[subscription_id].append(
            AddOnFacts(
                id=add_on_id, plan_id=plan_id, starts_at=starts_at, ends_at=ends_at, counts=_counts(counts)
            )
        )
    return found


def _counts(stored: Mapping[str, Any]) -> dict[str, Decimal]:
    return {key: Decimal(str(count)) for key, count in stored.items()} if stored else {}


def list_overrides(accounts: Sequence[int]) -> Mapping[tuple[int, int], list[PriceOverride]]:
    found: dict[tuple[int, int], list[PriceOverride]] = defaultdict(list)
    for row in PriceOverride.objects.filter(account__in=any_of(accounts)).order_by("starts_at"):
        found[row.account_id, row.plan_id].append(row)
    return found


def list_grants(accounts: Sequence[int]) -> Mapping[tuple[int, str], list[CreditOffer]]:
    used = dict(
        CreditUse.objects.filter(account__in=any_of(accounts))
        .values_list("grant")
        .annotate(Sum("amount_minor"))
    )
    found: dict[tuple[int, str], list[CreditOffer]] = defaultdict(list)
    for row in CreditGrant.objects.filter(account__in=any_of(accounts)):
        left = int(row.amount_minor - used.get(row.pk, 0))
        credit = Credit(
            key=f"grant {row.public_id}",
            name=row.name,
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
    with_credits = CreditGrant.objects.filter(account__in=any_of(accounts)).values("account")
    rows = Invoice.objects.filter(account__in=with_credits).exclude(state=InvoiceState.ISSUED)
    found: dict[int, dict[Place, Uses]] = defaultdict(dict)
    for account_id, subscription_id, kind, end, uses in rows.values_list(
        "account_id", "subscription_id", "kind", "period_end", KeyTransform("credit_uses", "details")
    ):
        found[account_id][end, subscription_id, kind] = {
            int(grant_id): int(minor) for grant_id, minor in (uses or {}).items()
        }
    return found


def list_invoices(subscriptions: Sequence[int]) -> Mapping[int, list[EarlierInvoice]]:
    """Invoices that count: voided ones do not, and are billed anew where they have to be."""
    rows = (
        Invoice.objects.filter(subscription__in=any_of(subscriptions))
        .exclude(settlements__state=SettlementState.VOID)
        .order_by("period_start", "id")
        .values_list(*EarlierInvoice._fields)
    )
    found: dict[int, list[EarlierInvoice]] = defaultdict(list)
    for row in map(EarlierInvoice._make, rows):
        found[row.subscription_id].append(row)
    return found


@dataclass(frozen=True, slots=True)
class MadeOf:
    """How many records an issued invoice was made of, and ids of the bills that it could not correct."""

    records: int
    uncorrected: tuple[int, ...]


def list_made_of(invoices: Iterable[int]) -> Mapping[int, MadeOf]:
    """What these invoices were made of, by their ids."""
    rows = Invoice.objects.filter(pk__in=any_of(invoices)).annotate(
        records=KeyTextTransform("records", "details"), uncorrected=KeyTransform("uncorrected", "details")
    )
    return {
        invoice_id: MadeOf(int(records or 0), tuple(uncorrected or ()))
        for invoice_id, records, uncorrected in rows.values_list("pk", "records", "uncorrected")
    }


def list_voided_corrections(accounts: Sequence[int]) -> frozenset[int]:
    """Ids of the bills of which an invoice that is void now had corrections."""
    rows = LineItem.objects.filter(
        account__in=any_of(accounts),
        kind=LineKind.CORRECTION,
        corrects_invoice__isnull=False,
        invoice__settlements__state=SettlementState.VOID,
    )
    return frozenset(rows.values_list("corrects_invoice", flat=True))


def list_lines_ahead(
    accounts: Sequence[int], invoices: Sequence[int], since: datetime
) -> Mapping[int, list[StoredLine]]:
    """Lines that were due in advance for a time that begins at the instant or later, by subscription."""
    ahead = LineItem.objects.filter(
        account__in=any_of(accounts),
        invoice__in=any_of(invoices),
        kind=LineKind.CHARGE,
        service_start__gte=since,
        terms__timing=FeeTiming.IN_ADVANCE,
        corrects_invoice__isnull=True,
    )
    rows = list(ahead.select_related("invoice"))
    with_credits = {row.invoice_id for row in rows if row.invoice.details["credits"]}
    paid = _paid_by_credits(accounts, with_credits)
    found: dict[int, list[StoredLine]] = defaultdict(list)
    for row in rows:
        is_paid = not paid.isdisjoint({(row.invoice_id, row.key), (row.invoice_id, _EVERYTHING)})
        found[row.invoice.subscription_id].append(
            replace(line_ahead(row, row.invoice), is_paid_by_credit=is_paid)
        )
    return found


def list_given_back(account_id: int, lines: Collection[int]) -> frozenset[int]:
    """Those of an account's lines, by id, that issued invoices took back: a fee is corrected by nothing else."""
    rows = LineItem.objects.filter(
        account=account_id, corrects__in=any_of(lines), invoice__state=InvoiceState.ISSUED
    ).exclude(invoice__settlements__state=SettlementState.VOID)
    return frozenset(line for line in rows.values_list("corrects", flat=True) if line is not None)


def _paid_by_credits(accounts: Sequence[int], invoices: Collection[int]) -> set[tuple[int, str]]:
    """The lines of these invoices, by invoice and key, of which a credit paid a part.

    A credit after tax pays a part of everything.
    """
    if not invoices:
        return set()
    rows = LineItem.objects.filter(
        account__in=any_of(accounts), invoice__in=any_of(invoices), kind=LineKind.CREDIT
    )
    return {
        (invoice_id, key)
        for invoice_id, allotted in rows.values_list("invoice", "allotted")
        for key, minor in (allotted or {_EVERYTHING: 1}).items()
        if minor
    }


def list_archived_until(accounts: Sequence[int]) -> Mapping[int, date]:
    """The first day after the newest archived month of each account that has any."""
    newest = (
        RollupSeal.objects.filter(account__in=any_of(accounts)).values_list("account").annotate(Max("month"))
    )
    return {account_id: months_after(month, 1) for account_id, month in newest}


def list_priced_times(accounts: Sequence[int]) -> Mapping[int, list[PricedTime]]:
    """When the accounts' subscriptions are on plans that price meters in any published version, by account."""
    phases = SubscriptionPhase.objects.filter(account__in=any_of(accounts), cancelled_at__isnull=True)
    rows = list(
        phases.order_by("subscription", "starts_at").values_list(
            "account_id", "subscription_id", "plan_id", "starts_at", "subscription__ends_at"
        )
    )
    priced: dict[int, set[str]] = defaultdict(set)
    prices = Price.objects.filter(plan_version__plan__in=any_of({plan_id for _, _, plan_id, _, _ in rows}))
    prices = prices.filter(plan_version__published_at__isnull=False)
    for plan_id, meter_key in prices.exclude(meter_key="").values_list("plan_version__plan_id", "meter_key"):
        priced[plan_id].add(meter_key)
    meters = {plan_id: frozenset(keys) for plan_id, keys in priced.items()}
    found: dict[int, list[PricedTime]] = defaultdict(list)
    for row, following in zip_longest(rows, rows[1:]):
        account_id, subscription_id, plan_id, start, ends_at = row
        is_followed = following is not None and following[1] == subscription_id
        # A change that was to come after the end never comes.
        ends = [end for end in (following[3] if is_followed else None, ends_at) if end is not None]
        end = min(ends, default=None)
        if end is None or start < end:
            found[account_id].append(
                PricedTime(subscription_id, start, end, meters.get(plan_id, frozenset()))
            )
    return found
