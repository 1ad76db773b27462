"""Usage that a percentage counts has its price in the plan that counts it, and nowhere else."""

from __future__ import annotations

from decimal import Decimal

import pytest

from accounts.models import Account
from accounts.tenancy import as_worker
from insights.models import Invoice, InvoiceState, Plan, Source, Subscription
from insights.rating.charges import Percentage
from tests.billing.scene import (
    assert_books_agree,
    bill,
    change_plan,
    complete,
    deliver,
    fee,
    findings_of,
    make_plan,
    meters,
    subscribe,
    usage_price,
)

pytestmark = pytest.mark.database


@pytest.fixture
def counting(account: Account) -> Plan:
    """2.9 % of volume and 0.30 for each payment."""
    meters("volume", unit="USD")
    meters("payments")
    charge = Percentage(percent=Decimal("2.9"), fixed_amount=Decimal("0.3"), count_meter="payments")
    return make_plan("counting", [usage_price("volume", charge, unit="USD")])


@pytest.fixture
def changed(account: Account, counting: Plan) -> Subscription:
    """A subscription whose second plan counts no payments."""
    subscription = subscribe(account, counting, "2026-03-01")
    change_plan(subscription, make_plan("plain", [fee("base", "1")]), "2026-03-16")
    return subscription


def test_what_the_plan_counts_has_its_price_there(
    edge: Source, account: Account, changed: Subscription
) -> None:
    deliver(edge, account, [("volume", "2026-03-05", "1000"), ("payments", "2026-03-05", "7")])
    complete(account, "2026-04-01")

    march = bill(changed, "2026-04-01T01")[0]

    assert march.state == InvoiceState.ISSUED
    # 29.00 and 2.10, and 16 of 31 days of 1.00.
    assert int(march.total_minor) == 2900 + 210 + 52
    assert_books_agree()


def test_what_the_next_plan_does_not_count_has_none(
    edge: Source, account: Account, changed: Subscription
) -> None:
    deliver(edge, account, [("volume", "2026-03-05", "1000"), ("payments", "2026-03-05", "7")])
    deliver(edge, account, [("payments", "2026-03-20", "5")])
    complete(account, "2026-04-01")

    march = bill(changed, "2026-04-01T01")[0]

    [reason] = march.parked_for
    assert (march.state, reason["code"]) == (InvoiceState.PARKED, "unpriced_meter")
    assert reason["message"] == "5 unit of payments have no price in the plan."
    with as_worker():
        Invoice.objects.filter(pk=march.pk).update(released=findings_of(march))
    assert bill(changed, "2026-04-01T02")[0].state == InvoiceState.ISSUED
    assert_books_agree()


def test_what_comes_late_where_nobody_counts_parks_what_would_correct(
    edge: Source, account: Account, changed: Subscription
) -> None:
    deliver(edge, account, [("volume", "2026-03-05", "1000"), ("payments", "2026-03-05", "7")])
    complete(account, "2026-04-01")
    assert bill(changed, "2026-04-01T01")[0].state == InvoiceState.ISSUED
    deliver(edge, account, [("payments", "2026-03-06", "2")])
    complete(account, "2026-05-01")

    april = bill(changed, "2026-05-01T01")[1]
    assert (april.state, april.parked_for) == (InvoiceState.ISSUED, [])

    deliver(edge, account, [("payments", "2026-03-20", "5")])
    complete(account, "2026-06-01")
    may = bill(changed, "2026-06-01T01")[2]

    assert [reason["code"] for reason in may.parked_for] == ["unpriced_meter"]
    assert_books_agree()
