"""Raw SQL as the web role: of the catalogue it sees what is offered to its account, once it is published."""

from __future__ import annotations

import os
from collections.abc import Iterator
from decimal import Decimal

import psycopg
import pytest

from accounts.tenancy import as_owner, as_worker
from insights.models import Plan, PlanVersion
from insights.rating.charges import Flat
from insights.rating.sheet import SheetPrice
from insights.rating.terms import PriceTerms
from tests.billing.scene import instant, make_plan, publish
from tests.conftest import Cast

pytestmark = pytest.mark.database
TABLES = ("insights_plan", "insights_planversion", "insights_price")


def _fee(key: str) -> SheetPrice:
    return SheetPrice(key=key, name=key, terms=PriceTerms(currency="USD", charge=Flat(amount=Decimal(10))))


@pytest.fixture
def web(cast: Cast) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    for key, account in (("public", None), ("ours", cast.ours), ("theirs", cast.other)):
        plan = make_plan(key, [_fee(f"{key}-fee")])
        with as_worker():
            Plan.objects.filter(pk=plan.pk).update(account=account)
    with as_worker():
        public = Plan.objects.get(key="public")
    publish(public, [_fee("draft-fee")], number=2, effective_from=instant("2027-01-01"))
    # A version that is published never changes, except for the owner of the tables.
    with as_owner():
        PlanVersion.objects.filter(number=2).update(published_at=None)
    with psycopg.connect(os.environ["DATABASE_URL"]) as link:
        yield link


def _seen(web: psycopg.Connection[tuple[object, ...]]) -> tuple[list[object], int, list[object]]:
    plans = [row[0] for row in web.execute("SELECT key FROM insights_plan ORDER BY key").fetchall()]
    versions = web.execute("SELECT count(*) FROM insights_planversion").fetchone()
    prices = [row[0] for row in web.execute("SELECT key FROM insights_price ORDER BY key").fetchall()]
    return plans, int(str(versions and versions[0])), prices


def test_an_account_sees_what_is_offered_to_it(
    cast: Cast, web: psycopg.Connection[tuple[object, ...]]
) -> None:
    web.execute("SELECT set_config('portal.account', %s, true)", [str(cast.ours.pk)])

    assert _seen(web) == (["ours", "public"], 2, ["ours-fee", "public-fee"])


@pytest.mark.parametrize("setting", [None, ""])
def test_nobody_sees_nothing(web: psycopg.Connection[tuple[object, ...]], setting: str | None) -> None:
    if setting is not None:
        web.execute("SELECT set_config('portal.account', %s, true)", [setting])

    assert _seen(web) == ([], 0, [])


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    "write", ["UPDATE {} SET id = id", "DELETE FROM {}", "INSERT INTO {} SELECT * FROM {}"]
)
def test_an_account_writes_none_of_it(
    cast: Cast, web: psycopg.Connection[tuple[object, ...]], table: str, write: str
) -> None:
    web.execute("SELECT set_config('portal.account', %s, true)", [str(cast.ours.pk)])

    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        web.execute(write.format(table, table))


def test_staff_and_worker_see_every_row(web: psycopg.Connection[tuple[object, ...]]) -> None:
    with as_worker():
        assert (Plan.objects.count(), PlanVersion.objects.count()) == (3, 4)
    with psycopg.connect(os.environ["STAFF_DATABASE_URL"]) as staff:
        assert staff.execute("SELECT count(*) FROM insights_price").fetchone() == (4,)
