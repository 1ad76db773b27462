"""A company that bills: plans as sheets, subscriptions, usage delivered in the usual way, and invoices made of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import F

from accounts.models import Account
from accounts.tenancy import as_owner, as_worker, connection
from insights.billing.pass_operations import run_pass
from insights.billing.run_operations import bill_subscription
from insights.billing.sheet_mapping import price_rows, version_terms
from insights.models import (
    BillingProfile,
    Invoice,
    LegalEntity,
    LineItem,
    Meter,
    Plan,
    PlanVersion,
    Price,
    Source,
    Subscription,
    SubscriptionPhase,
    Watermark,
)
from insights.rating.charges import ChargeModel, Flat
from insights.rating.sheet import PriceSheet, SheetPrice
from insights.rating.terms import FeeTiming, PriceTerms
from tests.books.test_verify_books import verify
from tests.factories import ingest_now

EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


def instant(text: str) -> datetime:
    """An instant of UTC, written as 2026-03-01 or 2026-03-01T12."""
    return datetime.fromisoformat(text if "T" in text else f"{text}T00").replace(tzinfo=UTC)


def usage_price(
    key: str, charge: ChargeModel, *, unit: str = "unit", currency: str = "USD", **more: Any
) -> SheetPrice:
    """A price for the meter of the same key; terms by name, other fields of the price by theirs."""
    own = {name: more.pop(name) for name in ("takes_credit", "is_taxable") if name in more}
    terms = PriceTerms(currency=currency, charge=charge, unit=unit, **more)
    return SheetPrice(key=key, name=key.replace("_", " ").capitalize(), meter_key=key, terms=terms, **own)


def fee(
    key: str, amount: str, *, timing: FeeTiming = FeeTiming.IN_ARREARS, currency: str = "USD", **more: Any
) -> SheetPrice:
    """A recurring fee, charged by time."""
    terms = PriceTerms(
        currency=currency,
        charge=Flat(amount=Decimal(amount)),
        timing=timing,
        is_prorated=more.pop("is_prorated", True),
    )
    return SheetPrice(key=key, name=key.replace("_", " ").capitalize(), terms=terms, **more)


def make_plan(
    key: str, prices: Iterable[SheetPrice], *, currency: str = "USD", interval: int = 1, **whole: Any
) -> Plan:
    """A plan with one published version, in force from long ago."""
    with as_worker():
        plan = Plan.objects.create(key=key, name=key.title(), currency=currency, interval_months=interval)
    publish(plan, prices, number=1, effective_from=EPOCH, **whole)
    return plan


def publish(
    plan: Plan, prices: Iterable[SheetPrice], *, number: int, effective_from: datetime, **whole: Any
) -> None:
    """Add a published version to a plan."""
    sheet = PriceSheet(
        plan_key=plan.key, plan_name=plan.name, version=number, effective_from=effective_from, currency=plan.currency,
        prices=tuple(prices), **whole,
    )  # fmt: skip
    with as_worker():
        version = PlanVersion.objects.create(
            plan=plan, number=number, effective_from=effective_from, terms=version_terms(sheet)
        )
        Price.objects.bulk_create(price_rows(sheet, version))
        PlanVersion.objects.filter(pk=version.pk).update(published_at=effective_from)


def make_profile(account: Account, **fields: Any) -> BillingProfile:
    """Let an account be billed, without grace unless said otherwise."""
    with as_worker():
        entity, _ = LegalEntity.objects.get_or_create(
            key="tidegate", defaults={"name": "Tidegate", "address": "1 Quay", "number_prefix": "TG-"}
        )
        return BillingProfile.objects.create(
            account=account, legal_entity=entity, **{"grace_days": 0, **fields}
        )


def subscribe(
    account: Account,
    plan: Plan,
    starts_at: str,
    *,
    anchor: str = "",
    counts: Mapping[str, str] | None = None,
    **fields: Any,
) -> Subscription:
    """Start a subscription in UTC; its periods begin on the day it begins unless an anchor says otherwise."""
    start = instant(starts_at)
    with as_worker():
        subscription = Subscription.objects.create(
            account=account,
            name=plan.name,
            currency=plan.currency,
            anchor_day=date.fromisoformat(anchor) if anchor else start.date(),
            interval_months=plan.interval_months,
            starts_at=start,
            **{"billing_zone": account.billing_zone, **fields},
        )
        change_plan(subscription, plan, starts_at, counts=counts)
    return subscription


def change_plan(
    subscription: Subscription,
    plan: Plan,
    at: str,
    *,
    policy: str = "restart",
    counts: Mapping[str, str] | None = None,
) -> None:
    """Put the subscription on a plan from an instant on."""
    with as_worker():
        SubscriptionPhase.objects.create(
            account_id=subscription.account_id,
            subscription=subscription,
            plan=plan,
            starts_at=instant(at),
            policy=policy,
            counts=dict(counts or {}),
        )


def deliver(
    source: Source, account: Account, rows: Iterable[tuple[str, str, str]], **dimensions: str
) -> None:
    """Deliver rows of meter, hour and quantity, and say nothing of completeness."""
    names = list(dimensions)
    lines = [",".join(["account", "meter", "window_start", "quantity", *names])]
    for meter, hour, quantity in rows:
        at = instant(hour).isoformat().replace("+00:00", "Z")
        lines.append(",".join([account.reference, meter, at, quantity, *dimensions.values()]))
    batch = ingest_now(source, "\n".join(lines) + "\n")
    assert (batch.state, batch.rejected) == ("done", 0), batch.refusal_detail


def complete(account: Account, until: str) -> None:
    """Let everything the account's sources sent be complete up to an instant."""
    with as_worker():
        Watermark.objects.filter(account=account).update(complete_to=instant(until), counts_from=EPOCH)


def bill(subscription: Subscription, now: str) -> list[Invoice]:
    """Bring the subscription's invoices up to an instant, and return them in order."""
    with as_worker():
        subscription = Subscription.objects.select_related("account").get(pk=subscription.pk)
        tally = bill_subscription(subscription, instant(now))
        assert not tally.problem, tally.problem
        return list(Invoice.objects.filter(subscription=subscription).order_by("period_start", "id"))


def agreed_long_ago() -> None:
    """Let everything that was agreed so far be of a time before any draft."""
    stamps = {
        "subscription": "changed_at",
        "subscriptionphase": "created_at",
        "addon": "changed_at",
        "priceoverride": "changed_at",
        "billingprofile": "updated_at",
    }
    with as_owner(), connection().cursor() as cursor:
        for table, column in stamps.items():
            cursor.execute(f"UPDATE insights_{table} SET {column} = timestamptz '2020-01-01'")


def run_billing(now: str) -> list[Invoice]:
    """Run both passes as beat does, and return every invoice in order."""
    with as_worker():
        for kind in ("draft", "issue"):
            run = run_pass(kind, instant(now), until=time.monotonic() + 60)
            assert run is None or not run.problem, run
        return list(Invoice.objects.order_by("period_start", "id"))


def assert_books_agree() -> None:
    """Let the books be checked, with every invoice held to its usage.

    The scene says of sources that they are complete; the books are to say what the batches do.
    """
    with as_worker():
        before = dict(Watermark.objects.values_list("pk", "complete_to"))
        Watermark.objects.update(complete_to=F("last_window_end"))
    said, is_in_order = verify("--all")
    with as_worker():
        for pk, complete_to in before.items():
            Watermark.objects.filter(pk=pk).update(complete_to=complete_to)
    assert is_in_order, said


def findings_of(invoice: Invoice) -> list[str]:
    """What a person lets pass to release a parked invoice for all its reasons."""
    return [found["finding"] for found in invoice.parked_for]


def lines_of(invoice: Invoice) -> list[LineItem]:
    """The lines in order."""
    with as_worker():
        return list(LineItem.objects.filter(account=invoice.account_id, invoice=invoice).order_by("position"))


def amounts(invoice: Invoice) -> dict[str, int]:
    """Minor units by the name of the line, lines of one name together."""
    found: dict[str, int] = {}
    for line in lines_of(invoice):
        found[line.name] = found.get(line.name, 0) + int(line.amount_minor)
    return found


def hours(first: str, count: int) -> list[str]:
    """The hours from one on."""
    start = instant(first)
    return [(start + timedelta(hours=number)).strftime("%Y-%m-%dT%H") for number in range(count)]


def meters(*keys: str, unit: str = "unit", **fields: Any) -> list[Meter]:
    """Meters that are summed by hour, in one unit."""
    with as_worker():
        return [
            Meter.objects.create(key=key, name=key.capitalize(), unit=unit, grain_seconds=3600, **fields)
            for key in keys
        ]
