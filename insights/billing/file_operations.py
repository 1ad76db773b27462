"""The file of an issued invoice: made once, kept for ever, never made again."""

from __future__ import annotations

import hashlib
from datetime import datetime

from django.db import transaction

from accounts.tenancy import as_worker
from insights.billing.bill_pdf import render_invoice_pdf
from insights.billing.bill_queries import PDF_TYPE, get_bill
from insights.models import Invoice, InvoiceFile, InvoiceState


class NotIssued(ValueError):
    """Only an issued invoice has a file."""


def file_invoice(invoice_id: int, *, now: datetime) -> bool:
    """Make and keep the PDF of an issued invoice, as the worker; True if it was made now.

    May be called again at any time: of two at once, one keeps its file and the other finds it. Raises NotIssued.
    """
    with as_worker():
        invoice = Invoice.objects.select_related("account").get(pk=invoice_id)
        if invoice.state != InvoiceState.ISSUED:
            raise NotIssued(f"invoice {invoice.public_id} is {invoice.state}")
        files = InvoiceFile.objects.for_account(invoice.account).filter(invoice=invoice, media_type=PDF_TYPE)
        if files.exists():
            return False
        bill = get_bill(invoice.account, public_id=invoice.public_id, now=now)
        if bill is None:
            raise LookupError(f"invoice {invoice.public_id} is gone")
        content = render_invoice_pdf(bill)
        with transaction.atomic(using="worker"):
            _, is_new = InvoiceFile.objects.get_or_create(
                account=invoice.account,
                invoice=invoice,
                media_type=PDF_TYPE,
                defaults={"content": content, "sha256": hashlib.sha256(content).digest()},
            )
    return is_new
