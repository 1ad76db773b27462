"""A bill read from its rows: the same figures, in few statements, whatever its status."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from uuid import uuid4

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from accounts.models import Account
from accounts.tenancy import account_scope
from insights.billing.bill import Bill, BillStatus, LineGroup
from insights.billing.bill_queries import BillFilter, get_bill, list_bills, list_prices_in_force
from insights.billing.words import line_sentence, step_rows
from insights.models import Invoice
from insights.values.money import Money, sum_money
from tests.billing.bills import (
    NOVEMBER,
    LineSpec,
    gigabytes,
    line_named,
    make_invoice,
    usual_lines,
)
from tests.factories import make_account

pytestmark = pytest.mark.database
NOW = datetime(2026, 11, 10, tzinfo=UTC)


@pytest.fixture
def account(portal_db: None) -> Account:
    return make_account("ansel", billing_zone="UTC", currency="EUR")


def read(account: Account, invoice: Invoice, *, now: datetime = NOW) -> Bill:
    with account_scope(account.pk, read_only=True):
        bill = get_bill(account, public_id=invoice.public_id, now=now)
    assert bill is not None
    return bill


def test_says_what_is_stored(account: Account) -> None:
    bill = read(account, make_invoice(account))

    assert bill.head.total == bill.total == Money(13_417, "EUR")
    assert [section.group for section in bill.sections] == [
        LineGroup.FEES, LineGroup.USAGE, LineGroup.USAGE, LineGroup.TAX,
    ]  # fmt: skip
    assert sum_money((section.subtotal for section in bill.sections), "EUR") == bill.total
    for line in bill.lines:
        if line.steps:
            assert sum_money((row.amount for row in step_rows(line)), "EUR") == line.amount
    assert line_sentence(bill.lines[1]) == (
        "You used 62.5 GB, 5 GB were included, 57.5 GB were charged at 0.10 EUR."
    )


@pytest.mark.parametrize(
    ("state", "settlement", "at", "status"),
    [
        ("draft", "", NOW, BillStatus.DRAFT),
        ("parked", "", NOW, BillStatus.CHECKING),
        ("issued", "open", NOW, BillStatus.OPEN),
        ("issued", "open", datetime(2026, 11, 18, 0, 0, 1, tzinfo=UTC), BillStatus.OVERDUE),
        ("issued", "open", datetime(2026, 11, 18, tzinfo=UTC), BillStatus.OPEN),
        ("issued", "paid", NOW, BillStatus.PAID),
        ("issued", "void", NOW, BillStatus.VOID),
    ],
)
def test_status_and_the_filter_by_it_agree(
    account: Account, state: str, settlement: str, at: datetime, status: BillStatus
) -> None:
    invoice = make_invoice(account, state=state, settlement=settlement)

    assert read(account, invoice, now=at).head.status is status
    for other in BillStatus:
        with account_scope(account.pk, read_only=True):
            page = list_bills(account, now=at, limit=10, chosen=BillFilter(status=other))
        assert [head.public_id for head in page.heads] == ([invoice.public_id] if other is status else [])


def test_a_correction_names_the_line_and_its_quantities(account: Account) -> None:
    first = make_invoice(account)
    line = line_named(first, "Data out")
    late = LineSpec(
        name="Data out",
        terms=gigabytes(),
        quantity=Decimal(63_500_000_000),
        meter_key="bytes_out",
        corrects=line,
    )
    second = make_invoice(account, lines=[*usual_lines(), late], period=NOVEMBER)

    bill, corrected = read(account, second), read(account, first)

    [correction] = [line for line in bill.lines if line.group is LineGroup.CORRECTIONS]
    assert correction.amount == Money(10, "EUR")
    assert line_sentence(correction) == (
        f"Corrects “Data out” of bill {first.number}: 62.5 GB before, 63.5 GB now."
    )
    assert corrected.corrected_by == ((second.public_id, second.number),)


def test_costs_the_same_statements_with_many_lines(account: Account) -> None:
    few = make_invoice(account, lines=usual_lines())
    many = make_invoice(
        account,
        lines=[
            LineSpec(
                name=f"Data {number}", terms=gigabytes(), quantity=Decimal(10**10), meter_key=f"m{number}"
            )
            for number in range(60)
        ],
        operation="2",
    )
    counts = []
    for invoice in (few, many):
        with CaptureQueriesContext(connections["default"]) as captured:
            read(account, invoice)
        counts.append(len(captured))

    assert counts[0] == counts[1] <= 12


def test_pages_through_every_bill_once(account: Account) -> None:
    made = [make_invoice(account, operation=str(number)) for number in range(5)]
    seen: list[str] = []
    place = None
    for _ in range(3):
        with account_scope(account.pk, read_only=True):
            page = list_bills(account, now=NOW, limit=2, after=place)
        seen += [head.number for head in page.heads]
        place = page.next_place

    assert seen == [invoice.number for invoice in reversed(made)]
    assert place is None


def test_another_account_has_no_such_bill(account: Account) -> None:
    theirs = make_invoice(make_account("brook"))

    with account_scope(account.pk, read_only=True):
        assert get_bill(account, public_id=theirs.public_id, now=NOW) is None
        assert get_bill(account, public_id=uuid4(), now=NOW) is None
        assert list_prices_in_force(account, now=NOW) == ()
