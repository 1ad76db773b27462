"""Records that money was paid out to a closed account: what bills below zero left of it, and never more than that.

The credits that were left are used up by it, as by a bill, so that whoever asks what is left of one needs to know of
one kind of use alone, and no bill takes what was sent to the bank. Runs as the worker, under the account's lock.
"""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import transaction

from accounts.models import Account, User
from accounts.operations import record_act
from accounts.operations.refusals import UnableToChange, check_text
from accounts.tenancy import as_worker
from insights.billing.account_lock_operations import hold_account
from insights.billing.amounts import InvalidAmount, minor_from_text
from insights.billing.payout_queries import grants_with_left, list_left_over
from insights.billing.price_words import money_words
from insights.models import CreditKind, CreditUse, Payout
from insights.values.money import Money, UnknownCurrency

REFERENCE_LENGTH_MAX = 300
NOTHING_LEFT = "Nothing is left to be paid out in this currency."
NOT_FINAL = "A bill of the account is still to be issued, which may take of it."


def record_payout(
    account: Account,
    *,
    public_id: UUID,
    currency: str,
    amount: str,
    paid_on: date,
    reference: str,
    by: User,
    now: datetime,
) -> None:
    """Say that money was paid out: `amount` in major units, read exactly; on a day of the account's clock.

    What has this id already is there, so that a form that is sent twice pays once. Raises UnableToChange.
    """
    check_text(reference, field="reference", what="reference", longest=REFERENCE_LENGTH_MAX)
    with as_worker(), transaction.atomic(using="worker"):
        # Bills are issued and voided under the same lock, so what is left stays so until it is paid.
        hold_account(account.pk)
        money = _read(amount, currency)
        done = Payout.objects.filter(account=account, public_id=public_id).first()
        if done is not None:
            _check_same(done, money, paid_on, reference)
            return
        closed = Account.objects.get(pk=account.pk)
        _check_left(closed, money)
        _check_day(closed, paid_on, now)
        payout = Payout.objects.create(
            account=closed,
            public_id=public_id,
            amount_minor=money.minor,
            currency=currency,
            paid_on=paid_on,
            reference=reference.strip(),
            recorded_by=by,
        )
        _use_credits(payout, money.minor)
        details: dict[str, object] = {
            "reason": reference.strip(),
            "amount_minor": str(money.minor),
            "currency": currency,
            "paid_on": paid_on.isoformat(),
        }
        record_act(
            account=closed, actor=by, act="credit.pay_out", subject=money_words(money), details=details
        )


def _read(amount: str, currency: str) -> Money:
    try:
        return Money(minor_from_text(amount, currency), currency)
    except InvalidAmount as error:
        raise UnableToChange(str(error), field="amount") from None
    except UnknownCurrency:
        raise UnableToChange("There is no such currency.") from None


def _check_same(done: Payout, money: Money, paid_on: date, reference: str) -> None:
    said = (money.minor, money.currency, paid_on, reference.strip())
    if (int(done.amount_minor), done.currency, done.paid_on, done.reference) != said:
        raise UnableToChange("This form recorded another payout already; open the page again.")


def _check_left(account: Account, money: Money) -> None:
    if account.closed_at is None:
        raise UnableToChange("The account is not closed: what is left lowers its next bills.")
    left = [one for one in list_left_over(account) if one.amount.currency == money.currency]
    if not left:
        raise UnableToChange(NOTHING_LEFT)
    if not left[0].is_final:
        raise UnableToChange(NOT_FINAL)
    if money.minor > left[0].amount.minor:
        raise UnableToChange(f"{money_words(left[0].amount)} are left to be paid out.", field="amount")


def _check_day(account: Account, paid_on: date, now: datetime) -> None:
    zone = ZoneInfo(account.billing_zone)
    closed_at = account.closed_at or now
    if not closed_at.astimezone(zone).date() <= paid_on <= now.astimezone(zone).date():
        raise UnableToChange(
            "Choose the day of the payment: not before the account was closed, and not after today.",
            field="paid_on",
        )


def _use_credits(payout: Payout, minor: int) -> None:
    """Use up what was left, the oldest first; the database adds it up again."""
    rows = grants_with_left().filter(
        account=payout.account, kind=CreditKind.CARRIED, currency=payout.currency, left_minor__gt=0
    )
    uses = []
    for grant in rows.order_by("granted_at", "id"):
        taken = min(minor, int(grant.left_minor))
        if taken:
            uses.append(CreditUse(account=payout.account, grant=grant, payout=payout, amount_minor=taken))
        minor -= taken
    CreditUse.objects.bulk_create(uses)
