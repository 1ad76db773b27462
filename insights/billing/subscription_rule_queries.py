"""What every act on a subscription asks first; each refusal names the field and the mend."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from accounts.models import Account
from accounts.operations import UnableToChange
from insights.billing.account_lock_operations import account_to_change
from insights.billing.catalogue_queries import sheet_in_force, sheets_of
from insights.billing.periods import period_containing
from insights.billing.sheet_mapping import offered_to
from insights.billing.subscription_queries import account_clashes, anchor_of, issued_until
from insights.models.prices import Plan
from insights.models.subscriptions import Subscription
from insights.rating.sheet import PriceSheet
from insights.values.period import YEAR_FIRST, YEAR_LAST
from insights.values.quantity import exact_text, fits

_COUNT = re.compile(r"(0|[1-9][0-9]*)(\.[0-9]+)?", re.ASCII)
_COUNT_CHARACTERS_MAX = 40


class UnknownSubscription(LookupError):
    """The account has no subscription of this id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedPlan:
    """A plan that an account may have, and its prices at the instant it was asked for."""

    plan: Plan
    sheet: PriceSheet


def subscription_of(account_id: int, public_id: UUID) -> Subscription:
    """The account's subscription of this id, or UnknownSubscription."""
    found = (
        Subscription.objects.filter(account=account_id, public_id=public_id)
        .select_related("account")
        .prefetch_related("phases__plan", "add_ons__plan")
        .first()
    )
    if found is None:
        raise UnknownSubscription(str(public_id))
    return found


def offered_plan(
    key: str, *, account: Account, kind: str, currency: str, interval_months: int | None, at: datetime
) -> OfferedPlan:
    """The plan with its prices at the instant, if the account may have it and kind, currency and interval fit."""
    plan = Plan.objects.filter(key=key).first()
    if plan is None or not offered_to(plan, account.pk):
        raise UnableToChange("There is no such plan for this account.", field="plan")
    if plan.retired_at is not None:
        raise UnableToChange(f"{plan.name} is retired and not offered any more.", field="plan")
    if plan.kind != kind:
        what = "comes on top of a plan; add it as an add-on" if kind == "base" else "is no add-on"
        raise UnableToChange(f"{plan.name} {what}.", field="plan")
    if plan.currency != currency:
        raise UnableToChange(
            f"{plan.name} is in {plan.currency}, and this is billed in {currency}.", field="plan"
        )
    if interval_months is not None and plan.interval_months != interval_months:
        raise UnableToChange(
            f"{plan.name} is billed every {_months(plan.interval_months)}, "
            f"the subscription every {_months(interval_months)}.",
            field="plan",
        )
    sheet = sheet_in_force(sheets_of([plan.pk])[plan.pk], at)
    if sheet is None:
        begins = said(at, account.billing_zone)
        raise UnableToChange(f"{plan.name} has no published version in force at {begins}.", field="plan")
    return OfferedPlan(plan=plan, sheet=sheet)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanToBegin:
    """A plan that may begin on a subscription at an hour, with the account, which is held."""

    account: Account
    subscription: Subscription
    offered: OfferedPlan


def plan_to_begin(
    account_id: int, subscription_id: UUID, plan_key: str, *, kind: str, starts_at: datetime
) -> PlanToBegin:
    """What beginning a plan or an add-on of a subscription asks first; inside a transaction, which holds the account.

    Raises UnknownSubscription and UnableToChange.
    """
    check_instant(starts_at, field="starts_at")
    account = account_to_change(account_id)
    subscription = subscription_of(account_id, subscription_id)
    check_within(subscription, starts_at, field="starts_at")
    check_not_issued(subscription, starts_at, field="starts_at")
    offered = offered_plan(
        plan_key,
        account=account,
        kind=kind,
        currency=subscription.currency,
        interval_months=subscription.interval_months,
        at=starts_at,
    )
    return PlanToBegin(account=account, subscription=subscription, offered=offered)


def _months(count: int) -> str:
    return "month" if count == 1 else f"{count} months"


def check_instant(instant: datetime, *, field: str) -> None:
    """Refuse what is no whole hour: usage comes in windows of an hour, and each is on one plan."""
    if not YEAR_FIRST <= instant.year <= YEAR_LAST:
        raise UnableToChange(f"Choose a year from {YEAR_FIRST} to {YEAR_LAST}.", field=field)
    utc = instant.astimezone(UTC)
    if (utc.minute, utc.second, utc.microsecond) != (0, 0, 0):
        raise UnableToChange(
            "Choose a whole hour, such as 14:00: usage is counted hour by hour on the clock of UTC, and each hour is "
            "on one plan.",
            field=field,
        )


def check_not_issued(subscription: Subscription, instant: datetime, *, field: str) -> None:
    """Refuse an instant before the end of the last period whose invoice is issued."""
    until = issued_until([subscription.pk]).get(subscription.pk)
    if until is not None and instant < until:
        first = said(until, subscription.account.billing_zone)
        raise UnableToChange(f"Choose {first} or later, since the invoice up to then is issued.", field=field)


def check_within(subscription: Subscription, instant: datetime, *, field: str) -> None:
    """Refuse an instant outside the subscription."""
    zone = subscription.account.billing_zone
    if instant < subscription.starts_at:
        raise UnableToChange(f"The subscription begins at {said(subscription.starts_at, zone)}.", field=field)
    if subscription.ends_at is not None and instant >= subscription.ends_at:
        raise UnableToChange(f"The subscription ends at {said(subscription.ends_at, zone)}.", field=field)


def checked_counts(sheet: PriceSheet, counts: Mapping[str, str]) -> dict[str, str]:
    """How many of each counted fee of the plan: every one, none else, zero or more."""
    counted = {price.key: price.name for price in sheet.prices if price.is_counted}
    for key in counts:
        if key not in counted:
            raise UnableToChange(f"{sheet.plan_name} has no counted fee {key[:60]}.", field="counts")
    found = {}
    for key, name in counted.items():
        text = counts.get(key, "").strip()
        if not text:
            raise UnableToChange(f"Say how many {name}, such as {key} = 3.", field="counts")
        if len(text) > _COUNT_CHARACTERS_MAX or not _COUNT.fullmatch(text) or not fits(Decimal(text)):
            raise UnableToChange(f"Write how many {name} in digits, such as 3 or 2.5.", field="counts")
        found[key] = exact_text(Decimal(text))
    return found


def refuse_clashes(account_id: int, *, field: str) -> None:
    """Refuse what was just written when two plans of the account would price one meter at the same time."""
    found = account_clashes(account_id)
    if found:
        raise UnableToChange(f"{found[0]}.", field=field)


def next_hour(now: datetime) -> datetime:
    """The first whole hour that is not before now."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    return hour if hour == now else hour + timedelta(hours=1)


def period_end(subscription: Subscription, now: datetime) -> datetime:
    """The end of the period that is running, or of the first one if the subscription has not begun."""
    return period_containing(anchor_of(subscription), max(now, subscription.starts_at)).end


def said(instant: datetime, zone: str) -> str:
    """The instant for a sentence, on the clock that the account's forms are filled in by."""
    local = instant.astimezone(ZoneInfo(zone))
    return f"{local.day} {local:%b %Y, %H:%M} {'UTC' if zone == 'UTC' else f'in {zone}'}"
