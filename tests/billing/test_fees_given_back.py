"""Fees billed ahead that come back: at what was billed, or a person looks first."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from accounts.models import Account
from accounts.tenancy import as_worker
from insights.billing.account_terms_operations import grant_credit
from insights.models import BillingProfile, Invoice, Plan, Subscription
from insights.rating.charges import PerUnit
from insights.rating.terms import Discount, FeeTiming
from tests.billing.scene import (
    amounts,
    assert_books_agree,
    bill,
    change_plan,
    complete,
    deliver,
    fee,
    instant,
    make_plan,
    make_profile,
    meters,
    subscribe,
    usage_price,
)
from tests.factories import make_account, make_source

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
    # Half of April comes back, of which half was billed: 7.50, and the tax on it.
    assert amounts(last) == {
        "Base": -1_500,
        "Discount": 750,
        "VAT 10 %": -75,
        "Carried to the next bill": 825,
    }


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


@pytest.mark.parametrize("takes_credit", [True, False])
def test_one_that_a_credit_paid_for_is_looked_at(account: Account, *, takes_credit: bool) -> None:
    """In money it would be more than was ever asked for: neither the fee nor its tax was."""
    fees = [fee("base", "30", timing=FeeTiming.IN_ADVANCE, takes_credit=takes_credit)]
    subscription = subscribe(account, make_plan("plan", fees), "2026-03-01")
    with as_worker():
        grant_credit(
            account_id=account.pk, kind="promotion", name="Welcome", amount="30", reason="welcome", by=None,
            now=instant("2026-03-02"),
        )  # fmt: skip
    march = bill(subscription, "2026-04-01T01")[1]
    assert ("Welcome" in amounts(march)) is takes_credit

    assert reasons(end(subscription)) == (["credit_given_back"] if takes_credit else [])


def test_late_usage_of_a_bill_on_which_a_discount_came_back(account: Account) -> None:
    """What is taken off then lessens what comes back; the books know that such a discount is above zero."""
    meters("requests")
    edge = make_source()
    prices = [
        fee("base", "30", timing=FeeTiming.IN_ADVANCE),
        usage_price("requests", PerUnit(unit_amount=Decimal(1))),
    ]
    subscription = subscribe(account, make_plan("plan", prices, discounts=HALF_OFF), "2026-04-01")
    bill(subscription, "2026-04-01T01")
    deliver(edge, account, [("requests", "2026-04-05", "2")])
    complete(account, "2026-05-01")
    last = end(subscription)
    # (2.00 - 15.00) / 2 and the tax on it.
    assert amounts(last) == {
        "Base": -1_500, "Requests": 200, "Discount": 650, "VAT 10 %": -65, "Carried to the next bill": 715,
    }  # fmt: skip

    deliver(edge, account, [("requests", "2026-04-06", "4")])
    complete(account, "2026-05-01")
    closing = [bill(subscription, at)[-1] for at in ("2026-04-20", "2026-04-21")][-1]

    assert (closing.kind, closing.state, closing.total_minor) == ("closing", "issued", 0)
    # The carried credit of 7.15 pays for half of 4.00 and its tax.
    assert amounts(closing) == {
        "Requests": 400, "Discount": -200, "VAT 10 %": 20, "Carried from an earlier bill": -220,
    }  # fmt: skip
    assert_books_agree()
