"""Every change to people, accounts, keys and support access, each with its audit entry in the same transaction.

An operation runs as the role in force (accounts.tenancy) and refuses, with a field and a sentence, what it cannot do.
"""

from accounts.operations.api_keys import issue_api_key, note_key_use, revoke_api_key
from accounts.operations.audit import record_act
from accounts.operations.lifecycle import (
    close_account,
    create_account,
    ensure_account,
    resume_account,
    suspend_account,
)
from accounts.operations.members import add_member, change_role, remove_member
from accounts.operations.refusals import UnableToChange
from accounts.operations.sign_in import drop_sign_in_failures
from accounts.operations.support import end_support_access, start_support_access

__all__ = [
    "UnableToChange",
    "add_member",
    "change_role",
    "close_account",
    "create_account",
    "drop_sign_in_failures",
    "end_support_access",
    "ensure_account",
    "issue_api_key",
    "note_key_use",
    "record_act",
    "remove_member",
    "resume_account",
    "revoke_api_key",
    "start_support_access",
    "suspend_account",
]
