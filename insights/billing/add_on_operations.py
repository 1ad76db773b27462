"""Add-ons of a subscription begin and end, by the rules of its plans; every act is audited with its account."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from accounts.models import User
from accounts.operations import UnableToChange
from accounts.tenancy import current_alias
from insights.billing.account_lock_operations import account_to_change
from insights.billing.subscription_operations import audit
from insights.billing.subscription_rule_queries import (
    check_instant,
    check_not_issued,
    checked_counts,
    plan_to_begin,
    refuse_clashes,
    said,
    subscription_of,
)
from insights.models.prices import PlanKind
from insights.models.subscriptions import AddOn


def start_add_on(
    *,
    account_id: int,
    subscription_id: UUID,
    plan_key: str,
    starts_at: datetime,
    counts: Mapping[str, str],
    by: User | None,
) -> AddOn:
    """Let the subscription have an add-on from a whole hour on. Raises UnknownSubscription and UnableToChange."""
    with transaction.atomic(using=current_alias()):
        begun = plan_to_begin(
            account_id, subscription_id, plan_key, kind=PlanKind.ADD_ON, starts_at=starts_at
        )
        account, subscription, offered = begun.account, begun.subscription, begun.offered
        if AddOn.objects.filter(subscription=subscription, plan=offered.plan, starts_at=starts_at).exists():
            hour = said(starts_at, account.billing_zone)
            message = f"{offered.plan.name} begins at {hour} already; say how many by its counts."
            raise UnableToChange(message, field="starts_at")
        add_on = AddOn.objects.create(
            account=account,
            subscription=subscription,
            plan=offered.plan,
            starts_at=starts_at,
            counts=checked_counts(offered.sheet, counts),
            created_by=by,
        )
        refuse_clashes(account_id, field="plan")
        details = {"plan": offered.plan.key, "starts_at": starts_at.isoformat(), "counts": add_on.counts}
        audit(account, by, "subscription.start_add_on", subscription, details)
    return add_on


def end_add_on(
    *,
    account_id: int,
    subscription_id: UUID,
    plan_key: str,
    started_at: datetime,
    ends_at: datetime,
    by: User | None,
    now: datetime,
) -> None:
    """End an add-on at a whole hour; an end to come may be moved. Raises UnknownSubscription and UnableToChange."""
    check_instant(ends_at, field="ends_at")
    with transaction.atomic(using=current_alias()):
        account = account_to_change(account_id)
        subscription = subscription_of(account_id, subscription_id)
        add_on = (
            AddOn.objects.filter(subscription=subscription, plan__key=plan_key, starts_at=started_at)
            .select_related("plan")
            .first()
        )
        if add_on is None:
            since = said(started_at, account.billing_zone)
            raise UnableToChange(f"There is no such add-on since {since}.", field="ends_at")
        if add_on.ends_at is not None and add_on.ends_at <= now:
            ended = said(add_on.ends_at, account.billing_zone)
            raise UnableToChange(f"The add-on has ended at {ended}.", field="ends_at")
        if ends_at <= add_on.starts_at:
            start = said(add_on.starts_at, account.billing_zone)
            raise UnableToChange(f"Choose an hour after its start, {start}.", field="ends_at")
        check_not_issued(subscription, ends_at, field="ends_at")
        add_on.ends_at, add_on.changed_at = ends_at, Now()
        add_on.save(update_fields=["ends_at", "changed_at"])
        refuse_clashes(account_id, field="ends_at")
        details = {"plan": add_on.plan.key, "ends_at": ends_at.isoformat()}
        audit(account, by, "subscription.end_add_on", subscription, details)
