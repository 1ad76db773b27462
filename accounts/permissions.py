"""Who may do what, as plain yes or no. Pure: it looks at what it is given and asks no database."""

from __future__ import annotations

from datetime import datetime

from accounts.models import AccountState, Role, SupportAccess

KEY_ROLES = (Role.OWNER.value, Role.ADMIN.value)


def can_manage_keys(*, role: str | None, state: str) -> bool:
    """Owners and admins of an active account make and revoke its keys; support access never does."""
    return role in KEY_ROLES and state == AccountState.ACTIVE


def is_open_support_access(access: SupportAccess, *, now: datetime) -> bool:
    """Tell whether support access has neither been ended nor run out."""
    return access.ended_at is None and access.started_at <= now < access.expires_at
