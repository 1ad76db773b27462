"""Which plans an account may ask about: those it may have by the catalogue's rules, and those it has or had.

In the account's scope, where row-level security shows no plan of another account and no version before it is
published. Staff may take any plan, which they read as staff.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q

from accounts.models import Account
from accounts.tenancy import as_staff
from insights.billing.catalogue_queries import sheets_of
from insights.models import Plan, PlanKind, SubscriptionPhase
from insights.rating.sheet import PriceSheet


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanChoice:
    """A plan that may be asked about."""

    id: int
    key: str
    name: str
    currency: str
    interval_months: int


def list_plan_choices(account: Account, *, now: datetime, may_take_any: bool) -> tuple[PlanChoice, ...]:
    """List the plans in the order of the catalogue; two statements."""
    own = set(SubscriptionPhase.objects.for_account(account).values_list("plan_id", flat=True))
    is_offered = Q(pk__in=own) | (
        (Q(account__isnull=True) | Q(account=account.pk))
        & (Q(retired_at__isnull=True) | Q(retired_at__gt=now))
        & Q(versions__effective_from__lte=now)
    )
    with as_staff() if may_take_any else nullcontext():
        plans = Plan.objects.filter(kind=PlanKind.BASE, versions__published_at__isnull=False)
        shown = plans if may_take_any else plans.filter(is_offered)
        return tuple(
            PlanChoice(
                id=plan.pk,
                key=plan.key,
                name=plan.name,
                currency=plan.currency,
                interval_months=plan.interval_months,
            )
            for plan in shown.order_by("position", "key").distinct()
        )


def list_sheets(plan: PlanChoice, *, may_take_any: bool) -> tuple[PriceSheet, ...]:
    """The published versions of a plan that may be asked about, in order; two statements."""
    with as_staff() if may_take_any else nullcontext():
        return sheets_of([plan.id])[plan.id]
