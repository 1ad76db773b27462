"""Whole periods from usage to issued invoices, through the database, at amounts worked out by hand."""

from __future__ import annotations

from decimal import Decimal

import pytest

from accounts.models import Account
from accounts.tenancy import as_worker
from insights.models import CreditGrant, CreditUse, Invoice, InvoiceState, Settlement, Source
from insights.rating.charges import Graduated, PerUnit, Tier
from insights.rating.sheet import IncludedCredit
from insights.rating.terms import Bound, FeeTiming
from tests.billing.scene import (
    amounts,
    bill,
    change_plan,
    complete,
    deliver,
    fee,
    findings_of,
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
    meters("requests", "bytes")
    return make_source()


@pytest.fixture
def account(edge: Source) -> Account:
    account = make_account("halyard", currency="USD")
    make_profile(account)
    return account


PER_UNIT = PerUnit(unit_amount=Decimal("0.10"))
GRADUATED = Graduated(
    tiers=(
        Tier(above=Decimal(0), up_to=Decimal(100), unit_amount=Decimal("0.10")),
        Tier(above=Decimal(100), up_to=None, unit_amount=Decimal("0.05")),
    )
)


def test_a_month_is_drafted_and_then_issued(edge: Source, account: Account) -> None:
    plan = make_plan(
        "basic", [usage_price("requests", PER_UNIT), usage_price("bytes", PER_UNIT), fee("base", "20")]
    )
    subscription = subscribe(account, plan, "2026-03-01")
    deliver(edge, account, [("requests", "2026-03-01", "10"), ("requests", "2026-03-31T23", "5.5")])
    deliver(edge, account, [("requests", "2026-04-01", "1000")])

    [draft] = bill(subscription, "2026-03-20")

    assert (draft.state, draft.number, int(draft.total_minor)) == (InvoiceState.DRAFT, None, 2155)
    assert amounts(draft) == {"Base": 2000, "Requests": 155, "Bytes": 0}

    complete(account, "2026-04-02")
    issued, running = bill(subscription, "2026-04-02")

    assert (issued.state, issued.number, int(issued.total_minor)) == (InvoiceState.ISSUED, "TG-000001", 2155)
    assert amounts(running)["Requests"] == 10_000


def test_late_usage_is_corrected_on_the_next_invoice_once(edge: Source, account: Account) -> None:
    plan = make_plan("tiers", [usage_price("requests", GRADUATED), usage_price("bytes", PER_UNIT)])
    subscription = subscribe(account, plan, "2026-03-01")
    deliver(edge, account, [("requests", "2026-03-05", "90")])
    complete(account, "2026-04-01")
    [march, _] = bill(subscription, "2026-04-01T01")
    assert int(march.total_minor) == 900

    # 90 at 0.10 are 9.00; with 30 late it is 100 at 0.10 and 20 at 0.05, which is 11.00.
    deliver(edge, account, [("requests", "2026-03-06", "30")])
    [_, april] = bill(subscription, "2026-04-10")
    corrections = [line for line in lines_of(april) if line.kind == "correction"]

    assert [(line.metered_quantity, int(line.amount_minor)) for line in corrections] == [(Decimal(30), 200)]
    assert corrections[0].corrects_invoice_id == march.pk
    assert sum(step["amount_minor"] for step in corrections[0].steps) == 200

    complete(account, "2026-05-01")
    [_, april, may] = bill(subscription, "2026-05-01T01")
    assert (april.state, int(april.total_minor)) == (InvoiceState.ISSUED, 200)
    assert "correction" not in {line.kind for line in lines_of(may)}

    # Taken down to 50 in all by a later revision: 5.00 instead of 11.00.
    deliver(edge, account, [("requests", "2026-03-07", "7")])
    [_, _, may] = bill(subscription, "2026-05-02")
    assert [int(line.amount_minor) for line in lines_of(may) if line.kind == "correction"] == [35]


def test_plan_changes_in_a_month_cut_usage_and_fees(edge: Source, account: Account) -> None:
    small = make_plan(
        "small", [usage_price("requests", PER_UNIT), usage_price("bytes", PER_UNIT), fee("base", "31")]
    )
    large = make_plan(
        "large",
        [
            usage_price("requests", PerUnit(unit_amount=Decimal("0.01"))),
            usage_price("bytes", PER_UNIT),
            fee("base", "62"),
        ],
    )
    subscription = subscribe(account, small, "2026-03-01")
    change_plan(subscription, large, "2026-03-11")
    change_plan(subscription, small, "2026-03-21T06")
    deliver(
        edge,
        account,
        [("requests", "2026-03-10T23", "100"), ("requests", "2026-03-11", "100"), ("requests", "2026-03-21T05", "100"),
         ("requests", "2026-03-21T06", "100")],
    )  # fmt: skip

    [march] = bill(subscription, "2026-03-25")
    found = [
        (line.name, line.plan_key, line.metered_quantity, int(line.amount_minor)) for line in lines_of(march)
    ]

    # 31 x 10/31; 62 x 10.25/31 = 20.50; 31 x 10.75/31.
    assert found[:3] == [
        ("Base", "small", None, 1000),
        ("Base", "large", None, 2050),
        ("Base", "small", None, 1075),
    ]
    assert [line for line in found if line[0] == "Requests"] == [
        ("Requests", "small", Decimal(100), 1000),
        ("Requests", "large", Decimal(200), 200),
        ("Requests", "small", Decimal(100), 1000),
    ]


def test_fees_in_advance_open_the_subscription_and_come_back_after_a_change(
    edge: Source, account: Account
) -> None:
    prices = [usage_price("requests", PER_UNIT), usage_price("bytes", PER_UNIT)]
    small = make_plan("small", [*prices, fee("base", "30", timing=FeeTiming.IN_ADVANCE)])
    large = make_plan("large", [*prices, fee("base", "60", timing=FeeTiming.IN_ADVANCE)])
    subscription = subscribe(account, small, "2026-04-01")

    opening, april = bill(subscription, "2026-04-02")
    assert (opening.kind, opening.state, int(opening.total_minor)) == ("opening", "issued", 3000)
    assert int(april.total_minor) == 3000, "May in advance"

    change_plan(subscription, large, "2026-04-16")
    _, april = bill(subscription, "2026-04-20")
    found = {(line.plan_key, line.service_start.day, line.service_start.month): int(line.amount_minor)
             for line in lines_of(april) if line.price_key == "base"}  # fmt: skip

    # Half of April's 30 comes back, half of 60 is due, and May is due in advance.
    assert found == {("small", 1, 4): -1500, ("large", 16, 4): 3000, ("large", 1, 5): 6000}


def test_credits_burn_in_order_and_are_used_up_once(edge: Source, account: Account) -> None:
    plan = make_plan(
        "payg",
        [
            usage_price("requests", PER_UNIT),
            usage_price("bytes", PER_UNIT),
            fee("base", "20", takes_credit=False),
        ],
        included_credit=IncludedCredit(name="Included", amount=Decimal(20)),
    )
    subscription = subscribe(account, plan, "2026-03-01")
    deliver(edge, account, [("requests", "2026-03-05", "492.3"), ("requests", "2026-04-05", "250")])
    with as_worker():
        CreditGrant.objects.create(
            account=account, kind="promotion", name="Welcome", amount_minor=3000, currency="USD",
            granted_at=instant("2026-02-01"), reason="welcome",
        )  # fmt: skip
    complete(account, "2026-05-01")

    march, april, _ = bill(subscription, "2026-05-01T01")

    assert amounts(march) == {"Base": 2000, "Requests": 4923, "Bytes": 0, "Included": -2000, "Welcome": -2923}
    assert amounts(april) == {"Base": 2000, "Requests": 2500, "Bytes": 0, "Included": -2000, "Welcome": -77}
    with as_worker():
        assert [int(use.amount_minor) for use in CreditUse.objects.order_by("id")] == [2923, 77]


def test_below_zero_is_carried_to_the_next_bill(edge: Source, account: Account) -> None:
    plan = make_plan("plain", [usage_price("requests", PER_UNIT), usage_price("bytes", PER_UNIT)])
    subscription = subscribe(account, plan, "2026-03-01")
    deliver(edge, account, [("requests", "2026-03-05", "100"), ("requests", "2026-05-05", "30")])
    complete(account, "2026-04-01")
    bill(subscription, "2026-04-01T01")
    # The sender corrects 100 to 40.
    ingest_now(
        edge, "account,meter,window_start,quantity,revision\nhalyard,requests,2026-03-05T00:00:00Z,40,2\n"
    )
    complete(account, "2026-06-01")

    _, april, may, _ = bill(subscription, "2026-06-01T01")

    assert amounts(april) == {"Requests": -600, "Bytes": 0, "Carried to the next bill": 600}
    assert (int(april.total_minor), int(may.total_minor)) == (0, 0)
    with as_worker():
        assert Settlement.objects.get(invoice=april).state == "paid", "what is nothing is never overdue"
    assert amounts(may) == {"Requests": 300, "Bytes": 0, "Carried from an earlier bill": -300}


def test_tax_and_minimum(edge: Source) -> None:
    account = make_account("kelp", currency="EUR", billing_zone="Europe/Berlin")
    make_profile(account, tax_name="VAT", tax_percent=Decimal(19))
    plan = make_plan(
        "ent",
        [usage_price("requests", PER_UNIT, currency="EUR"), usage_price("bytes", PER_UNIT, currency="EUR")],
        currency="EUR",
        minimum=Bound(amount=Decimal(50)),
    )
    subscription = subscribe(account, plan, "2026-02-28T23", anchor="2026-03-01")
    deliver(
        edge,
        account,
        [
            ("requests", "2026-03-05", "100"),
            ("requests", "2026-03-31T21", "1"),
            ("requests", "2026-03-31T22", "7"),
        ],
    )

    [march, _] = bill(subscription, "2026-04-01T01")

    assert (march.period_start, march.period_end) == (instant("2026-02-28T23"), instant("2026-03-31T22"))
    assert amounts(march) == {"Requests": 1010, "Bytes": 0, "Up to the minimum": 3990, "VAT 19 %": 950}


def test_what_has_no_price_parks(edge: Source, account: Account) -> None:
    plan = make_plan("bare", [usage_price("requests", PER_UNIT)])
    subscription = subscribe(account, plan, "2026-03-01")
    deliver(edge, account, [("bytes", "2026-03-05", "3"), ("requests", "2026-03-05", "1")])
    complete(account, "2026-04-01")

    march, _ = bill(subscription, "2026-04-01T01")

    assert (march.state, [one["code"] for one in march.parked_for]) == (
        InvoiceState.PARKED,
        ["unpriced_meter"],
    )
    with as_worker():
        Invoice.objects.filter(pk=march.pk).update(released=findings_of(march))
    march, _ = bill(subscription, "2026-04-02")
    assert march.state == InvoiceState.ISSUED


def test_what_was_let_pass_holds_for_what_was_found(edge: Source, account: Account) -> None:
    subscription = subscribe(account, make_plan("bare", [usage_price("requests", PER_UNIT)]), "2026-03-01")
    deliver(edge, account, [("bytes", "2026-03-05", "3"), ("requests", "2026-03-05", "1")])
    complete(account, "2026-04-01")
    march, _ = bill(subscription, "2026-04-01T01")
    with as_worker():
        Invoice.objects.filter(pk=march.pk).update(released=findings_of(march))

    # Meanwhile much more came of what nobody has a price for.
    deliver(edge, account, [("bytes", "2026-03-06", "900000")])
    complete(account, "2026-04-01")
    again, *_ = bill(subscription, "2026-04-01T02")

    [reason] = again.parked_for
    assert (again.state, reason["code"]) == (InvoiceState.PARKED, "unpriced_meter")
    assert reason["message"].startswith("900,003 unit of bytes")

    with as_worker():
        Invoice.objects.filter(pk=march.pk).update(released=[*march.released, *findings_of(again)])
    assert bill(subscription, "2026-04-01T03")[0].state == InvoiceState.ISSUED


def test_a_source_that_comes_nearer_is_no_new_finding(edge: Source, account: Account) -> None:
    subscription = subscribe(account, make_plan("bare", [usage_price("requests", PER_UNIT)]), "2026-03-01")
    deliver(edge, account, [("requests", "2026-03-05", "1")])
    complete(account, "2026-03-20")
    march, _ = bill(subscription, "2026-04-01T01")
    assert [reason["code"] for reason in march.parked_for] == ["incomplete"]
    with as_worker():
        Invoice.objects.filter(pk=march.pk).update(released=findings_of(march))
    complete(account, "2026-03-21")

    assert bill(subscription, "2026-04-01T03")[0].state == InvoiceState.ISSUED
