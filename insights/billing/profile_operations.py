"""What a customer changes of their own billing details; the audit says which fields, and what they said."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

from accounts.models import Account, User
from accounts.operations import record_act
from insights.billing.account_lock_operations import hold_invoices
from insights.models import BillingProfile


class NoBillingProfile(LookupError):
    """The account has no billing profile yet; staff make the first one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingDetails:
    """What stands on an account's next bills, and who gets them besides the members."""

    company_name: str
    address: str
    tax_id: str
    purchase_order: str
    recipients: list[str]


def change_billing_details(
    account: Account, details: BillingDetails, *, by: User, now: datetime
) -> tuple[str, ...]:
    """Change the details and return which fields changed; the same again changes nothing and is no act.

    Bills that are issued stay as they are. Raises NoBillingProfile.
    """
    hold_invoices(account.pk)
    profile = BillingProfile.objects.for_account(account).select_for_update().first()
    if profile is None:
        raise NoBillingProfile
    new = asdict(details)
    before = {name: getattr(profile, name) for name in new}
    changed = tuple(name for name, value in new.items() if before[name] != value)
    if not changed:
        return ()
    for name in changed:
        setattr(profile, name, new[name])
    profile.updated_at = now
    profile.save(update_fields=[*changed, "updated_at"])
    record_act(
        account=account,
        actor=by,
        act="billing.change_details",
        subject=", ".join(changed),
        details={
            "from": {name: before[name] for name in changed},
            "to": {name: new[name] for name in changed},
        },
    )
    return changed
