"""The demo's bills: dated as they would have been, numbered in the order of time, each kind of story told."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.management import call_command

from accounts.models import Account
from accounts.tenancy import as_worker
from insights import tasks
from insights.management import demo_bills
from insights.management.commands import load_demo
from insights.models import (
    Invoice,
    InvoiceFile,
    InvoiceState,
    LineItem,
    Settlement,
    Subscription,
)
from usage_portal.demo.company import build_company

pytestmark = pytest.mark.database

NOW = datetime(2026, 11, 23, 14, 20, tzinfo=UTC)
CAST = (
    "skeldhavn-logistics", "saltmarsh-savings", "coppervane-insurance", "drift-and-dory", "bluethorn-dental",
    "marrow-lane-press", "plover-parcel",
)  # fmt: skip


@pytest.fixture
def load(portal_db: None, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Load a part of the cast; a bell that is rung is answered at once, here."""
    company = build_company(now=NOW, only=CAST)
    monkeypatch.setattr(load_demo, "build_company", lambda *, now: company)
    monkeypatch.setattr(load_demo, "ring", tasks.ingest_batch)
    monkeypatch.setattr(load_demo, "issue_demo_key", lambda *, now: None)
    return lambda: call_command("load_demo", stdout=io.StringIO())


def _bills(reference: str, **wanted: Any) -> list[Invoice]:
    rows = Invoice.objects.filter(account__reference=reference, **wanted).order_by("period_start", "id")
    return list(rows)


def test_every_account_is_billed_for_its_whole_history_and_the_books_agree(load: Callable[[], None]) -> None:
    load()

    with as_worker():
        issued = list(
            Invoice.objects.filter(state=InvoiceState.ISSUED).order_by("legal_entity", "number_in_series")
        )
        for entity in {invoice.legal_entity_id for invoice in issued}:
            dates = [invoice.issued_at for invoice in issued if invoice.legal_entity_id == entity]
            assert dates == sorted(dates)
        assert all(invoice.issued_at <= NOW and invoice.issued_at >= invoice.issue_from for invoice in issued)
        _look_at_stories()
        assert InvoiceFile.objects.filter(invoice__account__reference="plover-parcel").count() == 2
        call_command("verify_books", all=True, stdout=io.StringIO())


def _look_at_stories() -> None:
    """What the cast is there to show; each account another kind of bill."""
    running = Subscription.objects.exclude(account__reference="marrow-lane-press")
    for subscription in running:
        [draft] = Invoice.objects.filter(subscription=subscription, state=InvoiceState.DRAFT)
        assert draft.period_start <= NOW < draft.period_end
    assert Account.objects.get(reference="marrow-lane-press").state == "closed"
    closed = _bills("marrow-lane-press")
    assert {bill.state for bill in closed} == {"issued"}
    assert closed[-1].period_end == datetime(2026, 7, 18, tzinfo=UTC)

    corrections = LineItem.objects.filter(corrects_invoice__isnull=False)
    late = _bills("skeldhavn-logistics", state=InvoiceState.ISSUED)
    assert {line.invoice_id for line in corrections} == {late[-1].pk}
    assert {line.corrects_invoice_id for line in corrections} == {late[-2].pk}
    assert sum(line.amount_minor for line in corrections) > 0

    [parked] = Invoice.objects.filter(state=InvoiceState.PARKED)
    assert parked.account.reference == "saltmarsh-savings"
    assert [found["code"] for found in parked.parked_for] == ["unpriced_meter"]

    voided = Settlement.objects.get(state="void")
    again = _bills("coppervane-insurance", period_start=voided.invoice.period_start)
    assert [bill.total_minor for bill in again] == [voided.invoice.total_minor] * 2
    assert again[1].number_in_series > again[0].number_in_series

    free = _bills("bluethorn-dental", state=InvoiceState.ISSUED)
    assert len(free) == 14
    assert {bill.total_minor for bill in free} == {0}
    starts = {bill.period_start.minute for bill in _bills("drift-and-dory")}
    assert starts == {0}


def test_an_interrupted_year_of_bills_goes_on_and_a_second_start_makes_none(
    load: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    issue, issued = demo_bills.issue_due, []

    def issue_some(subscriptions: Any, now: datetime) -> None:
        if len(issued) == 9:
            raise KeyboardInterrupt
        issued.append(now)
        issue(subscriptions, now)

    monkeypatch.setattr(demo_bills, "issue_due", issue_some)
    with pytest.raises(KeyboardInterrupt):
        load()
    monkeypatch.setattr(demo_bills, "issue_due", issue)
    load()
    with as_worker():
        before = _everything()

    load()

    with as_worker():
        assert _everything() == before
        assert len(_bills("drift-and-dory", state=InvoiceState.ISSUED)) == 14


def _everything() -> dict[str, object]:
    """All issued bills with what they come to and when they were issued, and how each stands."""
    return {
        str(invoice.number): (invoice.total_minor, invoice.issued_at, invoice.settlements.get().state)
        for invoice in Invoice.objects.filter(state=InvoiceState.ISSUED)
    }
