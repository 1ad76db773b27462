"""Whom an account's bills go to. Call inside the account's scope."""

from __future__ import annotations

from accounts.models import Account
from insights.models import BillingProfile


def find_billing_profile(account: Account) -> BillingProfile | None:
    """Find the account's billing profile."""
    return BillingProfile.objects.for_account(account).first()
