"""Support access is started with a reason and ended; it always ends by itself."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from accounts.models import Account, SupportAccess, User
from accounts.operations.audit import record_act
from accounts.operations.refusals import UnableToChange, check_text
from accounts.permissions import is_open_support_access
from accounts.tenancy import current_alias

SUPPORT_ACCESS_LASTS = timedelta(minutes=30)
REASON_LENGTH_MIN = 10


def start_support_access(*, staff: User, account: Account, reason: str, now: datetime) -> SupportAccess:
    """Open one account to one member of staff, read-only, for half an hour; every start has its own reason."""
    if not (staff.is_staff and staff.is_active):
        raise UnableToChange("Only active staff may look into an account.")
    reason = " ".join(reason.split())
    if len(reason) < REASON_LENGTH_MIN:
        raise UnableToChange(
            f"Say in at least {REASON_LENGTH_MIN} characters why; the customer reads it.", field="reason"
        )
    check_text(reason, field="reason", what="reason", longest=500)
    with transaction.atomic(using=current_alias()):
        Account.objects.select_for_update().get(pk=account.pk)
        mine = SupportAccess.objects.for_account(account).filter(staff_user=staff, ended_at__isnull=True)
        if any(is_open_support_access(access, now=now) for access in mine):
            raise UnableToChange(
                "You have open support access already; end it before you start again.", field="reason"
            )
        access = SupportAccess.objects.create(
            account=account,
            staff_user=staff,
            staff_email=staff.email,
            reason=reason,
            started_at=now,
            expires_at=now + SUPPORT_ACCESS_LASTS,
        )
        details = {"reason": reason, "expires_at": access.expires_at.isoformat()}
        record_act(
            account=account, actor=staff, act="support_access.start", subject=staff.email, details=details
        )
    return access


def end_support_access(*, staff: User, account: Account, now: datetime) -> bool:
    """End a member of staff's open access to an account; tells whether there was one."""
    with transaction.atomic(using=current_alias()):
        mine = SupportAccess.objects.for_account(account).filter(staff_user=staff, ended_at__isnull=True)
        ended = mine.filter(expires_at__gt=now).update(ended_at=now)
        if ended:
            record_act(account=account, actor=staff, act="support_access.end", subject=staff.email)
    return bool(ended)
