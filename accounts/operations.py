"""Every change to people, accounts, keys and support access, each with its audit entry in the same transaction.

An operation runs as the role in force (accounts.tenancy) and refuses, with a field and a sentence, what it cannot do.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import available_timezones

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, connections, transaction
from django.db.models import Q

from accounts import keys
from accounts.models import (
    Account,
    AccountState,
    ApiKey,
    AuditEntry,
    Membership,
    Role,
    SupportAccess,
    User,
)
from accounts.permissions import KEY_ROLES, is_open_support_access
from accounts.queries import count_live_api_keys
from accounts.tenancy import account_scope, as_intake, connection, current_alias

SUPPORT_ACCESS_LASTS = timedelta(minutes=30)
REASON_LENGTH_MIN = 10
LIVE_KEYS_MAX = 20
KEY_USE_NOTED_EVERY = timedelta(minutes=1)
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


class UnableToChange(Exception):
    """What was asked cannot be done; says which field is at fault and how to mend it."""

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.field = field


# --- Audit --------------------------------------------------------------------------------------


def record_act(
    *,
    account: Account | None,
    actor: User | None,
    act: str,
    subject: str,
    details: dict[str, Any] | None = None,
    actor_name: str = "",
) -> AuditEntry:
    """Append one act to the audit trail; called inside the transaction of the act itself."""
    return AuditEntry.objects.create(
        account=account,
        actor=actor,
        actor_name=actor.email if actor is not None else actor_name,
        act=act,
        subject=subject[:254],
        details=details or {},
    )


# --- Accounts -----------------------------------------------------------------------------------


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
    _check_text(reference, field="reference", what="reference")
    _check_text(name, field="name", what="name")
    if billing_zone not in available_timezones():
        raise UnableToChange("Choose a time zone such as Europe/Berlin.", field="billing_zone")
    if _CURRENCY.fullmatch(currency) is None:
        raise UnableToChange("Enter three capital letters such as EUR.", field="currency")
    with transaction.atomic(using=current_alias()):
        try:
            with transaction.atomic(using=current_alias()):
                account = Account.objects.create(
                    reference=reference.strip(), name=name.strip(), billing_zone=billing_zone, currency=currency
                )
        except IntegrityError as error:
            raise UnableToChange("Another account has this reference.", field="reference") from error
        owner, is_new = _get_or_create_user(owner_email, field="owner_email")
        Membership.objects.create(account=account, user=owner, role=Role.OWNER)
        details = {"billing_zone": billing_zone, "currency": currency, "owner": owner.email}
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
    existing = Account.objects.filter(reference=reference).first()
    if existing is not None:
        return existing
    _check_text(reference, field="reference", what="reference")
    with transaction.atomic(using=current_alias()):
        account, is_new = Account.objects.get_or_create(reference=reference, defaults={"name": reference})
        if is_new:
            record_act(
                account=account, actor=None, actor_name=actor_name, act="account.create", subject=account.reference
            )
    return account


def suspend_account(*, account: Account, actor: User) -> None:
    """Let an account be read but not changed, until it is resumed."""
    _move_account(account, actor, act="account.suspend", allowed=(AccountState.ACTIVE,), to=AccountState.SUSPENDED)


def resume_account(*, account: Account, actor: User) -> None:
    """Make a suspended account active again."""
    _move_account(account, actor, act="account.resume", allowed=(AccountState.SUSPENDED,), to=AccountState.ACTIVE)


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


# --- Members ------------------------------------------------------------------------------------


def add_member(*, account: Account, email: str, role: str, actor: User) -> tuple[Membership, bool]:
    """Give a person a role in an account; returns the membership and whether the person is new."""
    _check_role(role)
    with transaction.atomic(using=current_alias()):
        Account.objects.select_for_update().get(pk=account.pk)
        user, is_new = _get_or_create_user(email, field="email")
        if Membership.objects.for_account(account).filter(user=user).exists():
            raise UnableToChange("This person is a member already; change the role in the list.", field="email")
        membership = Membership.objects.create(account=account, user=user, role=role)
        record_act(account=account, actor=actor, act="member.add", subject=user.email, details={"role": role})
    return membership, is_new


def change_role(*, account: Account, user_public_id: Any, role: str, actor: User) -> None:
    """Give a member another role; the last owner stays one."""
    _check_role(role)
    with transaction.atomic(using=current_alias()):
        membership = _lock_member(account, user_public_id)
        if membership.role == Role.OWNER and role != Role.OWNER:
            _refuse_last_owner(account, membership)
        details = {"from": membership.role, "to": role}
        Membership.objects.filter(pk=membership.pk).update(role=role)
        record_act(
            account=account, actor=actor, act="member.change_role", subject=membership.user.email, details=details
        )


def remove_member(*, account: Account, user_public_id: Any, actor: User) -> None:
    """End a membership from the person's next request on; the last owner stays."""
    with transaction.atomic(using=current_alias()):
        membership = _lock_member(account, user_public_id)
        if membership.role == Role.OWNER:
            _refuse_last_owner(account, membership)
        details = {"role": membership.role}
        Membership.objects.filter(pk=membership.pk).delete()
        record_act(account=account, actor=actor, act="member.remove", subject=membership.user.email, details=details)


def _lock_member(account: Account, user_public_id: Any) -> Membership:
    # The account's row orders changes of members, so that two last owners cannot leave at once.
    Account.objects.select_for_update().get(pk=account.pk)
    members = Membership.objects.for_account(account).select_related("user")
    membership: Membership | None = members.filter(user__public_id=user_public_id).first()
    if membership is None:
        raise UnableToChange("This person is no longer a member.")
    return membership


def _refuse_last_owner(account: Account, membership: Membership) -> None:
    owners = Membership.objects.for_account(account).filter(role=Role.OWNER)
    if not owners.exclude(pk=membership.pk).exists():
        raise UnableToChange("An account keeps at least one owner; name another owner first.", field="role")


# --- Keys ---------------------------------------------------------------------------------------


def issue_api_key(
    *, account: Account, name: str, actor: User, role: str, now: datetime, expires_at: datetime | None = None
) -> tuple[ApiKey, str]:
    """Make a key that reads the account's usage; returns its row and, this once, the key itself."""
    _check_may_manage_keys(account, role)
    _check_text(name, field="name", what="name", longest=100)
    if expires_at is not None and expires_at <= now:
        raise UnableToChange("Choose a day that is still to come.", field="expires_on")
    with transaction.atomic(using=current_alias()):
        # One maker at a time, or two could pass the limit together. The web role may not lock the account's row.
        _lock_for_account(account, "api keys")
        if count_live_api_keys(account, now=now) >= LIVE_KEYS_MAX:
            raise UnableToChange(f"An account has at most {LIVE_KEYS_MAX} live keys; revoke one first.", field="name")
        plain, prefix, sha256 = keys.make_key()
        key = ApiKey.objects.create(
            account=account,
            name=name.strip(),
            prefix=prefix,
            secret_sha256=sha256,
            scopes=["usage:read"],
            created_by=actor,
            expires_at=expires_at,
        )
        record_act(
            account=account,
            actor=actor,
            act="api_key.issue",
            subject=key.name,
            details={"prefix": prefix, "expires_at": expires_at.isoformat() if expires_at else None},
        )
    return key, plain


def revoke_api_key(*, account: Account, key: ApiKey, actor: User, role: str, now: datetime) -> None:
    """Make a key worthless from its next use on; a second time changes nothing."""
    _check_may_manage_keys(account, role)
    with transaction.atomic(using=current_alias()):
        live = ApiKey.objects.for_account(account).filter(pk=key.pk, revoked_at__isnull=True)
        if live.update(revoked_at=now):
            record_act(
                account=account, actor=actor, act="api_key.revoke", subject=key.name, details={"prefix": key.prefix}
            )


def note_key_use(*, kind: str, key_id: int, account_id: int | None, now: datetime) -> None:
    """Remember when a key was last used, at most once a minute, so that busy keys do not write at every request."""
    before = now - KEY_USE_NOTED_EVERY
    if kind == "account" and account_id is not None:
        stale = Q(last_used_at__isnull=True) | Q(last_used_at__lt=before)
        with account_scope(account_id):
            ApiKey.objects.filter(stale, pk=key_id, account_id=account_id).update(last_used_at=now)
        return
    # Source keys are the feeds' table, which this app does not import; the intake role may touch this column alone.
    with as_intake(), connection().cursor() as cursor:
        cursor.execute(
            "UPDATE insights_sourcekey SET last_used_at = %s "
            "WHERE id = %s AND (last_used_at IS NULL OR last_used_at < %s)",
            [now, key_id, before],
        )


# --- Support access -----------------------------------------------------------------------------


def start_support_access(*, staff: User, account: Account, reason: str, now: datetime) -> SupportAccess:
    """Open one account to one member of staff, read-only, for half an hour; every start has its own reason."""
    if not (staff.is_staff and staff.is_active):
        raise UnableToChange("Only active staff may look into an account.")
    reason = " ".join(reason.split())
    if len(reason) < REASON_LENGTH_MIN:
        raise UnableToChange(
            f"Say in at least {REASON_LENGTH_MIN} characters why; the customer reads it.", field="reason"
        )
    _check_text(reason, field="reason", what="reason", longest=500)
    with transaction.atomic(using=current_alias()):
        Account.objects.select_for_update().get(pk=account.pk)
        mine = SupportAccess.objects.for_account(account).filter(staff_user=staff, ended_at__isnull=True)
        if any(is_open_support_access(access, now=now) for access in mine):
            raise UnableToChange("You have open support access already; end it before you start again.", field="reason")
        access = SupportAccess.objects.create(
            account=account,
            staff_user=staff,
            staff_email=staff.email,
            reason=reason,
            started_at=now,
            expires_at=now + SUPPORT_ACCESS_LASTS,
        )
        details = {"reason": reason, "expires_at": access.expires_at.isoformat()}
        record_act(account=account, actor=staff, act="support_access.start", subject=staff.email, details=details)
    return access


def end_support_access(*, staff: User, account: Account, now: datetime) -> bool:
    """End a member of staff's open access to an account; tells whether there was one."""
    with transaction.atomic(using=current_alias()):
        mine = SupportAccess.objects.for_account(account).filter(staff_user=staff, ended_at__isnull=True)
        ended = mine.filter(expires_at__gt=now).update(ended_at=now)
        if ended:
            record_act(account=account, actor=staff, act="support_access.end", subject=staff.email)
    return bool(ended)


# --- Checks shared by the operations above --------------------------------------------------------


def _check_text(text: str, *, field: str, what: str, longest: int = 200) -> None:
    if not text.strip():
        raise UnableToChange(f"Enter a {what}.", field=field)
    if len(text.strip()) > longest:
        raise UnableToChange(f"The {what} may have at most {longest} characters.", field=field)
    if _UNPRINTABLE.search(text):
        raise UnableToChange(f"The {what} contains a character that cannot be seen.", field=field)


def _check_role(role: str) -> None:
    if role not in Role.values:
        raise UnableToChange("Choose one of the roles.", field="role")


def _check_may_manage_keys(account: Account, role: str) -> None:
    if role not in KEY_ROLES:
        raise UnableToChange("Owners and admins manage keys.")
    if account.state != AccountState.ACTIVE:
        raise UnableToChange(f"The account is {account.state}; its keys cannot be changed.")


def _get_or_create_user(email: str, *, field: str) -> tuple[User, bool]:
    address = email.strip().lower()
    try:
        validate_email(address)
    except ValidationError as error:
        raise UnableToChange("Enter an e-mail address such as name@example.com.", field=field) from error
    existing = User.objects.filter(email=address).first()
    if existing is not None:
        return existing, False
    return User.objects.create_user(address), True


def _lock_for_account(account: Account, topic: str) -> None:
    with connections[current_alias()].cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s), %s)", [topic, account.pk % 2**31])
