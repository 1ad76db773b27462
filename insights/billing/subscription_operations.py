"""Subscriptions begin, change plan and end; every act is audited with its account.

Refuses plans that are not offered to the account, instants inside an hour or before the end of what was issued, and two
plans that would charge one meter at the same time. One act on an account's subscriptions happens at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from accounts.models import Account, User
from accounts.operations import UnableToChange, record_act
from accounts.operations.refusals import check_text
from accounts.tenancy import current_alias
from insights.billing.account_lock_operations import account_to_change, hold_account
from insights.billing.subscription_queries import issued_until
from insights.billing.subscription_rule_queries import (
    check_instant,
    check_not_issued,
    checked_counts,
    next_hour,
    offered_plan,
    plan_to_begin,
    refuse_clashes,
    said,
    subscription_of,
)
from insights.models.prices import Plan, PlanKind
from insights.models.subscriptions import Subscription, SubscriptionPhase
from insights.rating.plan_change import ChangePolicy
from insights.values.period import YEAR_FIRST, YEAR_LAST


def start_subscription(
    *,
    account_id: int,
    plan_key: str,
    name: str,
    anchor_day: date,
    starts_at: datetime,
    counts: Mapping[str, str],
    by: User | None,
    policy: ChangePolicy = ChangePolicy.RESTART,
) -> Subscription:
    """Put the account on a plan from a whole hour on; periods are counted from the anchor day in its billing zone.

    `policy` says whether a first part of a period has whole tiers and included usage (restart) or its share of them
    by time. Zone, currency and interval are copied, so that periods never move. Raises UnableToChange.
    """
    check_text(name, field="name", what="name", longest=100)
    check_instant(starts_at, field="starts_at")
    if not YEAR_FIRST <= anchor_day.year <= YEAR_LAST:
        raise UnableToChange(f"Choose a year from {YEAR_FIRST} to {YEAR_LAST}.", field="anchor_day")
    with transaction.atomic(using=current_alias()):
        account = account_to_change(account_id)
        offered = offered_plan(
            plan_key,
            account=account,
            kind=PlanKind.BASE,
            currency=account.currency,
            interval_months=None,
            at=starts_at,
        )
        subscription = Subscription.objects.create(
            account=account,
            name=name.strip(),
            currency=account.currency,
            billing_zone=account.billing_zone,
            anchor_day=anchor_day,
            interval_months=offered.plan.interval_months,
            starts_at=starts_at,
            created_by=by,
        )
        phase = SubscriptionPhase.objects.create(
            account=account,
            subscription=subscription,
            plan=offered.plan,
            starts_at=starts_at,
            policy=policy,
            counts=checked_counts(offered.sheet, counts),
            created_by=by,
        )
        refuse_clashes(account_id, field="plan")
        details = {**_phase_details(phase), "anchor_day": anchor_day.isoformat()}
        audit(account, by, "subscription.start", subscription, details)
    return subscription


def change_plan(
    *,
    account_id: int,
    subscription_id: UUID,
    plan_key: str,
    starts_at: datetime,
    policy: ChangePolicy,
    counts: Mapping[str, str],
    reason: str = "",
    by: User | None,
) -> SubscriptionPhase:
    """Put the subscription on a plan, or the same plan with other counts, from a whole hour on until the next change.

    Raises UnknownSubscription and UnableToChange.
    """
    if reason:
        check_text(reason, field="reason", what="reason")
    with transaction.atomic(using=current_alias()):
        begun = plan_to_begin(account_id, subscription_id, plan_key, kind=PlanKind.BASE, starts_at=starts_at)
        account, subscription, offered = begun.account, begun.subscription, begun.offered
        wanted = checked_counts(offered.sheet, counts)
        _refuse_no_change(subscription, offered.plan, starts_at, wanted)
        phase = _add_phase(
            SubscriptionPhase(
                account=account,
                subscription=subscription,
                plan=offered.plan,
                starts_at=starts_at,
                policy=policy,
                counts=wanted,
                reason=reason.strip(),
                created_by=by,
            )
        )
        refuse_clashes(account_id, field="plan")
        audit(account, by, "subscription.change_plan", subscription, _phase_details(phase))
    return phase


def cancel_change(
    *, account_id: int, subscription_id: UUID, starts_at: datetime, by: User | None, now: datetime
) -> None:
    """Take back the change of plan of that hour, which has not begun; the plan before it goes on."""
    with transaction.atomic(using=current_alias()):
        account = account_to_change(account_id)
        subscription = subscription_of(account_id, subscription_id)
        phase = SubscriptionPhase.objects.filter(
            subscription=subscription, starts_at=starts_at, cancelled_at__isnull=True
        ).first()
        if phase is None:
            hour = said(starts_at, account.billing_zone)
            raise UnableToChange(f"No plan begins at {hour}; it may be cancelled already.")
        if phase.starts_at <= subscription.starts_at:
            raise UnableToChange(
                "A subscription has a first plan; change it or end the subscription instead."
            )
        if phase.starts_at <= now:
            begun = said(phase.starts_at, account.billing_zone)
            raise UnableToChange(f"The change of {begun} has begun; make another change instead.")
        phase.cancelled_at = now
        phase.save(update_fields=["cancelled_at"])
        refuse_clashes(account_id, field="")
        audit(account, by, "subscription.cancel_change", subscription, _phase_details(phase))


def end_subscription(
    *, account_id: int, subscription_id: UUID, ends_at: datetime, by: User | None, now: datetime
) -> None:
    """End the subscription at a whole hour; its last period is billed up to then. An end to come may be moved."""
    check_instant(ends_at, field="ends_at")
    with transaction.atomic(using=current_alias()):
        account = account_to_change(account_id)
        subscription = subscription_of(account_id, subscription_id)
        if subscription.ends_at is not None and subscription.ends_at <= now:
            ended = said(subscription.ends_at, account.billing_zone)
            raise UnableToChange(f"The subscription has ended at {ended}.", field="ends_at")
        if ends_at <= subscription.starts_at:
            start = said(subscription.starts_at, account.billing_zone)
            raise UnableToChange(f"Choose an hour after its start, {start}.", field="ends_at")
        check_not_issued(subscription, ends_at, field="ends_at")
        _set_end(subscription, ends_at)
        refuse_clashes(account_id, field="ends_at")
        audit(account, by, "subscription.end", subscription, {"ends_at": ends_at.isoformat()})


def end_with_accounts(now: datetime) -> None:
    """End what closed accounts still buy at the hour after they were closed, or where it is issued up to."""
    closed = Subscription.objects.filter(account__closed_at__lte=now, starts_at__lt=F("account__closed_at"))
    lasting = closed.filter(
        Q(ends_at__isnull=True) | Q(ends_at__gt=F("account__closed_at") + timedelta(hours=1))
    )
    for account_id, subscription_id in lasting.order_by("pk").values_list("account", "pk"):
        with transaction.atomic(using=current_alias()):
            hold_account(account_id)
            account = Account.objects.get(pk=account_id)
            subscription = Subscription.objects.get(pk=subscription_id)
            issued = issued_until([subscription_id]).get(subscription_id, subscription.starts_at)
            ends_at = max(next_hour(account.closed_at or now), issued)
            if subscription.ends_at is None or subscription.ends_at > ends_at:
                _set_end(subscription, ends_at)
                audit(account, None, "subscription.end", subscription, {"ends_at": ends_at.isoformat()})


def _set_end(subscription: Subscription, ends_at: datetime) -> None:
    Subscription.objects.filter(pk=subscription.pk).update(ends_at=ends_at, changed_at=Now())


def _add_phase(phase: SubscriptionPhase) -> SubscriptionPhase:
    try:
        with transaction.atomic(using=current_alias()):
            phase.save(force_insert=True)
    except IntegrityError:
        raise UnableToChange(
            f"Another plan begins at {said(phase.starts_at, phase.account.billing_zone)} already. "
            "Cancel that change first, or choose another hour.",
            field="starts_at",
        ) from None
    return phase


def _refuse_no_change(
    subscription: Subscription, plan: Plan, starts_at: datetime, counts: Mapping[str, str]
) -> None:
    before = [
        phase
        for phase in subscription.phases.all()
        if phase.cancelled_at is None and phase.starts_at < starts_at
    ]
    current = max(before, key=lambda phase: phase.starts_at, default=None)
    if current is not None and current.plan_id == plan.pk and current.counts == counts:
        raise UnableToChange(f"The subscription is on {plan.name} with these counts by then.", field="plan")


def _phase_details(phase: SubscriptionPhase) -> dict[str, object]:
    return {
        "plan": phase.plan.key,
        "starts_at": phase.starts_at.isoformat(),
        "policy": phase.policy,
        "counts": phase.counts,
        "reason": phase.reason,
    }


def audit(
    account: Account, by: User | None, act: str, subscription: Subscription, details: Mapping[str, object]
) -> None:
    """Keep what was done to a subscription of the account."""
    record_act(
        account=account,
        actor=by,
        act=act,
        subject=subscription.name,
        details={"subscription": str(subscription.public_id), **details},
        actor_name="" if by else "command line",
    )
