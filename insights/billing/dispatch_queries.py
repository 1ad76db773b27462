"""Which issued invoices still lack their file, or the mail that brings them."""

from __future__ import annotations

from datetime import datetime, timedelta

from insights.models import Invoice, InvoiceState, Settlement, SettlementState

# An invoice that nobody could be sent in this time is not news any more.
MAILED_WITHIN = timedelta(days=7)


def list_invoices_to_file(*, limit: int) -> list[int]:
    """Ids of issued invoices without a file, the newest first."""
    waiting = Invoice.objects.filter(state=InvoiceState.ISSUED, files__isnull=True)
    return list(waiting.order_by("-issued_at", "-id").values_list("pk", flat=True)[:limit])


def list_invoices_to_mail(now: datetime, *, limit: int) -> list[int]:
    """Ids of invoices issued lately that nobody was sent, the oldest first; void ones are not sent."""
    waiting = Settlement.objects.filter(
        mailed_at__isnull=True, invoice__issued_at__gt=now - MAILED_WITHIN
    ).exclude(state=SettlementState.VOID)
    return list(waiting.order_by("invoice__issued_at", "id").values_list("invoice_id", flat=True)[:limit])
