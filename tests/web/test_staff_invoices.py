"""Finance's list of invoices: fifty a page with what was asked kept, counted, and all of it as one CSV."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta
from typing import Any

import pytest

from accounts.models import Account
from accounts.tenancy import as_owner, connection
from insights.models import Invoice
from insights.web.staff_invoices import INVOICES_PER_PAGE
from tests.billing.bills import make_invoice

pytestmark = pytest.mark.database


def rows_of(answer: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.getvalue().decode())))


def test_pages_keep_the_question_and_say_where_they_are(cast: Any, signed_in: Any) -> None:
    for number in range(INVOICES_PER_PAGE + 2):
        make_invoice(cast.ours, lines=[], operation=str(number))
    make_invoice(cast.other, lines=[], state="draft")
    browser = signed_in(cast.staff)

    first = browser.get("/staff/invoices/?q=ansel&status=overdue").content.decode()
    [following] = set(re.findall(r'rel="next" href="([^"]+)"', first))
    second = browser.get(f"/staff/invoices/{following.replace('&amp;', '&')}").content.decode()

    assert "Invoices 1 to 50 of 52" in first
    assert "q=ansel" in following
    assert "status=overdue" in following
    assert "Invoices 51 to 52 of 52" in second
    assert 'rel="prev" href="?q=ansel&amp;status=overdue"' in second
    assert 'rel="next"' not in second
    assert "CSV of all 52" in first


def test_the_csv_has_every_invoice_of_the_question(
    cast: Any, signed_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("insights.web.csv_files.ROWS_AT_ONCE", 2)
    made = [make_invoice(cast.ours, lines=[], operation=str(number)).number for number in range(5)]
    make_invoice(cast.other, lines=[], state="draft")
    browser = signed_in(cast.staff)

    found = rows_of(browser.get("/staff/invoices.csv?q=ansel"))
    everything = rows_of(browser.get("/staff/invoices.csv"))

    assert [row["number"] for row in found] == made[::-1]
    assert len(everything) == 6


@pytest.mark.parametrize("question", ["?status=x", "?q=%00", f"?q={'x' * 201}"])
def test_a_question_that_is_none_is_refused(cast: Any, signed_in: Any, question: str) -> None:
    browser = signed_in(cast.staff)

    assert browser.get(f"/staff/invoices/{question}").status_code == 400
    assert browser.get(f"/staff/invoices.csv{question}").status_code == 400


@pytest.mark.parametrize("after", ["x", "%00", "0" * 36, "00000000-0000-0000-0000-000000000000"])
def test_a_place_that_is_none_begins_with_the_first(cast: Any, signed_in: Any, after: str) -> None:
    make_invoice(cast.ours, lines=[])

    page = signed_in(cast.staff).get(f"/staff/invoices/?after={after}").content.decode()

    assert "Invoices 1 to 1 of 1" in page


def test_each_finding_is_a_box_of_its_own(cast: Any, signed_in: Any) -> None:
    """Two findings of one code are two boxes, and letting one pass leaves the other."""
    invoice = make_invoice(cast.ours, state="parked")
    with as_owner():
        Invoice.objects.filter(pk=invoice.pk).update(
            parked_for=[
                {
                    "code": "unpriced_meter",
                    "message": "1 unit of a has no price.",
                    "finding": "unpriced_meter:1",
                },
                {"code": "jump", "message": "12,000.00 EUR is more than usual.", "finding": "jump:1"},
                {
                    "code": "unpriced_meter",
                    "message": "7 unit of b have no price.",
                    "finding": "unpriced_meter:2",
                },
            ]
        )
    browser, address = signed_in(cast.staff), f"/staff/invoices/{invoice.public_id}/"
    boxes = r'name="findings" value="([a-z_:0-9]+)"'

    page = browser.get(address).content.decode()
    browser.post(f"{address}release/", {"findings": ["unpriced_meter:1", "jump:1"], "reason": "looked at"})
    after = browser.get(address).content.decode()

    assert re.findall(boxes, page) == ["unpriced_meter:1", "jump:1", "unpriced_meter:2"]
    assert re.findall(boxes, after) == ["unpriced_meter:2"]


def test_a_period_is_told_on_the_accounts_clock_too(cast: Any, signed_in: Any) -> None:
    with as_owner():
        Account.objects.filter(pk=cast.ours.pk).update(billing_zone="Asia/Kolkata")
    invoice = make_invoice(cast.ours, lines=[])
    browser = signed_in(cast.staff)

    for address in ("/staff/invoices/", f"/staff/invoices/{invoice.public_id}/"):
        page = browser.get(address).content.decode()
        assert "in Asia/Kolkata" in page
        assert "05:30</time>" in page


@pytest.mark.parametrize(
    ("age", "settlement", "said"),
    [
        (timedelta(hours=1), "open", "not yet; one goes out within minutes"),
        (timedelta(days=8), "open", "no: within 7 days of its issue no mail went out"),
        (timedelta(hours=1), "void", "no, it is void"),
    ],
)
def test_why_an_invoice_was_not_mailed_is_said(
    cast: Any, signed_in: Any, age: timedelta, settlement: str, said: str
) -> None:
    invoice = make_invoice(cast.ours, lines=[], settlement=settlement)
    with as_owner(), connection().cursor() as cursor:
        for statement in (
            "ALTER TABLE insights_invoice DISABLE TRIGGER USER",
            "UPDATE insights_invoice SET issued_at = now() - %s",
            "ALTER TABLE insights_invoice ENABLE TRIGGER USER",
        ):
            cursor.execute(statement, [age] if "%s" in statement else None)

    page = signed_in(cast.staff).get(f"/staff/invoices/{invoice.public_id}/").content.decode()

    assert said in page


def test_the_billing_page_leads_to_the_accounts_invoices(cast: Any, signed_in: Any) -> None:
    invoice = make_invoice(cast.ours, lines=[])
    make_invoice(cast.other, lines=[], operation="other")
    browser = signed_in(cast.staff)
    page = browser.get(f"/staff/accounts/{cast.ours.public_id}/billing/").content.decode()

    [address] = re.findall(r'href="(/staff/invoices/\?q=[^"]+)"', page)

    assert re.findall(r"/staff/invoices/([0-9a-f-]{36})/", browser.get(address).content.decode()) == [
        str(invoice.public_id)
    ]
