"""Customer keys are made, revoked, and marked as used."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import connections, transaction
from django.db.models import Q

from accounts import keys
from accounts.models import Account, AccountState, ApiKey, User
from accounts.operations.audit import record_act
from accounts.operations.refusals import UnableToChange, check_text
from accounts.permissions import KEY_ROLES
from accounts.queries import count_live_api_keys
from accounts.tenancy import account_scope, as_intake, connection, current_alias

LIVE_KEYS_MAX = 20
KEY_USE_NOTED_EVERY = timedelta(minutes=1)


def issue_api_key(
    *,
    account: Account,
    name: str,
    actor: User,
    role: str,
    now: datetime,
    expires_at: datetime | None = None,
    reads_bills: bool = False,
    writes_notes: bool = False,
) -> tuple[ApiKey, str]:
    """Make a key that reads the account's usage; returns its row and, this once, the key.

    It reads bills too, and writes notes, if it shall.
    """
    _check_may_manage_keys(account, role)
    check_text(name, field="name", what="name", longest=100)
    if expires_at is not None and expires_at <= now:
        raise UnableToChange("Choose a day that is still to come.", field="expires_on")
    with transaction.atomic(using=current_alias()):
        # One maker at a time, or two could pass the limit together. The web role may not lock the account's row.
        _lock_for_account(account, "api keys")
        if count_live_api_keys(account, now=now) >= LIVE_KEYS_MAX:
            raise UnableToChange(
                f"An account has at most {LIVE_KEYS_MAX} live keys; revoke one first.", field="name"
            )
        plain, prefix, sha256 = keys.make_key()
        key = ApiKey.objects.create(
            account=account,
            name=name.strip(),
            prefix=prefix,
            secret_sha256=sha256,
            scopes=[
                "usage:read",
                *(["bills:read"] if reads_bills else []),
                *(["notes:write"] if writes_notes else []),
            ],
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
                account=account,
                actor=actor,
                act="api_key.revoke",
                subject=key.name,
                details={"prefix": key.prefix},
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


def _check_may_manage_keys(account: Account, role: str) -> None:
    if role not in KEY_ROLES:
        raise UnableToChange("Owners and admins manage keys.")
    if account.state != AccountState.ACTIVE:
        raise UnableToChange(f"The account is {account.state}; its keys cannot be changed.")


def _lock_for_account(account: Account, topic: str) -> None:
    with connections[current_alias()].cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s), %s)", [topic, account.pk % 2**31])
