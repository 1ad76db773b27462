"""Invoices by mail: to the right people, with the file, and never twice."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.db import connections

from accounts.tenancy import as_worker
from insights.billing.file_operations import NotIssued
from insights.billing.mail_operations import send_invoice_mail
from insights.models import Invoice, Settlement
from tests import factories
from tests.billing.bills import make_invoice, make_profile
from tests.conftest import Cast

pytestmark = pytest.mark.database
NOW = datetime(2026, 11, 10, 12, tzinfo=UTC)


class ServerAway(EmailBackend):
    """A server that cannot be reached."""

    def open(self) -> bool:
        raise ConnectionRefusedError


class BreaksOnSecond(EmailBackend):
    """A server that goes away after the first mail."""

    def send_messages(self, messages: Any) -> int:
        if mail.outbox:
            raise ConnectionResetError
        return int(super().send_messages(messages))


@pytest.fixture
def invoice(cast: Cast) -> Invoice:
    billing = factories.make_user("billing@example.com")
    factories.make_membership(cast.ours, billing, role="billing")
    gone = factories.make_user("gone@example.com", is_active=False)
    factories.make_membership(cast.ours, gone, role="owner")
    make_profile(cast.ours, recipients=["books@example.com", "Owner@example.com"])
    return make_invoice(cast.ours)


def mailed_at(invoice: Invoice) -> datetime | None:
    with as_worker():
        return Settlement.objects.get(invoice=invoice).mailed_at


def test_goes_to_owners_billing_and_recipients_once_each(cast: Cast, invoice: Invoice) -> None:
    reached = send_invoice_mail(invoice.pk, now=NOW)

    assert [message.to for message in mail.outbox] == [[address] for address in reached]
    assert {address.lower() for address in reached} == {
        "billing@example.com", "owner@example.com", "books@example.com",
    }  # fmt: skip
    first = mail.outbox[0]
    assert first.subject == f"Invoice {invoice.number} for Ansel Ltd: 134.17 EUR"
    link = f"/a/{cast.ours.public_id}/bills/{invoice.public_id}/"
    for text in (first.body, first.alternatives[0][0]):
        assert "134.17 EUR" in text
        assert "18 Nov 2026" in text
        assert link in text
    [(name, content, media_type)] = first.attachments
    assert (name, media_type, content[:4]) == (f"{invoice.number}.pdf", "application/pdf", b"%PDF")
    assert mailed_at(invoice) == NOW


def test_a_second_time_sends_nothing(invoice: Invoice) -> None:
    send_invoice_mail(invoice.pk, now=NOW)
    mail.outbox.clear()

    assert send_invoice_mail(invoice.pk, now=NOW) == ()
    assert mail.outbox == []


def test_of_several_at_once_one_sends(invoice: Invoice) -> None:
    ready = threading.Barrier(4)
    reached: list[int] = []

    def send() -> None:
        try:
            ready.wait(10)
            reached.append(len(send_invoice_mail(invoice.pk, now=NOW)))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sorted(reached) == [0, 0, 0, 3]


def test_a_server_that_is_away_leaves_it_for_the_next_time(invoice: Invoice, settings: Any) -> None:
    settings.EMAIL_BACKEND = f"{__name__}.ServerAway"
    assert send_invoice_mail(invoice.pk, now=NOW) == ()
    assert mailed_at(invoice) is None

    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    assert len(send_invoice_mail(invoice.pk, now=NOW)) == 3


def test_a_server_that_breaks_off_is_not_asked_again(invoice: Invoice, settings: Any) -> None:
    settings.EMAIL_BACKEND = f"{__name__}.BreaksOnSecond"

    assert len(send_invoice_mail(invoice.pk, now=NOW)) == 1
    assert mailed_at(invoice) == NOW
    assert send_invoice_mail(invoice.pk, now=NOW) == ()


def test_a_void_one_and_a_draft_are_not_sent(cast: Cast) -> None:
    void = make_invoice(cast.ours, settlement="void")
    draft = make_invoice(cast.ours, state="draft", operation="2")

    assert send_invoice_mail(void.pk, now=NOW) == ()
    with pytest.raises(NotIssued):
        send_invoice_mail(draft.pk, now=NOW)
    assert mail.outbox == []


def test_a_name_with_a_line_break_does_not_make_a_header(cast: Cast) -> None:
    account = factories.make_account("x", name="A & B\nBcc: evil@example.com")
    factories.make_membership(account, cast.owner, role="owner")
    invoice = make_invoice(account)

    send_invoice_mail(invoice.pk, now=NOW)

    assert mail.outbox[0].subject.startswith(f"Invoice {invoice.number} for A & B Bcc:")
    assert "A &amp; B" in mail.outbox[0].alternatives[0][0]
