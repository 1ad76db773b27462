"""What is stored of an account's credits. Call inside the account's scope."""

from __future__ import annotations

from accounts.models import Account
from insights.billing.credit_balance import CreditBalance, CreditGrantFacts, CreditUseFacts
from insights.models import CreditGrant, CreditUse
from insights.values.money import Money


def get_credit_balance(account: Account) -> CreditBalance:
    """Read every grant, newest first, with its uses in order; two statements."""
    uses: dict[int, list[CreditUse]] = {}
    for use in CreditUse.objects.for_account(account).select_related("invoice").order_by("used_at", "id"):
        uses.setdefault(use.grant_id, []).append(use)
    grants = CreditGrant.objects.for_account(account).order_by("-granted_at", "-id")
    return CreditBalance(tuple(_grant(grant, uses.get(grant.pk, [])) for grant in grants))


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
