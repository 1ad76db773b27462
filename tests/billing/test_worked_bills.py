"""Whole invoices worked out by hand, through the database: the arithmetic stands beside each."""

from __future__ import annotations

from decimal import Decimal

import pytest

from insights.models import Source
from insights.rating.charges import PerUnit
from insights.rating.matrix import Cell, Matrix
from insights.rating.sheet import SheetPrice
from insights.rating.terms import Bound, FeeTiming, PriceTerms
from tests.billing.scene import (
    amounts,
    bill,
    change_plan,
    complete,
    deliver,
    fee,
    instant,
    lines_of,
    make_plan,
    make_profile,
    meters,
    subscribe,
    usage_price,
)
from tests.factories import ingest_now, make_account, make_source

pytestmark = pytest.mark.database


@pytest.fixture
def edge(portal_db: None) -> Source:
    meters("requests")
    return make_source()


def per_unit(amount: str, *, currency: str = "USD") -> SheetPrice:
    return usage_price("requests", PerUnit(unit_amount=Decimal(amount)), currency=currency)


def test_there_and_back_with_fees_in_advance(edge: Source) -> None:
    account = make_account("halyard", currency="USD")
    make_profile(account)
    small = make_plan("small", [per_unit("0"), fee("base", "30", timing=FeeTiming.IN_ADVANCE)])
    large = make_plan("large", [per_unit("0"), fee("base", "60", timing=FeeTiming.IN_ADVANCE)])
    subscription = subscribe(account, small, "2026-04-01")
    bill(subscription, "2026-04-02")
    change_plan(subscription, large, "2026-04-11")
    change_plan(subscription, small, "2026-04-21")

    opening, april = bill(subscription, "2026-04-25")

    # 30.00 ahead. Of it 20 of 30 days come back: -20.00; large for 10 of 30 days: 20.00; small for the last 10: 10.00;
    # and 30.00 for May.
    assert int(opening.total_minor) == 3000
    assert int(april.total_minor) == -2000 + 2000 + 1000 + 3000


def test_an_anchor_on_the_31st_in_a_leap_february(edge: Source) -> None:
    account = make_account("halyard", currency="USD")
    make_profile(account)
    subscription = subscribe(account, make_plan("p", [per_unit("1"), fee("base", "29")]), "2024-01-31")
    deliver(
        edge,
        account,
        [
            ("requests", "2024-02-28T23", "1"),
            ("requests", "2024-02-29T00", "2"),
            ("requests", "2024-03-30T23", "4"),
        ],
    )

    january, february = bill(subscription, "2024-03-10")

    # 31 January to 29 February, then 29 February to 31 March.
    assert (january.period_end, february.period_end) == (instant("2024-02-29"), instant("2024-03-31"))
    assert amounts(january) == {"Base": 2900, "Requests": 100}
    assert amounts(february) == {"Base": 2900, "Requests": 600}


def test_a_month_with_a_lost_hour_in_berlin(edge: Source) -> None:
    account = make_account("kelp", currency="EUR", billing_zone="Europe/Berlin")
    make_profile(account)
    small = make_plan(
        "small", [per_unit("1", currency="EUR"), fee("base", "7.43", currency="EUR")], currency="EUR"
    )
    large = make_plan(
        "large", [per_unit("1", currency="EUR"), fee("base", "14.86", currency="EUR")], currency="EUR"
    )
    subscription = subscribe(account, small, "2026-02-28T23", anchor="2026-03-01")
    # March 2026 has 743 hours there. The change is 243 hours in: 2.43 and 500 of 743 hours of 14.86: 10.00.
    change_plan(subscription, large, "2026-03-11T02")

    [march] = bill(subscription, "2026-03-20")

    assert march.period_end == instant("2026-03-31T22")
    assert int(march.total_minor) == 243 + 1000


def test_the_edge_of_a_month_in_kathmandu_is_the_next_window(edge: Source) -> None:
    account = make_account("peak", currency="USD", billing_zone="Asia/Kathmandu")
    make_profile(account)
    subscription = subscribe(account, make_plan("p", [per_unit("1")]), "2026-02-28T19", anchor="2026-03-01")
    # Midnight there is 18:15 UTC, so the edge is 19:00.
    deliver(edge, account, [("requests", "2026-03-31T18", "3"), ("requests", "2026-03-31T19", "5")])

    march, april = bill(subscription, "2026-04-02")

    assert march.period_end == instant("2026-03-31T19")
    assert (int(march.total_minor), int(april.total_minor)) == (300, 500)


def test_a_minimum_by_time_over_a_change(edge: Source) -> None:
    account = make_account("halyard", currency="USD")
    make_profile(account)
    small = make_plan("small", [per_unit("0.10")], minimum=Bound(amount=Decimal(31), is_prorated=True))
    large = make_plan("large", [per_unit("0.10")], minimum=Bound(amount=Decimal(62), is_prorated=True))
    subscription = subscribe(account, small, "2026-03-01")
    change_plan(subscription, large, "2026-03-11")
    deliver(edge, account, [("requests", "2026-03-05", "100")])

    [march] = bill(subscription, "2026-03-20")

    # 31 x 10/31 + 62 x 21/31 = 10 + 42 = 52.00, of which usage is 10.00.
    assert amounts(march) == {"Requests": 1000, "Up to the minimum": 4200}


@pytest.mark.parametrize(
    ("currency", "price", "quantity", "minor"),
    [
        # 7 x 0.5 yen = 3.5, half away from zero: 4 yen. Tax of 10 %: 0.4, which is 0.
        ("JPY", "0.5", "7", 4),
        # 3 x 0.0125 dinars = 0.0375, at three decimals 37.5, half away from zero: 38. Tax: 3.8, which is 4.
        ("KWD", "0.0125", "3", 42),
        # 10^18 at 1.00 is 10^20 cents and 10^19 cents of tax, to the cent.
        ("USD", "1", str(10**18), 11 * 10**19),
        # 10^18 and a billionth at 1.00: the billionth is no cent.
        ("USD", "1", f"{10**18}.000000001", 11 * 10**19),
        # 1,000,000 x 0.000000015 = 0.015 dollars, 1.5 cents, half away from zero: 2 cents; tax 0.2, which is 0.
        ("USD", "0.000000015", "1000000", 2),
    ],
)
def test_smallest_and_largest_amounts(
    edge: Source, currency: str, price: str, quantity: str, minor: int
) -> None:
    account = make_account("halyard", currency=currency)
    make_profile(account, tax_name="Tax", tax_percent=Decimal(10))
    plan = make_plan("p", [per_unit(price, currency=currency)], currency=currency)
    subscription = subscribe(account, plan, "2026-03-01")
    deliver(edge, account, [("requests", "2026-03-05", quantity)])
    complete(account, "2026-04-01")

    [march, _] = bill(subscription, "2026-04-01T01")

    assert (march.state, int(march.total_minor)) == ("issued", minor)


def test_usage_that_falls_gives_its_tax_and_minimum_back_and_is_carried(edge: Source) -> None:
    account = make_account("halyard", currency="USD")
    make_profile(account, tax_name="VAT", tax_percent=Decimal(10))
    plan = make_plan("p", [per_unit("0.10")], minimum=Bound(amount=Decimal(20)))
    subscription = subscribe(account, plan, "2026-03-01")
    batch = [("requests", "2026-03-05", "600"), ("requests", "2026-03-06", "1")]
    deliver(edge, account, batch)
    complete(account, "2026-04-01")
    bill(subscription, "2026-04-01T01")
    ingest_now(
        edge, "account,meter,window_start,quantity,revision\nhalyard,requests,2026-03-05T00:00:00Z,0,2\n"
    )

    _, april = bill(subscription, "2026-04-10")

    # March: 60.10 and 6.01 of tax. Now 0.10, up to the minimum 19.90, and 2.00 of tax: -60.00, +19.90, -4.01.
    # April: nothing used, 20.00 to its minimum and 2.00 of tax. In all 22.00 - 44.11 = -22.11, which is carried.
    assert amounts(april) == {
        "Requests": -6000,
        "Up to the minimum": 1990 + 2000,
        "VAT 10 %": -401 + 200,
        "Carried to the next bill": 2211,
    }


@pytest.mark.parametrize(
    ("policy", "march"),
    [
        # Only the old plan had usage of it. Its share is 10 of 31 days: of 31 included units 10, so 5.00 are due.
        ("shared_by_time", {"2026-03-05": 500}),
        # The tiers go on where they stand, also over a plan in between in which nothing of it was used.
        ("continue", {"2026-03-05": 0, "2026-03-25": 1400}),
    ],
)
def test_a_dimension_value_that_was_not_used_on_every_plan(
    portal_db: None, policy: str, march: dict[str, int]
) -> None:
    meters("calls", dimensions=["region"])
    terms = PriceTerms(
        currency="USD", charge=PerUnit(unit_amount=Decimal(1)), unit="unit", included=Decimal(31)
    )
    matrix = Matrix(dimensions=("region",), cells=(Cell(values=("eu",), terms=terms),), catch_all=terms)
    price = SheetPrice(key="calls", name="Calls", meter_key="calls", matrix=matrix)
    account = make_account("halyard", currency="USD")
    make_profile(account)
    plans = [make_plan(key, [price]) for key in ("first", "second", "third")]
    subscription = subscribe(account, plans[0], "2026-03-01")
    change_plan(subscription, plans[1], "2026-03-11", policy=policy)
    change_plan(subscription, plans[2], "2026-03-21", policy="continue")
    quantities = {"shared_by_time": ["15"], "continue": ["15", "30"]}[policy]
    source = make_source()
    for day, quantity in zip(march, quantities, strict=True):
        deliver(source, account, [("calls", day, quantity)], region="eu")

    [invoice] = bill(subscription, "2026-03-28")

    lines = [line for line in lines_of(invoice) if line.values]
    assert [int(line.amount_minor) for line in lines] == list(march.values())
