"""Accounts are opened, suspended, resumed and closed."""

from __future__ import annotations

import re
from datetime import datetime

from django.db import IntegrityError, transaction

from accounts.models import Account, AccountState, Membership, Role, User
from accounts.operations.audit import record_act
from accounts.operations.members import get_or_create_user
from accounts.operations.refusals import UnableToChange, check_text
from accounts.tenancy import current_alias
from accounts.zones import canonical_zone

_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)


def create_account(
    *,
    reference: str,
    name: str,
    billing_zone: str,
    currency: str,
    owner_email: str,
    actor: User | None,
    actor_name: str = "",
) -> tuple[Account, User, bool]:
    """Open an account with its first owner; returns the account, the owner and whether the owner is a new person.

    A new person has no password yet and sets one by the mail the caller sends.
    """
    check_text(reference, field="reference", what="reference")
    check_text(name, field="name", what="name")
    zone = canonical_zone(billing_zone)
    if zone is None:
        raise UnableToChange("Choose a time zone such as Europe/Berlin.", field="billing_zone")
    if _CURRENCY.fullmatch(currency) is None:
        raise UnableToChange("Enter three capital letters such as EUR.", field="currency")
    with transaction.atomic(using=current_alias()):
        try:
            with transaction.atomic(using=current_alias()):
                account = Account.objects.create(
                    reference=reference.strip(), name=name.strip(), billing_zone=zone, currency=currency
                )
        except IntegrityError as error:
            raise UnableToChange("Another account has this reference.", field="reference") from error
        owner, is_new = get_or_create_user(owner_email, field="owner_email")
        Membership.objects.create(account=account, user=owner, role=Role.OWNER)
        details = {"billing_zone": zone, "currency": currency, "owner": owner.email}
        record_act(
            account=account,
            actor=actor,
            actor_name=actor_name,
            act="account.create",
            subject=account.reference,
            details=details,
        )
    return account, owner, is_new


def ensure_account(*, reference: str, actor_name: str) -> Account:
    """Return the account with this reference, opening one in UTC and USD without members if there is none."""
    check_text(reference, field="reference", what="reference")
    existing = Account.objects.filter(reference=reference).first()
    if existing is not None:
        return existing
    with transaction.atomic(using=current_alias()):
        account, is_new = Account.objects.get_or_create(reference=reference, defaults={"name": reference})
        if is_new:
            record_act(
                account=account,
                actor=None,
                actor_name=actor_name,
                act="account.create",
                subject=account.reference,
            )
    return account


def suspend_account(*, account: Account, actor: User) -> None:
    """Let an account be read but not changed, until it is resumed."""
    _move_account(
        account, actor, act="account.suspend", allowed=(AccountState.ACTIVE,), to=AccountState.SUSPENDED
    )


def resume_account(*, account: Account, actor: User) -> None:
    """Make a suspended account active again."""
    _move_account(
        account, actor, act="account.resume", allowed=(AccountState.SUSPENDED,), to=AccountState.ACTIVE
    )


def close_account(*, account: Account, actor: User, now: datetime) -> None:
    """Close an account for good: its keys stop, its history stays readable to its members."""
    allowed = (AccountState.ACTIVE, AccountState.SUSPENDED)
    _move_account(account, actor, act="account.close", allowed=allowed, to=AccountState.CLOSED, closed_at=now)


def _move_account(
    account: Account,
    actor: User,
    *,
    act: str,
    allowed: tuple[AccountState, ...],
    to: AccountState,
    closed_at: datetime | None = None,
) -> None:
    with transaction.atomic(using=current_alias()):
        row = Account.objects.select_for_update().get(pk=account.pk)
        if row.state not in allowed:
            raise UnableToChange(f"The account is {row.state}; somebody may have changed it meanwhile.")
        Account.objects.filter(pk=row.pk).update(state=to, closed_at=closed_at)
        details = {"from": row.state, "to": to.value}
        record_act(account=row, actor=actor, act=act, subject=row.reference, details=details)
    account.state, account.closed_at = to, closed_at
