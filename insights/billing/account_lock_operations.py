"""Locks on what an account buys and is billed, held until the transaction ends, in one order everywhere.

Making an invoice, voiding one and every act that changes what one follows from take the first, so that none is made of
what is no longer so when it is stored.
"""

from __future__ import annotations

from accounts.models import Account, AccountState
from accounts.operations import UnableToChange
from accounts.tenancy import connection

_INVOICES = "SELECT pg_advisory_xact_lock(hashtextextended(format('invoices of %%s', %s::bigint), 0))"


def hold_invoices(account_id: int) -> None:
    """Let nobody else make an invoice of the account; all that a customer, who may not lock the account, can hold."""
    with connection().cursor() as cursor:
        cursor.execute(_INVOICES, [account_id])


def hold_account(account_id: int) -> None:
    """Hold everybody else off the account, its invoices, credits and subscriptions."""
    hold_invoices(account_id)
    with connection().cursor() as cursor:
        # Whoever closes the account locks its row alone.
        cursor.execute("SELECT FROM accounts_account WHERE id = %s FOR NO KEY UPDATE", [account_id])


def account_to_change(account_id: int) -> Account:
    """The account, held for an act on what it buys; a closed one is refused."""
    hold_account(account_id)
    account = Account.objects.get(pk=account_id)
    if account.state == AccountState.CLOSED:
        raise UnableToChange("The account is closed, so nothing about its subscriptions changes any more.")
    return account
