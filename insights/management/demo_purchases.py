"""What the demo's accounts buy: plans are published, then each account gets its billing details and subscription.

Every step looks first and makes only what is missing, so that it may be repeated after an interruption.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from accounts.models import Account, AccountState, User
from accounts.tenancy import current_alias
from insights.billing.account_terms_operations import ProfileChanges, grant_credit, save_profile
from insights.billing.add_on_operations import start_add_on
from insights.billing.catalogue_operations import load_plan, publish_version
from insights.billing.override_operations import set_override
from insights.billing.plan_toml import parse_plan_toml
from insights.billing.subscription_operations import change_plan, end_subscription, start_subscription
from insights.models import LegalEntity, Plan, Subscription
from insights.rating.plan_change import ChangePolicy
from usage_portal.demo.company import Company, DemoAccount
from usage_portal.demo.purchases import (
    GRACE_DAYS,
    PLANS,
    SELLERS,
    buyer_of,
    issued_month,
    local_hour,
    plan_of,
    purchase_of,
    seller_of,
    starts_at,
)


def make_catalogue(company: Company, *, actor: User) -> None:
    """Publish every plan of the demo, and name who sends its invoices."""
    with transaction.atomic(using=current_alias()):
        for seller in SELLERS:
            values = {
                "name": seller.name,
                "address": seller.address,
                "tax_id": seller.tax_id,
                "email": seller.email,
                "number_prefix": seller.number_prefix,
            }
            LegalEntity.objects.get_or_create(key=seller.key, defaults=values)
        known = set(Plan.objects.values_list("key", flat=True))
        for file in sorted(PLANS.glob("*.toml")):
            if file.stem not in known:
                loaded = load_plan(document=parse_plan_toml(file.read_text()), actor=actor)
                publish_version(key=loaded.key, number=loaded.number, actor=actor, now=company.now)


def make_purchases(company: Company, *, actor: User) -> None:
    """Let every account buy something that does not yet."""
    with_purchase = set(Subscription.objects.values_list("account__reference", flat=True))
    rows = {row.reference: row for row in Account.objects.all()}
    for account in company.accounts:
        if account.reference not in with_purchase:
            with transaction.atomic(using=current_alias()):
                make_purchase(company, account, rows[account.reference], actor=actor)


def make_purchase(company: Company, account: DemoAccount, row: Account, *, actor: User) -> None:
    begins = starts_at(company, account)
    _make_profile(account, row, actor=actor, now=begins)
    subscription = start_subscription(
        account_id=row.pk,
        plan_key=plan_of(account),
        name="Tidegate",
        anchor_day=begins.date().replace(day=1),
        starts_at=begins,
        counts=purchase_of(account).counts,
        by=actor,
    )
    _make_changes(company, account, subscription, actor=actor)
    _make_agreements(company, account, subscription, actor=actor)
    if account.state == AccountState.CLOSED and account.state_since is not None:
        end_subscription(
            account_id=row.pk,
            subscription_id=subscription.public_id,
            ends_at=account.state_since,
            by=actor,
            now=account.state_since,
        )


def _make_profile(account: DemoAccount, row: Account, *, actor: User, now: datetime) -> None:
    buyer = buyer_of(account)
    changes = ProfileChanges(
        legal_entity_key=seller_of(account).key,
        company_name=buyer.company_name,
        address=buyer.address,
        tax_id=buyer.tax_id,
        purchase_order=buyer.purchase_order,
        recipients=(account.owner,),
        tax_name=buyer.tax_name,
        tax_percent=buyer.tax_percent,
        tax_exempt_reason=buyer.tax_exempt_reason,
        due_days=purchase_of(account).due_days,
        grace_days=GRACE_DAYS,
    )
    save_profile(account_id=row.pk, changes=changes, by=actor, now=now)


def _make_changes(company: Company, account: DemoAccount, subscription: Subscription, *, actor: User) -> None:
    for change in purchase_of(account).changes:
        day = issued_month(company, change.months_back).replace(day=change.day)
        change_plan(
            account_id=subscription.account_id,
            subscription_id=subscription.public_id,
            plan_key=change.plan,
            starts_at=local_hour(account, day, 12),
            policy=ChangePolicy(change.policy),
            counts=change.counts,
            reason=change.reason,
            by=actor,
        )


def _make_agreements(
    company: Company, account: DemoAccount, subscription: Subscription, *, actor: User
) -> None:
    """Add-on, own price and credits."""
    purchase = purchase_of(account)
    if purchase.add_on:
        start_add_on(
            account_id=subscription.account_id,
            subscription_id=subscription.public_id,
            plan_key=purchase.add_on,
            starts_at=local_hour(account, issued_month(company, 2), 0),
            counts={},
            by=actor,
        )
    if purchase.own_price is not None:
        set_override(
            account_id=subscription.account_id,
            plan_key=plan_of(account),
            price_key=purchase.own_price.price,
            toml=purchase.own_price.toml,
            starts_at=local_hour(account, issued_month(company, purchase.own_price.months_back), 0),
            ends_at=None,
            reason=purchase.own_price.reason,
            by=actor,
        )
    for credit in purchase.credits:
        expires = None if credit.days_left is None else company.now + timedelta(days=credit.days_left)
        grant_credit(
            account_id=subscription.account_id,
            kind=credit.kind,
            name=credit.name,
            amount=credit.amount,
            reason=credit.reason,
            expires_at=expires,
            priority=credit.priority,
            covers=credit.covers,
            by=actor,
            now=local_hour(account, issued_month(company, credit.months_back), 0),
        )
