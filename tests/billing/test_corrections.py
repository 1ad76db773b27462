"""Corrections together with credits, earlier corrections, changed catalogues and parked invoices, by hand."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from accounts.models import Account
from accounts.tenancy import as_owner, as_staff, as_worker
from insights.billing.bill import BillStatus
from insights.billing.finance_queries import InvoiceSearch, list_invoices
from insights.billing.settlement_operations import void_invoice
from insights.models import CreditGrant, CreditUse, Invoice, InvoiceState, Meter, Source, Subscription
from insights.rating.charges import Graduated, PerUnit, Tier
from insights.rating.matrix import Cell, Matrix
from insights.rating.sheet import SheetPrice
from insights.rating.terms import FeeTiming, PriceTerms
from tests.billing.scene import (
    amounts,
    assert_books_agree,
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
from tests.factories import ingest_now, make_account, make_source, make_user

pytestmark = pytest.mark.database
PER_UNIT = PerUnit(unit_amount=Decimal("0.10"))
FLAT_THEN_UNITS = Graduated(
    tiers=(Tier(above=Decimal(0), up_to=None, unit_amount=Decimal("0.10"), flat_amount=Decimal(7)),),
    flat_at_zero=True,
)


def grant(account: Account, minor: int, *, is_before_tax: bool = True) -> CreditGrant:
    with as_worker():
        return CreditGrant.objects.create(
            account=account, kind="promotion", name="Welcome", amount_minor=minor, currency="USD",
            granted_at=instant("2026-01-01"), reason="welcome", is_before_tax=is_before_tax,
        )  # fmt: skip


def used(credit: CreditGrant) -> list[int]:
    with as_worker():
        return [int(use.amount_minor) for use in CreditUse.objects.filter(grant=credit).order_by("id")]


def corrected(invoice: Invoice) -> dict[str, int]:
    return {line.name: int(line.amount_minor) for line in lines_of(invoice) if line.kind == "correction"}


def test_a_correction_and_its_invoice_never_take_the_same_credit(edge: Source, account: Account) -> None:
    subscription = subscribe(account, make_plan("plain", [usage_price("requests", PER_UNIT)]), "2026-03-01")
    welcome = grant(account, 5000)
    deliver(edge, account, [("requests", "2026-03-05", "200")])
    complete(account, "2026-04-01")
    bill(subscription, "2026-04-01T01")
    # 30.00 of the 50.00 are left. The correction of March takes them all; April's 25.00 finds nothing.
    deliver(edge, account, [("requests", "2026-03-06", "300"), ("requests", "2026-04-06", "250")])
    complete(account, "2026-05-01")

    _, april, _ = bill(subscription, "2026-05-01T01")

    assert corrected(april) == {"Requests": 3000, "Welcome": -3000}
    assert int(april.total_minor) == 2500
    assert used(welcome) == [2000, 3000]


def test_what_a_correction_gives_back_pays_for_the_invoice_it_is_on(edge: Source, account: Account) -> None:
    subscription = subscribe(account, make_plan("plain", [usage_price("requests", PER_UNIT)]), "2026-03-01")
    welcome = grant(account, 3000)
    deliver(edge, account, [("requests", "2026-03-05", "400")])
    complete(account, "2026-04-01")
    [march, _] = bill(subscription, "2026-04-01T01")
    assert amounts(march) == {"Requests": 4000, "Welcome": -3000}
    # 400 become 100: 10.00 instead of 40.00, of which credit pays 10.00 instead of 30.00. April uses the other 20.00.
    ingest_now(
        edge, "account,meter,window_start,quantity,revision\nhalyard,requests,2026-03-05T00:00:00Z,100,2\n"
    )
    deliver(edge, account, [("requests", "2026-04-06", "350")])
    complete(account, "2026-05-01")

    _, april, _ = bill(subscription, "2026-05-01T01")

    assert corrected(april) == {"Requests": -3000, "Welcome": 2000}
    # 35.00 less 30.00, plus 20.00 of credit given back: 25.00 are due, and 20.00 of credit are there to pay them.
    assert int(april.total_minor) == 500
    assert sum(used(welcome)) == 3000


@pytest.mark.parametrize("is_before_tax", [True, False])
def test_an_invoice_that_a_correction_lowered_is_rated_again_as_it_was(
    edge: Source, account: Account, *, is_before_tax: bool
) -> None:
    subscription = subscribe(account, make_plan("plain", [usage_price("requests", PER_UNIT)]), "2026-03-01")
    deliver(edge, account, [("requests", "2026-03-05", "600")])
    complete(account, "2026-04-01")
    bill(subscription, "2026-04-01T01")
    welcome = grant(account, 10_000, is_before_tax=is_before_tax)
    # March falls by 60.00, so that of April's 100.00 only 40.00 are due, which credit pays.
    ingest_now(
        edge, "account,meter,window_start,quantity,revision\nhalyard,requests,2026-03-05T00:00:00Z,0,2\n"
    )
    deliver(edge, account, [("requests", "2026-04-06", "1000")])
    complete(account, "2026-05-01")
    _, april, _ = bill(subscription, "2026-05-01T01")
    assert amounts(april) == {"Requests": 4000, "Welcome": -4000}

    # One unit more in April is 0.10 more, and 0.10 more of credit.
    deliver(edge, account, [("requests", "2026-04-07", "1")])
    [*_, may] = bill(subscription, "2026-05-02")

    assert corrected(may) == {"Requests": 10, "Welcome": -10}
    assert used(welcome) == [4000]


def test_late_usage_beside_usage_that_was_let_pass_is_corrected(edge: Source, account: Account) -> None:
    meters("free")
    subscription = subscribe(account, make_plan("plain", [usage_price("requests", PER_UNIT)]), "2026-03-01")
    deliver(edge, account, [("requests", "2026-03-05", "100"), ("free", "2026-03-05", "3")])
    complete(account, "2026-04-01")
    march, _ = bill(subscription, "2026-04-01T01")
    with as_worker():
        Invoice.objects.filter(pk=march.pk).update(released=findings_of(march))
    march, _ = bill(subscription, "2026-04-02")
    assert march.state == InvoiceState.ISSUED

    deliver(edge, account, [("requests", "2026-03-06", "5")])
    complete(account, "2026-05-01")
    _, april, _ = bill(subscription, "2026-05-01T01")

    assert (april.state, corrected(april)) == (InvoiceState.ISSUED, {"Requests": 50})

    # More of what has no price is named, and once it is let pass all the rest is corrected still.
    deliver(edge, account, [("requests", "2026-03-07", "7"), ("free", "2026-03-06", "1")])
    complete(account, "2026-06-01")
    [*_, may, _] = bill(subscription, "2026-06-01T01")
    assert (may.state, [one["code"] for one in may.parked_for]) == (InvoiceState.PARKED, ["unpriced_meter"])
    with as_worker():
        Invoice.objects.filter(pk=may.pk).update(released=findings_of(may))
    [*_, may, _] = bill(subscription, "2026-06-02")
    assert (may.state, corrected(may)) == (InvoiceState.ISSUED, {"Requests": 70})


def test_a_newer_version_of_a_meter_is_no_second_line_of_an_earlier_bill(
    edge: Source, account: Account
) -> None:
    subscription = subscribe(
        account, make_plan("flat", [usage_price("requests", FLAT_THEN_UNITS)]), "2026-03-01"
    )
    deliver(edge, account, [("requests", "2026-03-05", "100")])
    complete(account, "2026-04-01")
    bill(subscription, "2026-04-01T01")
    deliver(edge, account, [("requests", "2026-03-06", "1")])
    with as_worker():
        meter = Meter.objects.get(key="requests")
        Meter.objects.filter(pk=meter.pk).update(retired_at=instant("2026-04-02"))
        Meter.objects.create(
            key=meter.key, version=2, name=meter.name, unit=meter.unit, grain_seconds=meter.grain_seconds
        )

    _, april = bill(subscription, "2026-04-10")

    assert corrected(april) == {"Requests": 10}


def test_a_meter_with_a_new_version_inside_the_period_is_charged_as_one(
    edge: Source, account: Account
) -> None:
    price = usage_price("requests", FLAT_THEN_UNITS, included=Decimal(50))
    subscription = subscribe(account, make_plan("flat", [price]), "2026-03-01")
    deliver(edge, account, [("requests", "2026-03-05", "100")])
    with as_worker():
        meter = Meter.objects.get(key="requests")
        Meter.objects.filter(pk=meter.pk).update(retired_at=instant("2026-03-16"))
        Meter.objects.create(
            key=meter.key, version=2, name=meter.name, unit=meter.unit, grain_seconds=meter.grain_seconds
        )
    # The flat amount and what is included are had once, whichever versions were used.
    [march] = bill(subscription, "2026-03-20")
    assert [(line.meter_version, int(line.amount_minor)) for line in lines_of(march)] == [(1, 700 + 500)]

    deliver(edge, account, [("requests", "2026-03-20", "30")])
    complete(account, "2026-04-01")
    march, _ = bill(subscription, "2026-04-01T01")
    assert [(line.meter_version, int(line.amount_minor)) for line in lines_of(march)] == [(1, 1200), (2, 300)]
    assert_books_agree()

    deliver(edge, account, [("requests", "2026-03-06", "10"), ("requests", "2026-04-06", "60")])
    complete(account, "2026-05-01")
    _, april, _ = bill(subscription, "2026-05-01T01")
    assert corrected(april) == {"Requests": 100}
    charged = [
        (line.meter_version, int(line.amount_minor)) for line in lines_of(april) if line.kind == "charge"
    ]
    assert charged == [(2, 700 + 100)]
    assert_books_agree()


def test_a_draft_may_follow_a_parked_invoice_while_plans_change(edge: Source, account: Account) -> None:
    price = usage_price("requests", PER_UNIT)
    small = make_plan("small", [price, fee("base", "30", timing=FeeTiming.IN_ADVANCE)])
    large = make_plan("large", [price, fee("base", "62", timing=FeeTiming.IN_ADVANCE)])
    subscription = subscribe(account, small, "2026-04-01")
    deliver(edge, account, [("requests", "2026-04-05", "10")])
    bill(subscription, "2026-05-02")
    change_plan(subscription, large, "2026-05-17")

    # April is parked as incomplete. May gives back a part of what April's draft charges ahead for May.
    for day in ("2026-05-18", "2026-05-19"):
        _, april, may = bill(subscription, day)
    assert (april.state, may.state) == (InvoiceState.PARKED, InvoiceState.DRAFT)
    assert {line.corrects_id for line in lines_of(may)} == {None}
    complete(account, "2026-06-01")
    _, april, may, _ = bill(subscription, "2026-06-01T01")

    # 15 of 31 days of 30.00 come back, 15 of 31 of 62.00 are due, and 62.00 for June.
    given_back = [line for line in lines_of(may) if line.corrects_invoice_id == april.pk]
    assert [int(line.amount_minor) for line in given_back] == [-1452]
    assert given_back[0].corrects_id in {line.pk for line in lines_of(april)}
    assert int(may.total_minor) == -1452 + 3000 + 6200


def by_region(*, has_catch_all: bool) -> SheetPrice:
    """20 cents in eu, and 10 cents elsewhere or nothing that could be charged."""
    terms = PriceTerms(currency="USD", charge=PER_UNIT, unit="unit")
    eu = replace(terms, charge=PerUnit(unit_amount=Decimal("0.20")))
    cells = Matrix(
        dimensions=("region",),
        cells=(Cell(values=("eu",), terms=eu),),
        catch_all=terms if has_catch_all else None,
    )
    return SheetPrice(key="requests", name="Requests", meter_key="requests", matrix=cells)


def replace_usage(source: Source, day: str, quantity: int, region: str, revision: int) -> None:
    ingest_now(
        source,
        "account,meter,window_start,quantity,region,revision\n"
        f"halyard,requests,{day}T00:00:00Z,{quantity},{region},{revision}\n",
    )


def test_a_line_that_came_with_a_correction_goes_with_one(portal_db: None) -> None:
    meters("requests", dimensions=["region"])
    edge, account = make_source(), make_account("halyard", currency="USD")
    make_profile(account)
    subscription = subscribe(account, make_plan("cells", [by_region(has_catch_all=True)]), "2026-03-01")
    deliver(edge, account, [("requests", "2026-03-05", "100")], region="us")
    complete(account, "2026-04-01")
    bill(subscription, "2026-04-01T01")
    # March had no line for eu.
    replace_usage(edge, "2026-03-06", 30, "eu", 1)
    complete(account, "2026-05-01")
    _, april, _ = bill(subscription, "2026-05-01T01")
    assert corrected(april) == {"Requests": 600}
    replace_usage(edge, "2026-03-06", 0, "eu", 2)
    complete(account, "2026-06-01")

    *_, may, _ = bill(subscription, "2026-06-01T01")

    assert corrected(may) == {"Requests": -600}
    *_, june = bill(subscription, "2026-06-02")
    assert corrected(june) == {}
    assert_books_agree()


def test_a_bill_that_could_not_be_rated_again_is_looked_at_until_it_can_be(portal_db: None) -> None:
    meters("requests", dimensions=["region"])
    edge, account = make_source(), make_account("halyard", currency="USD")
    make_profile(account)
    subscription = subscribe(account, make_plan("cells", [by_region(has_catch_all=False)]), "2026-03-01")
    deliver(edge, account, [("requests", "2026-03-05", "100")], region="eu")
    complete(account, "2026-04-01")
    march, _ = bill(subscription, "2026-04-01T01")
    deliver(edge, account, [("requests", "2026-03-06", "5")], region="us")
    deliver(edge, account, [("requests", "2026-03-06", "3")], region="eu")
    complete(account, "2026-05-01")
    _, april, _ = bill(subscription, "2026-05-01T01")
    assert [one["code"] for one in april.parked_for] == ["unable_to_rate"]
    assert f"invoice {march.number}" in april.parked_for[0]["message"]
    with as_worker():
        Invoice.objects.filter(pk=april.pk).update(released=findings_of(april))
    _, april, _ = bill(subscription, "2026-05-02")
    assert (april.state, corrected(april)) == (InvoiceState.ISSUED, {})

    # Nothing came since, and nothing is forgotten: May waits for the same reason.
    complete(account, "2026-06-01")
    [*_, may, _] = bill(subscription, "2026-06-01T01")
    assert [one["code"] for one in may.parked_for] == ["unable_to_rate"]
    with as_staff():
        [waiting, *_] = list_invoices(
            InvoiceSearch(status=BillStatus.CHECKING), now=instant("2026-06-02"), limit=9
        )
    assert f"invoice {march.number}" in waiting.reasons[0].message

    replace_usage(edge, "2026-03-06", 0, "us", 2)
    [*_, may, _] = bill(subscription, "2026-06-03")
    assert (may.state, corrected(may)) == (InvoiceState.ISSUED, {"Requests": 60})
    [*_, june] = bill(subscription, "2026-06-04")
    assert corrected(june) == {}
    assert_books_agree()


def test_corrections_on_a_voided_invoice_are_made_again_once(edge: Source, account: Account) -> None:
    subscription = subscribe(account, make_plan("plain", [usage_price("requests", PER_UNIT)]), "2026-03-01")
    finance = make_user("finance@example.com", is_staff=True)
    rows = [("requests", f"2026-0{month}-05", "100") for month in (3, 4, 5, 6)]
    deliver(edge, account, rows)
    complete(account, "2026-05-01")
    bill(subscription, "2026-05-01T01")
    deliver(edge, account, [("requests", "2026-03-06", "30")])
    complete(account, "2026-06-01")
    _, april, may, _ = bill(subscription, "2026-06-01T01")
    assert corrected(may) == {"Requests": 300}

    # April is billed anew, by when May corrects March. Then May is void too, and its correction with it.
    for invoice, now in ((april, "2026-06-02"), (may, "2026-06-04")):
        void_invoice(invoice.public_id, reason="wrong address", by=finance, now=instant(now))
        found = bill(subscription, f"{now}T01")
    again = found[-2]

    assert (again.period_start, again.operation) == (may.period_start, "after 1 voided")
    assert corrected(again) == {"Requests": 300}
    assert int(again.total_minor) == 1300
    complete(account, "2026-07-01")
    *_, june, _ = bill(subscription, "2026-07-01T01")
    assert (june.state, corrected(june)) == (InvoiceState.ISSUED, {})
    assert_books_agree()


def test_a_fee_due_once_is_due_though_its_plan_began_before_the_subscription(
    edge: Source, account: Account
) -> None:
    setup = fee("setup", "50")
    assert setup.terms is not None
    once = replace(setup, terms=replace(setup.terms, timing=FeeTiming.ONCE, is_prorated=False))
    plan = make_plan("plain", [usage_price("requests", PER_UNIT), once])
    subscription = subscribe(account, plan, "2026-03-01")
    with as_owner():
        Subscription.objects.filter(pk=subscription.pk).update(starts_at=instant("2026-03-03"))

    [march] = bill(subscription, "2026-03-20")

    assert amounts(march) == {"Setup": 5000, "Requests": 0}
