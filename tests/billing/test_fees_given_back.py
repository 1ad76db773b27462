"""Fees billed ahead that come back: at what was billed, or a person looks first."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from accounts.models import Account
from accounts.tenancy import as_worker
from insights.models import BillingProfile, Invoice, Plan, Subscription
from insights.rating.terms import Discount, FeeTiming
from tests.billing.scene import amounts, bill, change_plan, fee, instant, make_plan, make_profile, subscribe
from tests.factories import make_account

pytestmark = pytest.mark.database
HALF_OFF = (Discount(percent=Decimal(50)),)


@pytest.fixture
def account(portal_db: None) -> Account:
    account = make_account("halyard", currency="USD")
    make_profile(account, tax_name="VAT", tax_percent=Decimal(10))
    return account


def plan(key: str, timing: FeeTiming = FeeTiming.IN_ADVANCE, **whole: Any) -> Plan:
    return make_plan(key, [fee("base", "30", timing=timing)], **whole)


def end(subscription: Subscription) -> Invoice:
    """The last bill of a subscription that ends in the middle of April."""
    with as_worker():
        Subscription.objects.filter(pk=subscription.pk).update(ends_at=instant("2026-04-16"))
    return bill(subscription, "2026-04-17T01")[-1]


def reasons(invoice: Invoice) -> list[str]:
    return [one["code"] for one in invoice.parked_for]


def test_at_the_tax_and_discount_it_bore(account: Account) -> None:
    subscription = subscribe(account, plan("plan", discounts=HALF_OFF), "2026-04-01")
    [opening, *_] = bill(subscription, "2026-04-01T01")

    last = end(subscription)

    assert (opening.total_minor, last.state) == (1_650, "issued")
    assert amounts(last)["Carried to the next bill"] == 1_500 + 150


def test_a_tax_of_another_rate_is_looked_at(account: Account) -> None:
    subscription = subscribe(account, plan("plan"), "2026-04-01")
    bill(subscription, "2026-04-01T01")
    with as_worker():
        BillingProfile.objects.update(tax_percent=Decimal(20))

    assert reasons(end(subscription)) == ["taxes_changed"]


@pytest.mark.parametrize(("before", "after"), [(HALF_OFF, ()), ((), HALF_OFF)])
def test_another_discount_is_looked_at(
    account: Account, before: tuple[Discount, ...], after: tuple[Discount, ...]
) -> None:
    subscription = subscribe(account, plan("first", discounts=before), "2026-04-01")
    bill(subscription, "2026-04-01T01")
    change_plan(subscription, plan("second", discounts=after), "2026-04-01T01")

    april = bill(subscription, "2026-05-01T01")[1]

    assert reasons(april) == ["discounts_changed"]


def test_another_discount_says_nothing_where_no_fee_comes_back(account: Account) -> None:
    in_arrears = FeeTiming.IN_ARREARS
    subscription = subscribe(account, plan("first", in_arrears, discounts=HALF_OFF), "2026-04-01")
    change_plan(subscription, plan("second", in_arrears), "2026-04-16")

    [april, *_] = bill(subscription, "2026-05-01T01")

    assert (april.state, april.total_minor) == ("issued", 3_300)
