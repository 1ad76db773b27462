"""The mail that brings an issued invoice to the people who pay it: at most once for each invoice.

The mail server is reached first, then the invoice is claimed in the database, then mail goes out. A server that cannot
be reached leaves everything as it was, for the next call. A failure or a kill behind the claim leaves the invoice
claimed: whoever was not reached is in the log, and nobody ever gets it twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from smtplib import SMTPException
from zoneinfo import ZoneInfo

import structlog
from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.template.loader import render_to_string
from django.urls import reverse

from accounts.models import Account, Membership, Role
from accounts.tenancy import as_worker
from insights.billing.bill import Bill
from insights.billing.bill_queries import PDF_TYPE, find_invoice_file, get_bill
from insights.billing.file_operations import file_invoice
from insights.billing.price_words import money_words
from insights.billing.words import bill_why
from insights.models import BillingProfile, Invoice, Settlement, SettlementState

logger = structlog.get_logger(__name__)


def send_invoice_mail(invoice_id: int, *, now: datetime) -> tuple[str, ...]:
    """Send an issued invoice with its PDF to owners, billing members and further recipients, one mail for each.

    Returns who got it; nobody where it was sent before, is void, or the mail server is away. Raises NotIssued.
    """
    with as_worker():
        file_invoice(invoice_id, now=now)
        invoice = Invoice.objects.select_related("account").get(pk=invoice_id)
        bill = get_bill(invoice.account, public_id=invoice.public_id, now=now)
        content = find_invoice_file(invoice.account, public_id=invoice.public_id)
        if bill is None or content is None:
            raise LookupError(f"invoice {invoice.public_id} is gone")
        recipients = list_recipients(invoice.account)
        connection = _reach_server(invoice)
        if not recipients or connection is None:
            return ()
        try:
            return _send(connection, invoice, bill, content, recipients, now) if _claim(invoice, now) else ()
        finally:
            connection.close()


def list_recipients(account: Account) -> tuple[str, ...]:
    """Who gets an account's invoices: active owners and billing members, then further recipients; each once."""
    members = Membership.objects.for_account(account).filter(
        role__in=[Role.OWNER, Role.BILLING], user__is_active=True
    )
    addresses = list(members.order_by("user__email").values_list("user__email", flat=True))
    profile = BillingProfile.objects.for_account(account).first()
    further = [] if profile is None else profile.recipients
    return tuple({address.lower(): address for address in (*addresses, *further)}.values())


def _reach_server(invoice: Invoice) -> BaseEmailBackend | None:
    connection: BaseEmailBackend = get_connection()
    try:
        connection.open()
    except (SMTPException, OSError) as error:
        logger.error("invoice not mailed yet", invoice=invoice.pk, error=type(error).__name__)
        return None
    return connection


def _claim(invoice: Invoice, now: datetime) -> bool:
    """Whether this call is the one that sends; a void invoice is never sent."""
    settlements = Settlement.objects.for_account(invoice.account).filter(
        invoice=invoice, mailed_at__isnull=True
    )
    return bool(settlements.exclude(state=SettlementState.VOID).update(mailed_at=now))


def _send(
    connection: BaseEmailBackend,
    invoice: Invoice,
    bill: Bill,
    content: bytes,
    recipients: Iterable[str],
    now: datetime,
) -> tuple[str, ...]:
    reached = []
    for address in recipients:
        message = _message(connection, invoice, bill, content, address)
        try:
            message.send()
        except (SMTPException, OSError) as error:
            logger.error("invoice not mailed", invoice=invoice.pk, to=address, error=type(error).__name__)
            continue
        reached.append(address)
    return tuple(reached)


def _message(
    connection: BaseEmailBackend, invoice: Invoice, bill: Bill, content: bytes, address: str
) -> EmailMultiAlternatives:
    head = bill.head
    due = head.due_at.astimezone(ZoneInfo(head.zone)).date() if head.due_at else None
    path = reverse("bill-detail", args=[invoice.account.public_id, head.public_id])
    context = {
        "account": invoice.account,
        "number": head.number,
        "why": bill_why(head.kind),
        "total": money_words(bill.total),
        "is_due": bill.total.minor > 0,
        "due": due,
        "seller": bill.seller.name,
        "url": f"{settings.PORTAL_URL}{path}",
    }
    message = EmailMultiAlternatives(
        subject=" ".join(render_to_string("bills/email/invoice_subject.txt", context).split()),
        body=render_to_string("bills/email/invoice_message.txt", context),
        to=[address],
        connection=connection,
    )
    message.attach_alternative(render_to_string("bills/email/invoice_message.html", context), "text/html")
    message.attach(f"{_file_name(head.number)}.pdf", content, PDF_TYPE)
    return message


def _file_name(number: str) -> str:
    return (
        "".join(char for char in number if char.isascii() and (char.isalnum() or char in "-_")) or "invoice"
    )
