"""Accounts that are closed with fees billed ahead: the last bills give them back, and what is left is paid out."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Account
from accounts.operations import close_account
from accounts.tenancy import as_staff, as_worker
from insights.billing.payout_queries import list_left_over
from insights.billing.price_words import money_words
from insights.models import CreditGrant, Invoice, Source
from insights.rating.charges import PerUnit
from insights.rating.terms import Discount, FeeTiming
from insights.values.money import Money
from tests.billing.scene import (
    amounts,
    assert_books_agree,
    complete,
    deliver,
    fee,
    instant,
    make_plan,
    make_profile,
    run_billing,
    subscribe,
    usage_price,
)
from tests.conftest import Cast
from tests.factories import make_account, make_user

pytestmark = pytest.mark.database
AHEAD = FeeTiming.IN_ADVANCE
PER_UNIT = PerUnit(unit_amount=Decimal("0.10"))


def close(account: Account, at: str) -> None:
    staff = make_user("finance@example.com", is_staff=True)
    with as_staff():
        # In the hour before, so that subscriptions end with the hour.
        close_account(account=account, actor=staff, now=instant(at) - timedelta(minutes=5))


def left_over(account: Account) -> list[tuple[Money, bool]]:
    with as_staff():
        return [(one.amount, one.is_final) for one in list_left_over(account)]


def give(account: Account, minor: int, kind: str = "carried") -> None:
    with as_worker():
        CreditGrant.objects.create(
            account=account, kind=kind, name="Carried", amount_minor=minor, currency=account.currency,
            granted_at=instant("2026-04-01"), reason="a bill below zero", is_before_tax=False,
        )  # fmt: skip


def test_in_mid_period_what_is_not_used_of_every_subscription_is_left(portal_db: None) -> None:
    account = make_account("halyard", currency="USD")
    make_profile(account)
    subscribe(account, make_plan("first", [fee("base", "30", timing=AHEAD)]), "2026-04-01")
    tenth_off = (Discount(percent=Decimal(10)),)
    plan = make_plan("second", [fee("other", "60", timing=AHEAD)], discounts=tenth_off)
    subscribe(account, plan, "2026-04-01")
    run_billing("2026-04-02")
    assert left_over(account) == []
    close(account, "2026-04-16")
    run_billing("2026-04-15T23")

    invoices = run_billing("2026-04-16T01")

    # Half of 30.00, and half of 60.00 less 10 %.
    last = [amounts(one) for one in invoices if one.kind == "period"]
    assert last == [
        {"Base": -1_500, "Carried to the next bill": 1_500},
        {"Other": -3_000, "Discount": 300, "Carried to the next bill": 2_700},
    ]
    assert left_over(account) == [(Money(4_200, "USD"), True)]
    assert len(run_billing("2026-06-02")) == 4
    assert_books_agree()


def test_what_one_subscription_leaves_lowers_the_last_bill_of_another_first(
    edge: Source, account: Account
) -> None:
    subscribe(account, make_plan("ahead", [fee("base", "30", timing=AHEAD)]), "2026-04-01")
    run_billing("2026-04-02")
    subscribe(account, make_plan("behind", [fee("other", "20")]), "2026-04-01")
    close(account, "2026-04-16")

    invoices = run_billing("2026-04-16T01")

    # 15.00 come back, of which half of 20.00 is paid.
    assert [amounts(one) for one in invoices if one.kind == "period"] == [
        {"Base": -1_500, "Carried to the next bill": 1_500},
        {"Other": 1_000, "Carried from an earlier bill": -1_000},
    ]
    # Nobody looked yet whether the second has anything to correct.
    assert left_over(account) == [(Money(500, "USD"), False)]
    run_billing("2026-04-16T02")
    assert left_over(account) == [(Money(500, "USD"), True)]


def test_at_the_edge_of_a_period_a_closing_invoice_gives_back_the_next_one(
    edge: Source, account: Account
) -> None:
    prices = [usage_price("requests", PER_UNIT), fee("base", "40", timing=AHEAD)]
    subscribe(account, make_plan("ahead", prices), "2026-04-01")
    deliver(edge, account, [("requests", "2026-04-05", "100")])
    complete(account, "2026-05-01")
    run_billing("2026-05-01T01")
    # Closed in April already, which is seen when April is billed and May's fee with it.
    close(account, "2026-05-01")

    *_, closing = run_billing("2026-05-01T02")

    assert (closing.kind, closing.state) == ("closing", "issued")
    assert amounts(closing) == {"Base": -4_000, "Carried to the next bill": 4_000}
    assert left_over(account) == [(Money(4_000, "USD"), True)]
    with as_worker():
        assert not Invoice.objects.exclude(state="issued").exists()
    assert_books_agree()


def test_it_is_not_final_while_a_bill_waits(edge: Source, account: Account) -> None:
    give(account, 1_500)
    subscribe(account, make_plan("metered", [usage_price("requests", PER_UNIT)]), "2026-04-01")
    deliver(edge, account, [("requests", "2026-04-05", "100")])
    run_billing("2026-04-06")
    close(account, "2026-04-16")

    # Nothing says yet that the usage is complete.
    run_billing("2026-04-16T01")

    assert left_over(account) == [(Money(1_500, "USD"), False)]
    complete(account, "2026-04-16")
    run_billing("2026-04-16T04")
    assert left_over(account) == [(Money(500, "USD"), True)]


def page(client: Client, account: Account, name: str) -> str:
    content: str = client.get(reverse(name, args=[account.public_id])).content.decode()
    return content


def test_customer_and_finance_see_what_is_to_be_paid_out(cast: Cast, signed_in: Any) -> None:
    give(cast.ours, 4_200)
    give(cast.ours, 900, kind="promotion")
    give(cast.other, 700)
    owner, staff = signed_in(cast.owner), signed_in(cast.staff)
    assert "paid out" not in page(owner, cast.ours, "credit-list") + page(owner, cast.ours, "bill-list")
    assert "To be paid out" not in staff.get(reverse("staff-invoices")).content.decode()
    close(cast.ours, "2026-05-01")

    said = money_words(Money(4_200, cast.ours.currency))
    for name in ("credit-list", "bill-list"):
        text = page(owner, cast.ours, name)
        assert f"The account is closed and has no bill to come: {said}" in text
    listed = staff.get(reverse("staff-invoices")).content.decode()
    assert "To be paid out" in listed
    assert listed.count("42.00") == 1
    # A promotion is no money of the customer's, and an account that goes on has bills to come.
    assert "9.00" not in listed
    assert cast.other.name not in listed
    assert "are to be paid out: no bill is left to lower" in page(staff, cast.ours, "staff-billing")
