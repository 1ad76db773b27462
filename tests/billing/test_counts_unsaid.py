"""A fee by count that a plan has only since its next version: nothing is charged for a number that nobody said."""

from __future__ import annotations

from decimal import Decimal

import pytest

from accounts.models import Account
from accounts.tenancy import as_worker
from insights.billing.subscription_operations import change_plan
from insights.models import Plan, Subscription
from insights.rating.charges import PerUnit
from insights.rating.plan_change import ChangePolicy
from insights.rating.sheet import SheetPrice
from insights.rating.terms import PriceTerms
from tests.billing.scene import amounts, bill, fee, instant, make_plan, make_profile, publish, subscribe
from tests.factories import make_account

pytestmark = pytest.mark.database


@pytest.fixture
def subscription(portal_db: None) -> Subscription:
    """On a plan that counts seats from April on, of which nothing was said in March."""
    account: Account = make_account("halyard", currency="USD")
    make_profile(account)
    plan: Plan = make_plan("plan", [fee("base", "10")])
    subscription = subscribe(account, plan, "2026-03-01")
    terms = PriceTerms(currency="USD", charge=PerUnit(unit_amount=Decimal(5)), is_prorated=True)
    seats = SheetPrice(key="seats", name="Seats", terms=terms, is_counted=True)
    publish(plan, [fee("base", "10"), seats], number=2, effective_from=instant("2026-04-01"))
    return subscription


def test_a_person_is_asked_how_many(subscription: Subscription) -> None:
    march, april, *_ = bill(subscription, "2026-05-01T01")

    assert (march.state, april.state) == ("issued", "parked")
    assert [one["code"] for one in april.parked_for] == ["count_unsaid"]


def test_once_it_is_said_it_is_charged_from_the_period_s_start(subscription: Subscription) -> None:
    bill(subscription, "2026-05-01T01")
    with as_worker():
        change_plan(
            account_id=subscription.account_id, subscription_id=subscription.public_id, plan_key="plan",
            starts_at=instant("2026-04-01"), policy=ChangePolicy.CONTINUE, counts={"seats": "3"}, by=None,
        )  # fmt: skip

    _, april, *_ = bill(subscription, "2026-05-01T02")

    assert (april.state, amounts(april)) == ("issued", {"Base": 1_000, "Seats": 1_500})
