"""What is stored of an account's credits: all of it for the account's own pages, and balances for finance."""

from __future__ import annotations

from django.db.models import Sum

from accounts.models import Account
from insights.billing.credit_balance import (
    CreditBalance,
    CreditGrantFacts,
    CreditPayoutFacts,
    CreditUseFacts,
    GrantBalance,
)
from insights.models import CreditGrant, CreditUse
from insights.values.money import Money


def get_credit_balance(account: Account) -> CreditBalance:
    """Read every grant, newest first, with its uses in order; two statements. Call inside the account's scope."""
    uses: dict[int, list[CreditUse]] = {}
    rows = CreditUse.objects.for_account(account).select_related("invoice", "payout")
    for use in rows.order_by("used_at", "id"):
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
            if use.invoice is not None
        ),
        payouts=tuple(
            CreditPayoutFacts(
                amount=Money(int(use.amount_minor), grant.currency),
                paid_on=use.payout.paid_on,
                reference=use.payout.reference,
                recorded_at=use.payout.recorded_at,
            )
            for use in uses
            if use.payout is not None
        ),
    )
