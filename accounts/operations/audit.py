"""The audit trail: one entry per act, written in the transaction of the act."""

from __future__ import annotations

from typing import Any

from accounts.models import Account, AuditEntry, User


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
