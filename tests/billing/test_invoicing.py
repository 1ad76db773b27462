"""What beat asks for by the clock: invoices are issued, filed and mailed without anybody's help, each once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core import mail

from accounts.tenancy import as_owner, as_worker
from insights.invoicing import draft_invoices, issue_invoices, send_invoices
from insights.models import BillingRun, Invoice, InvoiceFile, InvoiceState
from insights.rating.charges import PerUnit
from tests.billing.scene import (
    agreed_long_ago,
    complete,
    deliver,
    make_plan,
    make_profile,
    meters,
    subscribe,
    usage_price,
)
from tests.conftest import Cast
from tests.factories import make_source

pytestmark = pytest.mark.database


def _today() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H")


def _month_before() -> str:
    """The first of the month before this one: its period has ended, and the running one has begun."""
    return (datetime.now(UTC).replace(day=1) - timedelta(days=1)).strftime("%Y-%m-01")


def test_a_due_invoice_is_issued_filed_and_mailed_once(cast: Cast) -> None:
    meters("requests")
    source = make_source()
    make_profile(cast.ours, recipients=["books@ansel.example"])
    plan = make_plan("basic", [usage_price("requests", PerUnit(unit_amount=Decimal("0.10")))])
    subscription = subscribe(cast.ours, plan, _month_before())
    deliver(source, cast.ours, [("requests", _month_before(), "10")])
    complete(cast.ours, "2100-01-01")

    assert issue_invoices() == 1
    assert send_invoices() == 2
    assert (issue_invoices(), send_invoices()) == (0, 0)

    with as_worker():
        [issued] = Invoice.objects.filter(state=InvoiceState.ISSUED, subscription=subscription)
        assert InvoiceFile.objects.filter(invoice=issued).count() == 1
        assert BillingRun.objects.filter(finished_at__isnull=True).count() == 0
    assert sorted(message.to[0] for message in mail.outbox) == ["books@ansel.example", "owner@example.com"]
    assert all(message.attachments for message in mail.outbox)


def test_a_draft_follows_usage_and_is_left_alone_without(cast: Cast) -> None:
    meters("requests")
    source = make_source()
    make_profile(cast.ours)
    plan = make_plan("basic", [usage_price("requests", PerUnit(unit_amount=Decimal("0.10")))])
    subscribe(cast.ours, plan, _month_before(), anchor="2020-01-01")
    complete(cast.ours, "2100-01-01")
    agreed_long_ago()
    issue_invoices()
    assert draft_invoices() == 0

    deliver(source, cast.ours, [("requests", _today(), "30")])

    assert draft_invoices() == 1
    with as_owner():
        [draft] = Invoice.objects.filter(state=InvoiceState.DRAFT)
    assert int(draft.total_minor) == 300
    assert draft_invoices() == 0
