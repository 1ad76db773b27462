"""Reading what an account buys: its subscriptions with their plans in turn, add-ons and prices of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from django.db.models import Max, Prefetch

from insights.billing.catalogue_queries import sheets_of
from insights.billing.meter_claims import Clash, MeterClaim, clashes, meters_priced
from insights.billing.periods import BillingAnchor, Interval
from insights.billing.timeline import SubscriptionFacts
from insights.models.invoices import Invoice, InvoiceKind, InvoiceState, SettlementState
from insights.models.prices import Plan
from insights.models.subscriptions import AddOn, PriceOverride, Subscription, SubscriptionPhase


def subscriptions_with_phases(account_id: int) -> list[Subscription]:
    """An account's subscriptions, the oldest first, each with its phases and add-ons and their plans."""
    phases = SubscriptionPhase.objects.select_related("plan").order_by("starts_at", "id")
    add_ons = AddOn.objects.select_related("plan").order_by("starts_at", "id")
    return list(
        Subscription.objects.filter(account=account_id)
        .prefetch_related(Prefetch("phases", phases), Prefetch("add_ons", add_ons))
        .order_by("starts_at", "id")
    )


def subscription_facts(subscription: Subscription) -> SubscriptionFacts:
    """When the subscription begins and ends."""
    return SubscriptionFacts(
        id=subscription.pk,
        account_id=subscription.account_id,
        starts_at=subscription.starts_at,
        ends_at=subscription.ends_at,
    )


def anchor_of(subscription: Subscription) -> BillingAnchor:
    """From where the subscription's periods are counted."""
    return BillingAnchor(
        day=subscription.anchor_day,
        zone=ZoneInfo(subscription.billing_zone),
        interval=Interval(subscription.interval_months),
    )


def issued_until(subscription_ids: Iterable[int]) -> dict[int, datetime]:
    """The end of the last issued period of each subscription that has one; opening invoices bill no period.

    What is void is billed anew, by what was agreed since.
    """
    rows = (
        Invoice.objects.filter(
            subscription__in=list(subscription_ids), kind=InvoiceKind.PERIOD, state=InvoiceState.ISSUED
        )
        .exclude(settlements__state=SettlementState.VOID)
        .order_by()
        .values("subscription_id")
        .annotate(until=Max("period_end"))
    )
    return {row["subscription_id"]: row["until"] for row in rows}


def overrides_of(account_id: int) -> list[PriceOverride]:
    """An account's own prices, by plan, price and beginning."""
    return list(
        PriceOverride.objects.filter(account=account_id)
        .select_related("plan")
        .order_by("plan__key", "price_key", "starts_at")
    )


def account_clashes(account_id: int) -> tuple[Clash, ...]:
    """Meters that two plans of the account would charge for at the same time.

    Locks the plans, so that none gets another version before the transaction ends.
    """
    subscriptions = subscriptions_with_phases(account_id)
    stretches = [stretch for each in subscriptions for stretch in _stretches(each)]
    plans = sorted({plan.pk for _, plan, _, _ in stretches})
    list(Plan.objects.select_for_update().filter(pk__in=plans).order_by("pk").values_list("pk"))
    sheets = sheets_of(plans)
    claims = [
        MeterClaim(
            subscription_id=subscription.pk,
            subscription_name=subscription.name,
            plan_name=plan.name,
            start=start,
            end=end,
            meter_keys=meters_priced(sheets[plan.pk], start, end),
        )
        for subscription, plan, start, end in stretches
    ]
    return tuple(clashes(claims))


def _stretches(subscription: Subscription) -> list[tuple[Subscription, Plan, datetime, datetime | None]]:
    """Each plan of the subscription with when it is had; nothing that begins after the subscription's end."""
    ends_at = subscription.ends_at
    phases = [phase for phase in subscription.phases.all() if phase.cancelled_at is None]
    ends = [*(phase.starts_at for phase in phases[1:]), None][: len(phases)]
    had = [(phase.plan, phase.starts_at, end) for phase, end in zip(phases, ends, strict=True)]
    had += [(add_on.plan, add_on.starts_at, add_on.ends_at) for add_on in subscription.add_ons.all()]
    cut = [(plan, start, _earlier(end, ends_at)) for plan, start, end in had]
    return [(subscription, plan, start, end) for plan, start, end in cut if end is None or start < end]


def _earlier(first: datetime | None, second: datetime | None) -> datetime | None:
    known = [instant for instant in (first, second) if instant is not None]
    return min(known, default=None)


def accounts_on(plan_id: int) -> list[int]:
    """The accounts that have the plan and another one besides, whose meters might meet."""
    holders = {
        *SubscriptionPhase.objects.filter(plan=plan_id, cancelled_at=None).values_list("account", flat=True),
        *AddOn.objects.filter(plan=plan_id).values_list("account", flat=True),
    }
    things: dict[int, int] = defaultdict(int)
    for account_id in Subscription.objects.filter(account__in=holders).values_list("account", flat=True):
        things[account_id] += 1
    for account_id in AddOn.objects.filter(account__in=holders).values_list("account", flat=True):
        things[account_id] += 1
    return sorted(account_id for account_id, count in things.items() if count > 1)


def count_subscribers(plan_ids: Iterable[int]) -> dict[int, int]:
    """How many subscriptions have each plan, had it, or will have it."""
    found: dict[int, set[int]] = {plan_id: set() for plan_id in plan_ids}
    phases = SubscriptionPhase.objects.filter(plan__in=found, cancelled_at=None)
    for rows in (phases, AddOn.objects.filter(plan__in=found)):
        for plan_id, subscription_id in rows.values_list("plan", "subscription"):
            found[plan_id].add(subscription_id)
    return {plan_id: len(subscriptions) for plan_id, subscriptions in found.items()}
