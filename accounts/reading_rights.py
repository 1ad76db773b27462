"""Whether somebody who was let in to read an account may still read it, asked afresh of the database.

A page is checked once and over in a moment; a download lasts for minutes and asks here as it goes. Call it outside any
transaction that serves an account.
"""

from __future__ import annotations

from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from accounts.models import AccountState, ApiKey, Membership, User
from accounts.permissions import is_open_support_access
from accounts.queries import find_latest_support_access
from accounts.tenancy import account_scope, as_staff, user_scope


def is_still_member(*, user_id: int, account_id: int) -> bool:
    """Tell whether a person is active and still belongs to the account."""
    with user_scope(user_id):
        members = Membership.objects.filter(user_id=user_id, account_id=account_id)
        return members.filter(user__is_active=True).exists()


def is_still_support(*, user_id: int, account_public_id: UUID) -> bool:
    """Tell whether a person is active staff with open support access to the account."""
    with as_staff():
        staff = User.objects.filter(pk=user_id, is_active=True, is_staff=True).first()
        if staff is None:
            return False
        access = find_latest_support_access(staff_user=staff, account_public_id=account_public_id)
        return access is not None and is_open_support_access(access, now=timezone.now())


def is_live_key(*, key_id: int, account_id: int) -> bool:
    """Tell whether a key of the account has neither been revoked nor run out, and the account is not closed."""
    with account_scope(account_id, read_only=True):
        lasting = Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now())
        keys = ApiKey.objects.filter(lasting, pk=key_id, account_id=account_id, revoked_at__isnull=True)
        return keys.exclude(account__state=AccountState.CLOSED).exists()
