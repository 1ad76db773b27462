"""What finance decides about invoices: each act once, credits given back exactly, one outcome of acts at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import connections
from django.db.models import Sum

from accounts.models import AuditEntry
from accounts.operations import UnableToChange
from accounts.tenancy import account_scope, as_staff, as_worker
from insights.billing.bill import BillStatus
from insights.billing.credit_queries import get_credit_balance
from insights.billing.finance_queries import (
    InvoiceSearch,
    get_invoice,
    list_invoices,
    page_invoices,
    sum_by_status,
)
from insights.billing.settlement_operations import (
    UnableToSettle,
    UnknownInvoice,
    mark_open,
    mark_paid,
    preview_void,
    release_invoice,
    void_invoice,
)
from insights.models import CreditGrant, CreditUse, Invoice, Settlement
from insights.values.money import Money
from tests.billing.bills import (
    NOVEMBER,
    LineSpec,
    gigabytes,
    line_named,
    make_grant,
    make_invoice,
    usual_lines,
)
from tests.conftest import Cast

pytestmark = pytest.mark.database
NOW = datetime(2026, 11, 10, 12, tzinfo=UTC)


def settlement(invoice: Invoice) -> Settlement:
    with as_worker():
        return Settlement.objects.get(invoice=invoice)


def acts(name: str) -> int:
    with as_worker():
        return AuditEntry.objects.filter(act=name).count()


class TestRelease:
    def test_keeps_the_findings_and_the_reason(self, cast: Cast) -> None:
        invoice = make_invoice(cast.ours, state="parked")

        with as_staff():
            released = release_invoice(
                invoice.public_id, findings=["jump:1"], reason="a launch", by=cast.staff
            )
            again = get_invoice(invoice.public_id, now=NOW)

        assert released == ("jump:1",)
        assert again is not None
        assert again.reasons[0].is_released
        assert acts("invoice.release") == 1

    @pytest.mark.parametrize(
        ("findings", "reason"),
        [([], "why"), (["jump"], "why"), (["jump:2"], "why"), (["jump:1"], " "), (["jump:1"], "x" * 301)],
    )
    def test_refuses_other_findings_and_no_reason(self, cast: Cast, findings: list[str], reason: str) -> None:
        invoice = make_invoice(cast.ours, state="parked")

        with as_staff(), pytest.raises(UnableToChange):
            release_invoice(invoice.public_id, findings=findings, reason=reason, by=cast.staff)

        assert acts("invoice.release") == 0

    @pytest.mark.parametrize("state", ["draft", "issued"])
    def test_refuses_what_is_not_parked(self, cast: Cast, state: str) -> None:
        invoice = make_invoice(cast.ours, state=state)

        with as_staff(), pytest.raises(UnableToSettle):
            release_invoice(invoice.public_id, findings=["jump:1"], reason="why", by=cast.staff)


class TestPaid:
    def test_there_and_back(self, cast: Cast) -> None:
        invoice = make_invoice(cast.ours)
        with as_staff():
            mark_paid(invoice.public_id, by=cast.staff, now=NOW, reason="wire 12")
            paid = settlement(invoice)
            mark_open(invoice.public_id, by=cast.staff, now=NOW, reason="it bounced")

        assert (paid.state, paid.reason, paid.changed_by_id) == ("paid", "wire 12", cast.staff.pk)
        assert settlement(invoice).state == "open"
        assert (acts("invoice.mark_paid"), acts("invoice.mark_open")) == (1, 1)

    @pytest.mark.parametrize("state", ["paid", "void"])
    def test_refuses_what_is_not_open(self, cast: Cast, state: str) -> None:
        invoice = make_invoice(cast.ours, settlement=state)

        with as_staff(), pytest.raises(UnableToSettle, match=state):
            mark_paid(invoice.public_id, by=cast.staff, now=NOW)

    def test_refuses_a_draft_and_what_is_not_there(self, cast: Cast) -> None:
        draft = make_invoice(cast.ours, state="draft")

        with as_staff(), pytest.raises(UnableToSettle):
            mark_paid(draft.public_id, by=cast.staff, now=NOW)
        with as_staff(), pytest.raises(UnknownInvoice):
            mark_paid(cast.staff.public_id, by=cast.staff, now=NOW)


class TestVoid:
    def test_gives_credits_back(self, cast: Cast) -> None:
        grant = make_grant(cast.ours, minor=1500)
        invoice = make_invoice(cast.ours, granted=[grant])

        with as_staff():
            effect = void_invoice(invoice.public_id, reason="made twice", by=cast.staff, now=NOW)

        assert effect.given_back == Money(1500, "EUR")
        assert settlement(invoice).state == "void"
        assert remaining(grant) == 1500
        with account_scope(cast.ours.pk, read_only=True):
            assert get_credit_balance(cast.ours).usable(NOW) == (Money(1500, "EUR"),)

    def test_takes_away_what_was_carried_from_it(self, cast: Cast) -> None:
        invoice = make_invoice(cast.ours)
        carried = make_grant(cast.ours, minor=700, kind="carried", from_invoice=invoice)

        void_invoice(invoice.public_id, reason="made twice", by=cast.staff, now=NOW)

        assert remaining(carried) == 0

    def test_refuses_what_a_later_bill_corrects(self, cast: Cast) -> None:
        first = make_invoice(cast.ours)
        late = LineSpec(
            name="Data out",
            terms=gigabytes(),
            quantity=Decimal(70_000_000_000),
            meter_key="bytes_out",
            corrects=line_named(first, "Data out"),
        )
        second = make_invoice(cast.ours, lines=[*usual_lines(), late], period=NOVEMBER)

        with pytest.raises(UnableToSettle, match=str(second.number)):
            void_invoice(first.public_id, reason="made twice", by=cast.staff, now=NOW)
        void_invoice(second.public_id, reason="made twice", by=cast.staff, now=NOW)
        void_invoice(first.public_id, reason="made twice", by=cast.staff, now=NOW)

        assert settlement(first).state == settlement(second).state == "void"

    def test_refuses_what_a_later_bill_used_the_carried_credit_of(self, cast: Cast) -> None:
        first = make_invoice(cast.ours)
        carried = make_grant(cast.ours, minor=700, kind="carried", from_invoice=first)
        second = make_invoice(cast.ours, granted=[carried], period=NOVEMBER)

        assert str(second.number) in preview_void(first.public_id).refusals[0]
        with pytest.raises(UnableToSettle, match=str(second.number)):
            void_invoice(first.public_id, reason="made twice", by=cast.staff, now=NOW)
        void_invoice(second.public_id, reason="made twice", by=cast.staff, now=NOW)
        void_invoice(first.public_id, reason="made twice", by=cast.staff, now=NOW)

        assert remaining(carried) == 0

    @pytest.mark.parametrize("state", ["paid", "void"])
    def test_refuses_what_is_not_open(self, cast: Cast, state: str) -> None:
        invoice = make_invoice(cast.ours, settlement=state)

        with pytest.raises(UnableToSettle):
            void_invoice(invoice.public_id, reason="made twice", by=cast.staff, now=NOW)

        assert settlement(invoice).state == state


def remaining(grant: CreditGrant) -> int:
    with as_worker():
        used = CreditUse.objects.filter(grant=grant).aggregate(used=Sum("amount_minor"))["used"] or 0
    return int(grant.amount_minor - used)


def at_once(acts_: list[Callable[[], Any]]) -> list[str]:
    """Do all acts at the same moment, each in a thread of its own; what became of each."""
    ready = threading.Barrier(len(acts_))
    outcomes: list[str] = []

    def run(act: Callable[[], Any]) -> None:
        try:
            ready.wait(10)
            with as_staff():
                act()
            outcomes.append("done")
        except UnableToSettle:
            outcomes.append("refused")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=[act]) for act in acts_]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return sorted(outcomes)


@pytest.mark.parametrize("number", range(5))
def test_voided_and_paid_at_once_is_one_of_them(cast: Cast, number: int) -> None:
    grant = make_grant(cast.ours, minor=1500)
    invoice = make_invoice(cast.ours, granted=[grant])
    acts_ = [
        lambda: mark_paid(invoice.public_id, by=cast.staff, now=NOW),
        lambda: void_invoice(invoice.public_id, reason="made twice", by=cast.staff, now=NOW),
        lambda: mark_paid(invoice.public_id, by=cast.superuser, now=NOW),
        lambda: void_invoice(invoice.public_id, reason="made twice", by=cast.superuser, now=NOW),
    ]

    outcomes = at_once(acts_)

    assert outcomes == ["done", "refused", "refused", "refused"]
    state = settlement(invoice).state
    assert remaining(grant) == (1500 if state == "void" else 0)
    assert acts("invoice.void") + acts("invoice.mark_paid") == 1


class TestFinance:
    def test_pages_hold_every_invoice_once_in_order_both_ways(self, cast: Cast) -> None:
        for number in range(3):
            make_invoice(cast.ours, operation=f"october {number}")
            make_invoice(cast.other, period=NOVEMBER, operation=f"november {number}")
        make_invoice(cast.ours, state="parked", operation="parked")
        search, after, pages = InvoiceSearch(), None, []

        with as_staff():
            while True:
                pages.append(page_invoices(search, now=NOW, limit=2, after=after))
                after = pages[-1].after_this
                if after is None:
                    break
            everything = list_invoices(search, now=NOW, limit=10)
            void = page_invoices(InvoiceSearch(status=BillStatus.VOID), now=NOW, limit=2)
            absent = page_invoices(search, now=NOW, limit=2, after=uuid4())

        assert [one.public_id for page in pages for one in page.invoices] == [
            one.public_id for one in everything
        ]
        assert [(page.number, page.count) for page in pages] == [(1, 7), (3, 7), (5, 7), (7, 7)]
        starts = [None, *(page.after_this for page in pages[:-1])]
        assert [page.after_previous for page in pages] == [None, None, *starts[1:3]]
        assert (void.invoices, void.count) == ((), 0)
        assert absent.invoices == pages[0].invoices

    def test_parked_ones_come_first_and_totals_add(self, cast: Cast) -> None:
        make_invoice(cast.ours, period=NOVEMBER, state="draft")
        parked = make_invoice(cast.other, state="parked")
        paid = make_invoice(cast.ours, settlement="paid")

        with as_staff():
            listed = list_invoices(InvoiceSearch(), now=NOW, limit=10)
            totals = sum_by_status(now=NOW)
            found = [
                len(list_invoices(InvoiceSearch(text=text), now=NOW, limit=10))
                for text in ("ansel", str(paid.number), "%", "zzz")
            ]
            by_status = {
                status: len(list_invoices(InvoiceSearch(status=status), now=NOW, limit=10))
                for status in BillStatus
            }

        assert listed[0].public_id == parked.public_id
        assert listed[0].reasons[0].message == "11 times the median"
        assert {one.status: (one.count, one.total.minor) for one in totals} == {
            BillStatus.DRAFT: (1, 13_417),
            BillStatus.CHECKING: (1, 13_417),
            BillStatus.PAID: (1, 13_417),
        }
        assert found == [2, 1, 0, 0]
        assert by_status == {
            **dict.fromkeys(BillStatus, 0), BillStatus.DRAFT: 1, BillStatus.CHECKING: 1, BillStatus.PAID: 1,
        }  # fmt: skip
