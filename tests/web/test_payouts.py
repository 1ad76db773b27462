"""Staff record what was paid out: it leaves what is open, stays under what is paid, and the customer reads it."""

from __future__ import annotations

import csv
import re
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import Account
from accounts.operations import close_account
from accounts.tenancy import as_staff
from insights.billing.payout_queries import list_payouts
from tests.billing.bills import make_grant
from tests.billing.scene import fee, make_plan, subscribe
from tests.conftest import Cast

pytestmark = pytest.mark.database
LISTS = ("/staff/invoices/to-be-paid-out.csv", "/staff/invoices/paid-out.csv")


@pytest.fixture
def closed(cast: Cast) -> Account:
    """An account that was closed yesterday, of which 42.00 are left."""
    make_grant(cast.ours, minor=4_200, kind="carried", name="Carried", currency="EUR")
    with as_staff():
        close_account(account=cast.ours, actor=cast.staff, now=timezone.now() - timedelta(days=1))
    return cast.ours


def billing(account: Account) -> str:
    return f"/staff/accounts/{account.public_id}/billing/"


def form_of(browser: Any, account: Account) -> dict[str, str]:
    """What the form says before anything is typed but a reference."""
    page = browser.get(billing(account)).content.decode()
    [form] = re.findall(r'<form[^>]+/payout/".*?</form>', page, re.DOTALL)
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', form))
    return {**fields, "reference": "wire 12"}


def rows_of(answer: Any) -> list[dict[str, str]]:
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return list(csv.DictReader(content.decode().splitlines()))


def test_it_moves_from_what_is_open_to_what_is_paid(cast: Cast, closed: Account, signed_in: Any) -> None:
    staff = signed_in(cast.staff)
    form = form_of(staff, closed)
    assert (form["amount"], form["currency"]) == ("42.00", "EUR")
    assert [[row["amount"] for row in rows_of(staff.get(name))] for name in LISTS] == [["42.00"], []]

    done = staff.post(billing(closed) + "payout/", form, follow=True).content.decode()

    assert "42.00 EUR is recorded as paid out." in done
    assert "wire 12" in done
    assert "Record a payout" not in done
    listed = staff.get("/staff/invoices/").content.decode()
    assert "To be paid out" not in listed
    assert "Paid out" in listed
    open_rows, [paid] = (rows_of(staff.get(name)) for name in LISTS)
    assert open_rows == []
    assert (paid["account"], paid["amount"], paid["reference"], paid["recorded_by"]) == (
        closed.reference, "42.00", "wire 12", cast.staff.email,
    )  # fmt: skip
    assert rows_of(staff.get(billing(closed) + "payouts.csv")) == [paid]


def test_the_customer_reads_it(cast: Cast, closed: Account, signed_in: Any) -> None:
    staff = signed_in(cast.staff)
    staff.post(billing(closed) + "payout/", form_of(staff, closed))

    owner = signed_in(cast.owner)
    page = owner.get(reverse("credit-list", args=[closed.public_id])).content.decode()
    assert "is to be paid out" not in page
    assert "Paid out to you" in page
    assert "wire 12" in page
    rows = rows_of(owner.get(reverse("credits-csv", args=[closed.public_id])))
    assert [(row["event"], row["amount"], row["remaining"]) for row in rows] == [
        ("granted", "42.00", "0.00"),
        ("paid out", "-42.00", "0.00"),
    ]
    settings = owner.get(reverse("account-settings", args=[closed.public_id])).content.decode()
    assert "Paid out 42.00 EUR: wire 12" in settings


def test_two_clicks_pay_once(cast: Cast, closed: Account, signed_in: Any) -> None:
    staff = signed_in(cast.staff)
    form = form_of(staff, closed)

    answers = [staff.post(billing(closed) + "payout/", form).status_code for _ in range(2)]

    assert answers == [302, 302]
    with as_staff():
        assert len(list_payouts(closed)) == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"amount": "42.01"}, "42.00 EUR are left to be paid out."),
        ({"paid_on": "tomorrow"}, "tomorrow"),
        ({"paid_on": "2020-01-01"}, "not before the account was closed"),
        ({"reference": "\u202e"}, "cannot be seen"),
        ({"payout": "x"}, "open the page again"),
        ({"currency": "KWD"}, "Nothing is left to be paid out in this currency."),
        ({"currency": "\x00€€"}, "Nothing is left to be paid out in this currency."),
    ],
)
def test_what_is_wrong_is_said(
    cast: Cast, closed: Account, signed_in: Any, wrong: dict[str, str], message: str
) -> None:
    staff = signed_in(cast.staff)

    refused = staff.post(billing(closed) + "payout/", {**form_of(staff, closed), **wrong})

    assert refused.status_code == 422
    assert message in refused.content.decode()
    with as_staff():
        assert list_payouts(closed) == ()


def test_what_is_wrong_is_said_where_a_bill_is_to_come_and_the_form_is_gone(
    cast: Cast, closed: Account, signed_in: Any
) -> None:
    staff = signed_in(cast.staff)
    form = form_of(staff, closed)
    subscribe(closed, make_plan("base", [fee("base", "30")]), "2026-04-01")

    refused = staff.post(billing(closed) + "payout/", {**form, "amount": ""})

    assert refused.status_code == 422
    assert "Record a payout" not in refused.content.decode()
    assert "A bill of the account is still to be issued" in refused.content.decode()


def test_nobody_else_may_record_it(cast: Cast, closed: Account, signed_in: Any) -> None:
    form = form_of(signed_in(cast.staff), closed)

    for browser in (signed_in(cast.owner), signed_in(cast.stranger)):
        assert browser.post(billing(closed) + "payout/", form).status_code in (403, 404)
