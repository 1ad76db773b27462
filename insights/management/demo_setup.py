"""Makes what the demo's files need before they can be read: people, accounts, meters and sources.

Every step looks first and makes only what is missing, so that it may be repeated after an interruption.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from accounts.models import Account, AccountState, ApiKey, Membership, User
from accounts.operations import add_member, close_account, create_account, issue_api_key, suspend_account
from accounts.tenancy import current_alias
from insights.feeds.operations import import_source_toml, save_meter
from insights.management.demo_purchases import make_catalogue, make_purchase
from insights.models import Meter, Source
from usage_portal.demo.cast import OWNER_EMAIL, STAFF_EMAIL
from usage_portal.demo.company import Company, DemoAccount
from usage_portal.demo.sources import describe_sources

KEY_NAME = "Demo"
LARGEST = "halyard-commerce"


def set_up(company: Company) -> None:
    """Make everything but usage."""
    with transaction.atomic(using=current_alias()):
        _make_users(company)
        staff = User.objects.get(email=STAFF_EMAIL)
        _make_meters(company, actor=staff)
        make_catalogue(company, actor=staff)
        known = set(Account.objects.values_list("reference", flat=True))
        for account in company.accounts:
            if account.reference not in known:
                _make_account(company, account, actor=staff)
        stored = set(Source.objects.values_list("slug", flat=True))
        for slug, text in describe_sources(company).items():
            if slug not in stored:
                import_source_toml(text=text, actor=staff)


def issue_demo_key(*, now: datetime) -> str | None:
    """Make the key that is printed, once; a key cannot be shown a second time."""
    account = Account.objects.get(reference=LARGEST)
    if ApiKey.objects.for_account(account).filter(name=KEY_NAME).exists():
        return None
    owner = User.objects.get(email=OWNER_EMAIL)
    _, plain = issue_api_key(account=account, name=KEY_NAME, actor=owner, role="owner", now=now)
    return plain


def _make_users(company: Company) -> None:
    known = set(User.objects.values_list("email", flat=True))
    for user in company.users:
        if user.email not in known:
            User.objects.create_user(
                user.email,
                user.password,
                name=user.name,
                is_staff=user.is_staff,
                is_superuser=user.is_superuser,
            )


def _make_meters(company: Company, *, actor: User) -> None:
    known = set(Meter.objects.values_list("key", flat=True))
    for position, meter in enumerate(company.meters, start=1):
        if meter.key not in known:
            row = Meter(
                key=meter.key,
                name=meter.name,
                description=meter.description,
                unit=meter.unit,
                grain_seconds=meter.grain_seconds,
                aggregation=meter.aggregation,
                dimensions=list(meter.dimensions),
                unique_dimensions=list(meter.unique_dimensions),
                position=position,
            )
            save_meter(meter=row, actor=actor)


def _make_account(company: Company, account: DemoAccount, *, actor: User) -> None:
    row, _, _ = create_account(
        reference=account.reference,
        name=account.name,
        billing_zone=account.billing_zone,
        currency=account.currency,
        owner_email=account.owner,
        actor=actor,
    )
    for member in account.members:
        if not Membership.objects.for_account(row).filter(user__email=member.email).exists():
            add_member(account=row, email=member.email, role=member.role, actor=actor)
    if account.state == AccountState.SUSPENDED:
        suspend_account(account=row, actor=actor)
    if account.state == AccountState.CLOSED and account.state_since is not None:
        # Nothing about what a closed account buys can change any more, so it buys before.
        make_purchase(company, account, row, actor=actor)
        close_account(account=row, actor=actor, now=account.state_since)
