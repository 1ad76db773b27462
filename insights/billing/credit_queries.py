"""What is stored of an account's credits: all of it for the account's own pages, and balances for finance."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from django.db.models import Sum

from accounts.models import Account
from insights.billing.credit_balance import CreditBalance, CreditGrantFacts, CreditUseFacts, GrantBalance
from insights.models import CreditGrant, CreditKind, CreditUse, Invoice, InvoiceState
from insights.values.money import Money


def get_credit_balance(account: Account) -> CreditBalance:
    """Read every grant, newest first, with its uses in order; two statements. Call inside the account's scope."""
    uses: dict[int, list[CreditUse]] = {}
    for use in CreditUse.objects.for_account(account).select_related("invoice").order_by("used_at", "id"):
        uses.setdefault(use.grant_id, []).append(use)
    grants = CreditGrant.objects.for_account(account).order_by("-granted_at", "-id")
    return CreditBalance(tuple(_grant(grant, uses.get(grant.pk, [])) for grant in grants))


def list_grant_balances(account: Account) -> tuple[GrantBalance, ...]:
    """List every grant, newest first, with what was used of it; two statements, of columns that finance may read."""
    used = dict(
        CreditUse.objects.filter(account=account)
        .values_list("grant")
        .order_by("grant")
        .annotate(Sum("amount_minor"))
    )
    return tuple(
        GrantBalance(
            kind=grant.get_kind_display(),
            name=grant.name,
            reason=grant.reason,
            amount=Money(int(grant.amount_minor), grant.currency),
            used=Money(int(used.get(grant.pk, 0)), grant.currency),
            granted_at=grant.granted_at,
            expires_at=grant.expires_at,
            covers=None if grant.covers is None else tuple(grant.covers),
        )
        for grant in CreditGrant.objects.filter(account=account).order_by("-granted_at", "-id")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOver:
    """What bills below zero left of an account that is closed since, to be paid out: no bill is left to lower.

    Not final while a bill of the account is still to be issued, which may take of it or add to it.
    """

    account: Account
    amount: Money
    is_final: bool


def list_left_over(account: Account | None = None) -> tuple[LeftOver, ...]:
    """List what is left over of closed accounts, by name, or of one account; four statements, as finance may read."""
    carried = CreditGrant.objects.filter(kind=CreditKind.CARRIED, account__closed_at__isnull=False)
    carried = carried if account is None else carried.filter(account=account)
    grants = list(carried.values_list("pk", "account_id", "currency", "amount_minor"))
    accounts = {account_id for _, account_id, _, _ in grants}
    used = dict(
        CreditUse.objects.filter(account__in=accounts)
        .values_list("grant")
        .order_by("grant")
        .annotate(Sum("amount_minor"))
    )
    unissued = set(
        Invoice.objects.filter(account__in=accounts)
        .exclude(state=InvoiceState.ISSUED)
        .values_list("account", flat=True)
    )
    left: dict[tuple[int, str], int] = defaultdict(int)
    for pk, account_id, currency, minor in grants:
        left[account_id, currency] += int(minor - used.get(pk, 0))
    rows = Account.objects.in_bulk(accounts)
    found = (
        LeftOver(account=rows[account_id], amount=Money(minor, currency), is_final=account_id not in unissued)
        for (account_id, currency), minor in left.items()
        if minor
    )
    return tuple(sorted(found, key=lambda one: (one.account.name, one.account.pk, one.amount.currency)))


def _grant(grant: CreditGrant, uses: list[CreditUse]) -> CreditGrantFacts:
    return CreditGrantFacts(
        public_id=grant.public_id,
        kind=grant.kind,
        name=grant.name,
        reason=grant.reason,
        amount=Money(int(grant.amount_minor), grant.currency),
        granted_at=grant.granted_at,
        expires_at=grant.expires_at,
        covers=None if grant.covers is None else tuple(grant.covers),
        priority=grant.priority,
        is_before_tax=grant.is_before_tax,
        uses=tuple(
            CreditUseFacts(
                bill_id=use.invoice.public_id,
                number=use.invoice.number or "",
                amount=Money(int(use.amount_minor), grant.currency),
                used_at=use.used_at,
                is_return=use.is_return,
            )
            for use in uses
        ),
    )
