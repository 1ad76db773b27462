"""An account's own prices are set and ended; every act is audited with the account.

Refuses terms that do not fit the price's meter, two of them for one price at the same time, and any that would reach
into a period already issued.
"""

from __future__ import annotations

from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Account, User
from accounts.operations import UnableToChange, record_act
from accounts.operations.refusals import check_text
from accounts.tenancy import current_alias
from insights.billing.account_lock_operations import account_to_change
from insights.billing.catalogue_queries import priced_meters, sheet_in_force, sheets_of
from insights.billing.meter_checks import meter_faults
from insights.billing.override_toml import parse_override_toml
from insights.billing.plan_faults import InvalidPlan
from insights.billing.sheet_mapping import offered_to
from insights.billing.subscription_queries import issued_until
from insights.billing.subscription_rule_queries import (
    check_instant,
    said,
)
from insights.models.prices import Plan
from insights.models.subscriptions import PriceOverride, Subscription
from insights.rating.sheet import SheetPrice, price_document


def set_override(
    *,
    account_id: int,
    plan_key: str,
    price_key: str,
    toml: str,
    starts_at: datetime,
    ends_at: datetime | None,
    reason: str,
    by: User | None,
) -> PriceOverride:
    """Give the account its own terms for one price, in periods that begin from `starts_at` and before `ends_at`.

    Raises UnableToChange, and InvalidPlan with every fault of the terms.
    """
    check_text(reason, field="reason", what="reason")
    _check_span(starts_at, ends_at)
    with transaction.atomic(using=current_alias()):
        account = account_to_change(account_id)
        plan = _plan_of(account_id, plan_key)
        own = _own_price(plan, price_key, toml, starts_at, zone=account.billing_zone)
        _check_not_issued(account, plan, starts_at, field="starts_at")
        _refuse_overlap(account, plan, price_key, starts_at, ends_at)
        document = price_document(own)
        override = _insert(
            PriceOverride(
                account=account,
                plan=plan,
                price_key=price_key,
                terms=document["terms"],
                cells=document["cells"],
                starts_at=starts_at,
                ends_at=ends_at,
                reason=reason.strip(),
                created_by=by,
            )
        )
        _audit(account, by, "override.set", override)
    return override


def end_override(
    *,
    account_id: int,
    plan_key: str,
    price_key: str,
    started_at: datetime,
    ends_at: datetime,
    by: User | None,
    now: datetime,
) -> None:
    """Let periods that begin at `ends_at` or later have the plan's price again. Raises UnableToChange."""
    check_instant(ends_at, field="ends_at")
    with transaction.atomic(using=current_alias()):
        account = account_to_change(account_id)
        found = (
            PriceOverride.objects.filter(
                account=account_id, plan__key=plan_key, price_key=price_key, starts_at=started_at
            )
            .select_related("plan")
            .first()
        )
        if found is None:
            raise UnableToChange("The account has no such price of its own.", field="ends_at")
        if found.ends_at is not None and found.ends_at <= now:
            ended = said(found.ends_at, account.billing_zone)
            raise UnableToChange(f"The price has ended at {ended}.", field="ends_at")
        if ends_at <= found.starts_at:
            start = said(found.starts_at, account.billing_zone)
            raise UnableToChange(f"Choose an hour after its start, {start}.", field="ends_at")
        _check_not_issued(account, found.plan, ends_at, field="ends_at")
        _refuse_overlap(account, found.plan, found.price_key, found.starts_at, ends_at, but=found.pk)
        found.ends_at, found.changed_at = ends_at, Now()
        found.save(update_fields=["ends_at", "changed_at"])
        _audit(account, by, "override.end", found)


def _check_span(starts_at: datetime, ends_at: datetime | None) -> None:
    check_instant(starts_at, field="starts_at")
    if ends_at is not None:
        check_instant(ends_at, field="ends_at")
        if ends_at <= starts_at:
            raise UnableToChange("The end must be after the start.", field="ends_at")


def _plan_of(account_id: int, plan_key: str) -> Plan:
    plan = Plan.objects.filter(key=plan_key).first()
    if plan is None or not offered_to(plan, account_id):
        raise UnableToChange("There is no such plan for this account.", field="plan")
    return plan


def _own_price(plan: Plan, price_key: str, toml: str, starts_at: datetime, *, zone: str) -> SheetPrice:
    sheet = sheet_in_force(sheets_of([plan.pk])[plan.pk], starts_at)
    price = sheet.price(price_key) if sheet else None
    if price is None:
        raise UnableToChange(
            f"{plan.name} has no price {price_key[:60]} at {said(starts_at, zone)}.", field="price"
        )
    own = parse_override_toml(toml, price)
    faults = [*meter_faults(own, priced_meters())]
    if faults:
        raise InvalidPlan(faults)
    return own


def _check_not_issued(account: Account, plan: Plan, instant: datetime, *, field: str) -> None:
    concerned = (
        Subscription.objects.filter(account=account)
        .filter(Q(phases__plan=plan) | Q(add_ons__plan=plan))
        .values_list("pk", flat=True)
    )
    until = max(issued_until(concerned).values(), default=None)
    if until is not None and instant < until:
        first = said(until, account.billing_zone)
        raise UnableToChange(f"Choose {first} or later, since the invoice up to then is issued.", field=field)


def _refuse_overlap(
    account: Account,
    plan: Plan,
    price_key: str,
    starts_at: datetime,
    ends_at: datetime | None,
    *,
    but: int | None = None,
) -> None:
    others = PriceOverride.objects.filter(account=account, plan=plan, price_key=price_key).exclude(
        pk__in=[] if but is None else [but]
    )
    others = others.filter(Q(ends_at__isnull=True) | Q(ends_at__gt=starts_at))
    if ends_at is not None:
        others = others.filter(starts_at__lt=ends_at)
    other = others.order_by("starts_at").first()
    if other is not None:
        since = said(other.starts_at, account.billing_zone)
        raise UnableToChange(
            f"The account has its own price for {price_key} from {since} already; end that one first.",
            field="starts_at",
        )


def _insert(override: PriceOverride) -> PriceOverride:
    try:
        with transaction.atomic(using=current_alias()):
            override.save(force_insert=True)
    except IntegrityError:
        message = f"Its own price for {override.price_key} begins at that hour already."
        raise UnableToChange(message, field="starts_at") from None
    return override


def _audit(account: Account, by: User | None, act: str, override: PriceOverride) -> None:
    details = {
        "price": override.price_key,
        "terms": override.terms,
        "cells": override.cells,
        "starts_at": override.starts_at.isoformat(),
        "ends_at": override.ends_at and override.ends_at.isoformat(),
        "reason": override.reason,
    }
    record_act(
        account=account,
        actor=by,
        act=act,
        subject=override.plan.key,
        details=details,
        actor_name="" if by else "command line",
    )
