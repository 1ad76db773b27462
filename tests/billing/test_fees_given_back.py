"""Fees billed ahead that come back: always at what was paid, however much changed since. Worked out by hand."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from accounts.models import Account
from accounts.tenancy import account_scope, as_worker
from insights.billing.account_terms_operations import grant_credit
from insights.billing.bill_queries import get_bill
from insights.billing.settlement_operations import void_invoice
from insights.billing.words import line_sentence
from insights.explain.then_and_now_queries import compare_then_and_now
from insights.models import BillingProfile, CreditUse, Invoice, Plan, Source, Subscription
from insights.rating.charges import PerUnit
from insights.rating.matrix import Cell, Matrix
from insights.rating.sheet import SheetPrice
from insights.rating.terms import Bound, Discount, FeeTiming, PriceTerms
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
from tests.books.test_verify_books import damage, verify
from tests.factories import ingest_now, make_account, make_source, make_user

pytestmark = pytest.mark.database
HALF_OFF = (Discount(percent=Decimal(50)),)
TENTH_OFF = (Discount(percent=Decimal(10)),)
AHEAD = FeeTiming.IN_ADVANCE


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


def corrected(invoice: Invoice) -> dict[str, int]:
    """What the invoice corrects of earlier ones, by the name of the line."""
    return {line.name: int(line.amount_minor) for line in lines_of(invoice) if line.kind == "correction"}


def charged(invoice: Invoice) -> dict[str, int]:
    """What the invoice charges and takes off itself, by the name of the line."""
    found: dict[str, int] = {}
    for line in lines_of(invoice):
        if line.kind not in ("correction", "carried"):
            found[line.name] = found.get(line.name, 0) + int(line.amount_minor)
    return found


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


def test_a_discount_of_another_percent_comes_back_as_it_was_taken(account: Account) -> None:
    subscription = subscribe(account, plan("first", discounts=TENTH_OFF), "2026-04-01")
    change_plan(subscription, make_plan("second", [fee("larger", "60", timing=AHEAD)]), "2026-04-16")

    opening, april, _ = bill(subscription, "2026-05-01T01")

    # 30.00 less 10 %, and 10 % tax: 27.00 + 2.70.
    assert amounts(opening) == {"Base": 3_000, "Discount": -300, "VAT 10 %": 270}
    # All of that comes back: -30.00 + 3.00 - 2.70 = -29.70.
    assert corrected(april) == {"Base": -3_000, "Discount": 300, "VAT 10 %": -270}
    # Due without a discount: half a month of 30.00, half a month of 60.00, and 60.00 for May; 10 % tax of 105.00.
    assert charged(april) == {"Base": 1_500, "Larger": 3_000 + 6_000, "VAT 10 %": 1_050}
    assert (april.state, april.total_minor) == ("issued", 11_550 - 2_970)
    assert {line.corrects_invoice_id for line in lines_of(april) if line.kind == "correction"} == {opening.pk}
    assert_books_agree()


def test_the_books_know_that_a_fee_is_taken_back_in_full(account: Account) -> None:
    subscription = subscribe(account, plan("first", discounts=TENTH_OFF), "2026-04-01")
    change_plan(subscription, plan("second"), "2026-04-16")
    opening, april, _ = bill(subscription, "2026-05-01T01")
    damage(
        "ALTER TABLE insights_invoice DISABLE TRIGGER invoice_lines_add_up",
        f"UPDATE insights_lineitem SET amount_minor = -2900 WHERE invoice_id = {april.pk} AND amount_minor = -3000",
        "ALTER TABLE insights_invoice ENABLE TRIGGER invoice_lines_add_up",
    )

    said, _ = verify()

    [fee_ahead, *_] = lines_of(opening)
    assert (
        f"line {fee_ahead.pk} of invoice {opening.pk}: a fee that later invoices took back otherwise" in said
    )


def test_every_line_that_takes_back_says_of_what(account: Account) -> None:
    subscription = subscribe(account, plan("first", discounts=TENTH_OFF), "2026-04-01")
    change_plan(subscription, make_plan("second", [fee("larger", "60", timing=AHEAD)]), "2026-04-16")
    opening, april, _ = bill(subscription, "2026-05-01T01")

    with as_worker():
        found = get_bill(account, public_id=april.public_id, now=instant("2026-05-02"))

    assert found is not None
    lines = [line for section in found.sections for line in section.lines if line.corrects]
    assert [line_sentence(line) for line in lines] == [
        (f"Takes back “Base” of bill {opening.number}, which was billed in advance. "
        "What of it is due is a line of its own."),
        f"Corrects “Discount” of bill {opening.number}.",
        f"Corrects “VAT 10 %” of bill {opening.number}.",
    ]  # fmt: skip


def test_a_discount_that_comes_only_later_is_not_taken_of_what_comes_back(account: Account) -> None:
    subscription = subscribe(account, plan("first"), "2026-04-01")
    change_plan(subscription, plan("second", discounts=HALF_OFF), "2026-04-01T12")

    april = bill(subscription, "2026-05-01T01")[1]

    # 30.00 and its tax come back as they were paid. Due of the first plan 12 of 720 hours, 0.50, of the second 708 of
    # them, 29.50, and 30.00 for May: half of 60.00, and the tax.
    assert corrected(april) == {"Base": -3_000, "VAT 10 %": -300}
    assert charged(april) == {"Base": 50 + 2_950 + 3_000, "Discount": -3_000, "VAT 10 %": 300}
    assert (april.state, april.total_minor) == ("issued", 0)


def test_the_tax_that_was_paid_comes_back_where_none_is_borne_any_more(account: Account) -> None:
    with as_worker():
        BillingProfile.objects.update(tax_percent=Decimal(20))
    subscription = subscribe(account, plan("plan"), "2026-04-01")
    [opening, *_] = bill(subscription, "2026-04-01T01")
    with as_worker():
        BillingProfile.objects.update(tax_percent=0, tax_exempt_reason="reverse charge")

    last = end(subscription)

    # 30.00 + 6.00 come back, and half a month of 30.00 is due without a tax.
    assert amounts(opening) == {"Base": 3_000, "VAT 20 %": 600}
    assert corrected(last) == {"Base": -3_000, "VAT 20 %": -600}
    assert charged(last) == {"Base": 1_500}
    assert (last.state, amounts(last)["Carried to the next bill"]) == ("issued", 2_100)
    assert_books_agree()


def test_a_tax_that_is_new_is_borne_by_what_was_held_alone(account: Account) -> None:
    with as_worker():
        BillingProfile.objects.update(tax_percent=0)
    subscription = subscribe(account, plan("plan"), "2026-04-01")
    bill(subscription, "2026-04-01T01")
    with as_worker():
        BillingProfile.objects.update(tax_percent=Decimal(20))

    last = end(subscription)

    assert corrected(last) == {"Base": -3_000}
    assert charged(last) == {"Base": 1_500, "VAT 20 %": 300}


def test_another_discount_says_nothing_where_no_fee_comes_back(account: Account) -> None:
    in_arrears = FeeTiming.IN_ARREARS
    subscription = subscribe(account, plan("first", in_arrears, discounts=HALF_OFF), "2026-04-01")
    change_plan(subscription, plan("second", in_arrears), "2026-04-16")

    [april, *_] = bill(subscription, "2026-05-01T01")

    assert (april.state, april.total_minor) == ("issued", 3_300)


@pytest.mark.parametrize("takes_credit", [True, False])
def test_a_credit_that_paid_for_it_is_there_again(account: Account, *, takes_credit: bool) -> None:
    """In money it would be more than was ever asked for: neither the fee nor its tax was."""
    fees = [fee("base", "30", timing=AHEAD, takes_credit=takes_credit)]
    subscription = subscribe(account, make_plan("plan", fees), "2026-03-01")
    with as_worker():
        grant_credit(
            account_id=account.pk, kind="promotion", name="Welcome", amount="30", reason="welcome", by=None,
            now=instant("2026-03-02"),
        )  # fmt: skip
    march = bill(subscription, "2026-04-01T01")[1]
    assert ("Welcome" in amounts(march)) is takes_credit

    last = end(subscription)

    assert last.state == "issued"
    if takes_credit:
        # April's 30.00 go back to the credit, which pays the 15.00 that are due for half of April. No tax either time.
        assert corrected(last) == {"Base": -3_000, "Welcome": 3_000}
        assert charged(last) == {"Base": 1_500, "Welcome": -1_500, "VAT 10 %": 0}
    else:
        assert corrected(last) == {}
        assert charged(last) == {"Base": -1_500, "VAT 10 %": -150}
    with as_worker():
        uses = CreditUse.objects.filter(account=account).order_by("id")
        assert [int(use.amount_minor) for use in uses] == ([3_000, -1_500] if takes_credit else [])
    assert_books_agree()


def test_a_credit_after_tax_that_paid_for_it_is_there_again_too(account: Account) -> None:
    """It paid for all of the bill, tax too: what comes back is the credit, and no money that could be paid out."""
    subscription = subscribe(account, plan("plan"), "2026-03-01")
    with as_worker():
        grant_credit(
            account_id=account.pk, kind="promotion", name="Welcome", amount="40", reason="welcome", by=None,
            now=instant("2026-03-02"), is_before_tax=False,
        )  # fmt: skip
    march = bill(subscription, "2026-04-01T01")[1]
    assert amounts(march) == {"Base": 3_000, "VAT 10 %": 300, "Welcome": -3_300}

    last = end(subscription)

    assert corrected(last) == {"Base": -3_000, "VAT 10 %": -300, "Welcome": 3_300}
    assert charged(last) == {"Base": 1_500, "VAT 10 %": 150, "Welcome": -1_650}
    assert (last.state, last.total_minor, "Carried to the next bill" in amounts(last)) == ("issued", 0, False)
    assert_books_agree()


def with_usage(key: str, amount: str = "40", **whole: Any) -> Plan:
    prices = [
        usage_price("requests", PerUnit(unit_amount=Decimal("0.10"))),
        fee("base", amount, timing=AHEAD),
    ]
    return make_plan(key, prices, **whole)


@pytest.fixture
def edge(account: Account) -> Source:
    with as_worker():
        BillingProfile.objects.update(tax_percent=0)
    meters("requests")
    return make_source()


def test_late_usage_and_a_fee_that_comes_back_are_one_correction(edge: Source, account: Account) -> None:
    subscription = subscribe(account, with_usage("first", discounts=TENTH_OFF), "2026-03-01")
    change_plan(subscription, make_plan("second", [fee("base", "0")]), "2026-04-16")
    deliver(edge, account, [("requests", "2026-03-05", "100")])
    complete(account, "2026-04-01")
    _, march, _ = bill(subscription, "2026-04-01T01")
    assert amounts(march) == {"Base": 4_000, "Requests": 1_000, "Discount": -500}

    deliver(edge, account, [("requests", "2026-03-06", "50")])
    complete(account, "2026-05-01")
    _, march, april, *_ = bill(subscription, "2026-05-01T01")

    # March is 150 requests without April's fee: 15.00 - 1.50. It was 50.00 - 5.00.
    assert corrected(april) == {"Requests": 500, "Base": -4_000, "Discount": 350}
    assert charged(april) == {"Base": 2_000, "Requests": 0}
    assert len([line for line in lines_of(april) if line.kind == "correction"]) == 3

    # March now is what it was billed at and what April corrected, line by line.
    with account_scope(account.pk, read_only=True):
        found = get_bill(account, public_id=march.public_id, now=instant("2026-05-02"))
        assert found is not None
        then_and_now = compare_then_and_now(account, found, known=None)
    assert then_and_now.is_accounted_for
    assert then_and_now.took_back
    changed = {change.line.name: change.change.minor for change in then_and_now.lines}
    assert changed == corrected(april)

    # What comes later still is corrected alone: the fee stays off March.
    deliver(edge, account, [("requests", "2026-03-07", "10")])
    complete(account, "2026-06-01")
    *_, may, _ = bill(subscription, "2026-06-01T01")
    assert corrected(may) == {"Requests": 100, "Discount": -10}
    assert_books_agree()


def test_what_a_void_bill_gave_back_comes_back_with_the_one_in_its_place(
    edge: Source, account: Account
) -> None:
    subscription = subscribe(account, with_usage("first", discounts=TENTH_OFF), "2026-03-01")
    change_plan(subscription, make_plan("second", [fee("base", "0")]), "2026-04-16")
    deliver(edge, account, [("requests", "2026-03-05", "100"), ("requests", "2026-04-05", "200")])
    complete(account, "2026-05-01")
    *_, april, _ = bill(subscription, "2026-05-01T01")
    assert corrected(april) == {"Base": -4_000, "Discount": 400}
    finance = make_user("finance@example.com", is_staff=True)
    void_invoice(april.public_id, reason="wrong address", by=finance, now=instant("2026-05-02"))

    *_, again, _ = bill(subscription, "2026-05-02T01")

    assert (again.operation, again.state) == ("after 1 voided", "issued")
    assert (corrected(again), charged(again)) == (corrected(april), charged(april))
    *_, may, _ = bill(subscription, "2026-06-02")
    assert corrected(may) == {}
    assert_books_agree()


def test_a_minimum_leaves_alone_what_comes_back(edge: Source, account: Account) -> None:
    least = Bound(amount=Decimal(30))
    subscription = subscribe(account, with_usage("first", minimum=least), "2026-03-01")
    change_plan(subscription, make_plan("second", [fee("base", "0")], minimum=least), "2026-04-16")
    deliver(edge, account, [("requests", "2026-03-05", "100")])
    complete(account, "2026-05-01")

    _, march, april, *_ = bill(subscription, "2026-05-01T01")

    # 10.00 of usage and April's fee are above the minimum.
    assert amounts(march) == {"Base": 4_000, "Requests": 1_000}
    # Without that fee March comes to its minimum, so 20.00 come back. April: half of 40.00, and up to the minimum.
    assert corrected(april) == {"Base": -4_000, "Up to the minimum": 2_000}
    assert charged(april) == {"Base": 2_000, "Requests": 0, "Up to the minimum": 1_000}
    # Two months at their minimum, as if nothing had been billed ahead: 30.00 + 30.00.
    assert (april.state, march.total_minor + april.total_minor) == ("issued", 6_000)
    assert_books_agree()


@pytest.mark.parametrize(
    ("whole", "own"),
    [
        ({"minimum": Bound(amount=Decimal(30))}, {}),
        ({"maximum": Bound(amount=Decimal(30))}, {"Down to the maximum": -2_933}),
        ({"discounts": (Discount(amount=Decimal(5)),)}, {"Discount": -500}),
    ],
)
def test_what_goes_by_an_amount_is_of_what_is_due_alone(
    account: Account, whole: dict[str, Any], own: dict[str, int]
) -> None:
    with as_worker():
        BillingProfile.objects.update(tax_percent=0)
    subscription = subscribe(
        account, make_plan("first", [fee("base", "20", timing=AHEAD)], **whole), "2026-04-01"
    )
    change_plan(subscription, make_plan("second", [fee("other", "60")], **whole), "2026-04-01T12")

    opening, april = bill(subscription, "2026-05-01T01")[:2]

    # An opening bill has no bounds. 12 of 720 hours of 20.00 are 0.33, and 708 of them of 60.00 are 59.00.
    assert opening.total_minor == 2_000
    assert corrected(april) == {"Base": -2_000}
    assert charged(april) == {"Base": 33, "Other": 5_900, **own}
    assert april.state == "issued"


def test_one_whose_bill_cannot_be_made_again_is_looked_at(portal_db: None) -> None:
    meters("requests", dimensions=["region"])
    edge, account = make_source(), make_account("halyard", currency="USD")
    make_profile(account)
    eu = PriceTerms(currency="USD", charge=PerUnit(unit_amount=Decimal(1)), unit="unit")
    cells = Matrix(dimensions=("region",), cells=(Cell(values=("eu",), terms=eu),))
    prices = [
        SheetPrice(key="requests", name="Requests", meter_key="requests", matrix=cells),
        fee("base", "30", timing=AHEAD),
    ]
    subscription = subscribe(account, make_plan("first", prices, discounts=TENTH_OFF), "2026-03-01")
    change_plan(subscription, plan("second"), "2026-04-16")
    deliver(edge, account, [("requests", "2026-03-05", "100")], region="eu")
    complete(account, "2026-04-01")
    march = bill(subscription, "2026-04-01T01")[1]
    # Nothing of March's bill can be rated while this has no price.
    deliver(edge, account, [("requests", "2026-03-06", "5")], region="us")
    complete(account, "2026-05-01")

    april = bill(subscription, "2026-05-01T01")[2]

    assert reasons(april) == ["unable_to_give_back", "unable_to_rate"]
    assert f"invoice {march.number} billed ahead" in april.parked_for[0]["message"]
    # If somebody lets it pass all the same, half a month comes back at the present terms, and never a second time.
    with as_worker():
        Invoice.objects.filter(pk=april.pk).update(released=findings_of(april))
    april = bill(subscription, "2026-05-02")[2]
    assert (april.state, corrected(april)) == ("issued", {})
    assert charged(april)["Base"] == -1_500 + 1_500 + 3_000
    ingest_now(
        edge,
        "account,meter,window_start,quantity,region,revision\nhalyard,requests,2026-03-06T00:00:00Z,0,us,2\n",
    )
    complete(account, "2026-06-01")
    may = bill(subscription, "2026-06-01T01")[3]
    assert (may.state, corrected(may)) == ("issued", {})


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
