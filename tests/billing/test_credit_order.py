"""In which order credits are used: one that the customer can foresee from what the credits page says."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import Account
from accounts.tenancy import as_worker
from insights.billing.account_terms_operations import grant_credit
from insights.models import Invoice, Subscription
from insights.rating.sheet import IncludedCredit
from tests.billing.scene import bill, fee, instant, lines_of, make_plan, make_profile, subscribe
from tests.conftest import Cast
from tests.factories import make_account

pytestmark = pytest.mark.database


@pytest.fixture
def account(portal_db: None) -> Account:
    account = make_account("halyard", currency="USD")
    make_profile(account)
    return account


def grant(account: Account, name: str, at: datetime, **more: Any) -> None:
    with as_worker():
        grant_credit(
            account_id=account.pk, kind="goodwill", name=name, amount="1", reason="sorry", by=None, now=at, **more
        )  # fmt: skip


def used(subscription: Subscription) -> list[str]:
    """The credits on April's bill in their order."""
    [april, *_] = bill(subscription, "2026-05-01T01")
    return names(april)


def names(invoice: Invoice) -> list[str]:
    return [line.name for line in lines_of(invoice) if line.kind == "credit"]


def test_the_one_that_was_granted_first_goes_first_also_inside_the_period(account: Account) -> None:
    subscription = subscribe(account, make_plan("plan", [fee("base", "10")]), "2026-04-01")
    for day in (14, 12, 10, 13, 11, 15):
        grant(account, f"Of the {day}th", instant(f"2026-04-{day}"))
    grant(account, "After the period", instant("2026-05-01T01"))

    assert used(subscription) == [*(f"Of the {day}th" for day in range(10, 16)), "After the period"]


def test_those_of_one_instant_go_by_name(account: Account) -> None:
    subscription = subscribe(account, make_plan("plan", [fee("base", "10")]), "2026-04-01")
    for name in ("Delta", "Alpha", "Echo", "Charlie", "Bravo"):
        grant(account, name, instant("2026-04-10"))

    assert used(subscription) == ["Alpha", "Bravo", "Charlie", "Delta", "Echo"]


def test_what_comes_with_the_plan_goes_before_any_grant(account: Account) -> None:
    included = IncludedCredit(name="Comes with it", amount=Decimal(2))
    plan = make_plan("plan", [fee("base", "10")], included_credit=included)
    grant(account, "Gone soon", instant("2026-03-10"), priority=0, expires_at=instant("2026-04-02"))

    assert used(subscribe(account, plan, "2026-04-01")) == ["Comes with it", "Gone soon"]


def test_the_bill_says_which_credit_comes_with_the_plan_and_leads_to_the_list_of_the_others(
    cast: Cast, signed_in: Any
) -> None:
    make_profile(cast.ours)
    included = IncludedCredit(name="Comes with it", amount=Decimal(2))
    plan = make_plan("plan", [fee("base", "10")], included_credit=included)
    subscription = subscribe(cast.ours, plan, "2026-04-01")
    grant(cast.ours, "Sorry", instant("2026-04-02"))
    [april, *_] = bill(subscription, "2026-05-01T01")

    html = signed_in(cast.viewer).get(f"/a/{cast.ours.public_id}/bills/{april.public_id}/").content.decode()

    assert html.count("Paid from credit that comes with the plan") == 1
    assert html.count("Paid from a credit. <a") == html.count(">Your credits</a>") == 1
