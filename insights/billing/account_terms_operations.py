"""Whom an account's invoices are made out to and what tax they bear, and credits granted; audited with the account."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from accounts.models import User
from accounts.operations import UnableToChange, record_act
from accounts.operations.refusals import check_text
from accounts.tenancy import current_alias
from insights.billing.account_lock_operations import account_to_change
from insights.billing.amounts import InvalidAmount, minor_from_text, percent_from_text
from insights.models.credits import CreditGrant, CreditKind
from insights.models.prices import LegalEntity
from insights.models.subscriptions import BillingProfile

GRANTED_KINDS = (CreditKind.PROMOTION, CreditKind.GOODWILL, CreditKind.COMMITMENT)
DAYS_MAX = 365
RECIPIENTS_MAX = 20
PRIORITY_MAX = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileChanges:
    """The billing profile as it shall be; `tax_percent` as text, so that it is read exactly."""

    legal_entity_key: str
    company_name: str = ""
    address: str = ""
    tax_id: str = ""
    purchase_order: str = ""
    recipients: tuple[str, ...] = ()
    tax_name: str = ""
    tax_percent: str = "0"
    tax_exempt_reason: str = ""
    due_days: int = 14
    grace_days: int = 3


def save_profile(
    *, account_id: int, changes: ProfileChanges, by: User | None, now: datetime
) -> BillingProfile:
    """Make the account's billing profile, or change it; invoices issued before stay as they are."""
    entity = LegalEntity.objects.filter(key=changes.legal_entity_key).first()
    if entity is None:
        raise UnableToChange("Choose who sends the invoices.", field="legal_entity")
    percent = _checked_tax(changes)
    _check_profile_texts(changes)
    values = asdict(changes) | {"tax_percent": percent, "recipients": list(changes.recipients)}
    del values["legal_entity_key"]
    with transaction.atomic(using=current_alias()):
        account = account_to_change(account_id)
        profile, _ = BillingProfile.objects.update_or_create(
            account=account, defaults={**values, "legal_entity": entity, "updated_at": now}
        )
        details = {**asdict(changes), "recipients": list(changes.recipients)}
        record_act(
            account=account, actor=by, act="billing_profile.save", subject=account.reference, details=details
        )
    return profile


def _checked_tax(changes: ProfileChanges) -> Decimal:
    try:
        percent = percent_from_text(changes.tax_percent)
    except InvalidAmount as error:
        raise UnableToChange(str(error), field="tax_percent") from None
    if percent and not changes.tax_name.strip():
        raise UnableToChange("Name the tax, such as VAT.", field="tax_name")
    if percent and changes.tax_exempt_reason.strip():
        message = "A reason for no tax goes with 0 percent. Clear one of the two."
        raise UnableToChange(message, field="tax_exempt_reason")
    return percent


def _check_profile_texts(changes: ProfileChanges) -> None:
    for field, what, longest in (
        ("company_name", "company's name", 200),
        ("tax_id", "tax id", 60),
        ("purchase_order", "purchase order", 60),
        ("tax_name", "name of the tax", 60),
        ("tax_exempt_reason", "reason for no tax", 200),
    ):
        if text := getattr(changes, field):
            check_text(text, field=field, what=what, longest=longest)
    if changes.address:
        check_text(
            changes.address.replace("\r", "").replace("\n", " "),
            field="address",
            what="address",
            longest=1000,
        )
    if len(changes.recipients) > RECIPIENTS_MAX:
        raise UnableToChange(f"At most {RECIPIENTS_MAX} recipients.", field="recipients")
    for recipient in changes.recipients:
        try:
            validate_email(recipient)
        except ValidationError:
            raise UnableToChange(f"{recipient[:60]} is not an e-mail address.", field="recipients") from None
    for field in ("due_days", "grace_days"):
        if not 0 <= getattr(changes, field) <= DAYS_MAX:
            raise UnableToChange(f"Choose 0 to {DAYS_MAX} days.", field=field)


def grant_credit(
    *,
    account_id: int,
    kind: str,
    name: str,
    amount: str,
    reason: str,
    expires_at: datetime | None = None,
    priority: int = 100,
    covers: tuple[str, ...] | None = None,
    is_before_tax: bool = True,
    by: User | None,
    now: datetime,
) -> CreditGrant:
    """Give the account money to use instead of paying: `amount` in major units of its currency, read exactly.

    `covers` are price keys, None is every price that takes credits. Raises UnableToChange.
    """
    if kind not in GRANTED_KINDS:
        raise UnableToChange("Choose a kind of credit.", field="kind")
    check_text(name, field="name", what="name", longest=100)
    check_text(reason, field="reason", what="reason")
    if expires_at is not None and expires_at <= now:
        raise UnableToChange("Choose an expiry that is still to come.", field="expires_at")
    if not 0 <= priority <= PRIORITY_MAX:
        raise UnableToChange(f"Choose a priority from 0 to {PRIORITY_MAX}.", field="priority")
    if covers is not None and (not covers or any(len(key) > 60 or not key.isprintable() for key in covers)):
        raise UnableToChange(
            "Write price keys, separated by commas, or leave it empty for all.", field="covers"
        )
    if covers is not None and not is_before_tax:
        raise UnableToChange(
            "A credit that is used after tax pays for the whole bill; leave the prices empty.", field="covers"
        )
    with transaction.atomic(using=current_alias()):
        account = account_to_change(account_id)
        try:
            minor = minor_from_text(amount, account.currency)
        except InvalidAmount as error:
            raise UnableToChange(str(error), field="amount") from None
        grant = CreditGrant.objects.create(
            account=account,
            kind=kind,
            name=name.strip(),
            amount_minor=minor,
            currency=account.currency,
            granted_at=now,
            expires_at=expires_at,
            priority=priority,
            covers=None if covers is None else list(covers),
            is_before_tax=is_before_tax,
            reason=reason.strip(),
            created_by=by,
        )
        details = {
            "kind": kind,
            "amount_minor": str(minor),
            "currency": account.currency,
            "reason": reason.strip(),
        }
        record_act(account=account, actor=by, act="credit.grant", subject=grant.name, details=details)
    return grant
