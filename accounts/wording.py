"""Acts of the audit trail in plain words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_WORDS = {
    "account.create": "Opened the account",
    "account.suspend": "Suspended the account",
    "account.resume": "Resumed the account",
    "account.close": "Closed the account",
    "member.add": "Added {subject} as {role}",
    "member.change_role": "Changed {subject} from {from} to {to}",
    "member.remove": "Removed {subject}, who was {role}",
    "api_key.issue": "Made the key “{subject}” (up_live_{prefix}_…)",
    "api_key.revoke": "Revoked the key “{subject}” (up_live_{prefix}_…)",
    "billing.change_details": "Changed billing details: {subject}",
    "invoice.release": "Let bill {subject} through after a check",
    "invoice.mark_paid": "Marked bill {subject} as paid",
    "invoice.mark_open": "Marked bill {subject} as not paid: {reason}",
    "invoice.void": "Voided bill {subject}: {reason}",
    "credit.pay_out": "Paid out {subject}: {reason}",
    "note.add": "Wrote the note “{subject}”",
    "note.change": "Changed the note “{subject}”",
    "note.delete": "Deleted the note “{subject}”",
    "saved_view.save": "Saved {subject}",
    "saved_view.change": "Changed {subject}",
    "saved_view.delete": "Deleted {subject}",
    "uncovered_usage.release": "Let usage of {subject} pass that no subscription covers: {reason}",
    "support_access.start": "Started support access: {reason}",
    "support_access.end": "Ended support access",
}


def describe_act(*, act: str, subject: str, details: Mapping[str, Any]) -> str:
    """Say what was done; an act without words of its own is named as it is stored."""
    words = _WORDS.get(act)
    if words is None:
        return f"{act.replace('.', ' ').replace('_', ' ').capitalize()}: {subject}"
    known = {name: str(details.get(name, "")) for name in ("role", "from", "to", "prefix", "reason")}
    return words.format_map({**known, "subject": subject})
