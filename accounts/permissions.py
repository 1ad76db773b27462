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
    # Not compared with the start: of two starts at once, the one that waited has the earlier clock.
    return access.ended_at is None and now < access.expires_at
