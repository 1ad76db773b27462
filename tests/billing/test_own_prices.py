"""An account's own price, when the plan's price under it becomes a price for something else."""

from __future__ import annotations

from decimal import Decimal

import pytest

from accounts.models import Account
from accounts.tenancy import account_scope, as_worker
from insights.billing.estimate_queries import make_estimate
from insights.billing.estimate_question import NOW, EstimateQuestion
from insights.billing.estimate_words import period_notes
from insights.billing.override_operations import set_override
from insights.models import Invoice, Plan, Source, Subscription
from insights.rating.charges import PerUnit
from insights.rating.matrix import Cell, Matrix
from insights.rating.sheet import SheetPrice
from insights.rating.terms import PriceTerms
from tests.billing.scene import (
    amounts,
    bill,
    complete,
    deliver,
    instant,
    make_plan,
    make_profile,
    meters,
    publish,
    subscribe,
)
from tests.factories import make_account, make_source

pytestmark = pytest.mark.database
OWN = """
[[cells]]
values = { region = "a" }
model = "per_unit"
unit_amount = "0.01"

[otherwise]
model = "per_unit"
unit_amount = "0.50"
"""


def by(dimension: str) -> SheetPrice:
    terms = PriceTerms(currency="USD", charge=PerUnit(unit_amount=Decimal(1)), unit="unit")
    matrix = Matrix(dimensions=(dimension,), cells=(Cell(values=("a",), terms=terms),), catch_all=terms)
    return SheetPrice(key="requests", name="Requests", meter_key="requests", matrix=matrix)


@pytest.fixture
def edge(portal_db: None) -> Source:
    meters("requests", dimensions=["region", "protocol"])
    return make_source()


@pytest.fixture
def agreed(edge: Source) -> tuple[Account, Subscription, Plan]:
    """An account with a price of its own by region, and ten requests in March and in April."""
    account = make_account("halyard", currency="USD")
    make_profile(account)
    plan = make_plan("plan", [by("region")])
    subscription = subscribe(account, plan, "2026-03-01")
    with as_worker():
        set_override(
            account_id=account.pk, plan_key="plan", price_key="requests", toml=OWN, reason="agreed", by=None,
            starts_at=instant("2026-03-01"), ends_at=None,
        )  # fmt: skip
    rows = [("requests", hour, "10") for hour in ("2026-03-05", "2026-04-05")]
    deliver(edge, account, rows, region="a", protocol="a")
    complete(account, "2026-06-01")
    return account, subscription, plan


def of_april(subscription: Subscription) -> Invoice:
    march, april, *_ = bill(subscription, "2026-05-01T01")
    assert (march.state, amounts(march)) == ("issued", {"Requests": 10})
    return april


def test_it_holds_in_a_new_version(agreed: tuple[Account, Subscription, Plan]) -> None:
    _, subscription, plan = agreed
    publish(plan, [by("region")], number=2, effective_from=instant("2026-04-01"))

    april = of_april(subscription)

    assert (april.state, amounts(april)) == ("issued", {"Requests": 10})


@pytest.mark.parametrize("dimensions", [("protocol",), ("region", "protocol")])
def test_by_another_dimension_a_person_looks(
    agreed: tuple[Account, Subscription, Plan], dimensions: tuple[str, ...]
) -> None:
    _, subscription, plan = agreed
    terms = PriceTerms(currency="USD", charge=PerUnit(unit_amount=Decimal(1)), unit="unit")
    cells = (Cell(values=("a",) * len(dimensions), terms=terms),)
    matrix = Matrix(dimensions=dimensions, cells=cells, catch_all=terms)
    price = SheetPrice(key="requests", name="Requests", meter_key="requests", matrix=matrix)
    publish(plan, [price], number=2, effective_from=instant("2026-04-01"))

    april = of_april(subscription)

    assert [one["code"] for one in april.parked_for] == ["own_price_unfit"]
    assert amounts(april) == {"Requests": 1_000}


@pytest.mark.parametrize("dimensions", [("protocol",), ("region", "protocol")])
def test_an_estimate_takes_the_prices_that_a_bill_would(
    agreed: tuple[Account, Subscription, Plan], dimensions: tuple[str, ...]
) -> None:
    account, subscription, plan = agreed
    terms = PriceTerms(currency="USD", charge=PerUnit(unit_amount=Decimal(1)), unit="unit")
    cells = (Cell(values=("a",) * len(dimensions), terms=terms),)
    matrix = Matrix(dimensions=dimensions, cells=cells, catch_all=terms)
    price = SheetPrice(key="requests", name="Requests", meter_key="requests", matrix=matrix)
    publish(plan, [price], number=2, effective_from=instant("2026-04-01"))
    of_april(subscription)

    question = EstimateQuestion(plan_key="plan", periods=1, prices=NOW)
    with account_scope(account.pk, read_only=True):
        found = make_estimate(account, question, now=instant("2026-05-01"))

    # Ten requests of March at the plan's 1.00: the account's own price was agreed for another dimension.
    assert found.estimated.minor == 1_000
    assert "own price" in " ".join(period_notes(found.periods[0]))
