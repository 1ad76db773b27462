"""The lines of bills as they are stored, what they correct, and which bills correct them.

Call inside an account's scope; every query names the account besides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from django.db.models import Exists, OuterRef, Prefetch, prefetch_related_objects

from accounts.models import Account
from accounts.tenancy import connection
from insights.billing.bill import BillLine
from insights.billing.bill_mapping import line_of, with_correction
from insights.models import Invoice, InvoiceState, LineItem, Settlement, SettlementState


def list_lines(account: Account, invoices: Sequence[Invoice]) -> dict[int, list[BillLine]]:
    """The lines of each invoice in their order."""
    by_invoice: dict[int, list[LineItem]] = {invoice.pk: [] for invoice in invoices}
    rows = list(
        LineItem.objects.for_account(account).filter(invoice__in=list(by_invoice)).order_by("position")
    )
    # Few bills correct others, so that what is corrected is not joined to every line of every bill.
    prefetch_related_objects(
        [row for row in rows if row.corrects_invoice_id],
        Prefetch("corrects", LineItem.objects.for_account(account)),
        Prefetch("corrects_invoice", Invoice.objects.for_account(account).defer("details")),
    )
    for row in rows:
        by_invoice[row.invoice_id].append(row)
    names = meter_names({row.meter_key for row in rows if row.meter_key})
    return {invoice.pk: _lines_of(account, invoice, by_invoice[invoice.pk], names) for invoice in invoices}


def _lines_of(
    account: Account, invoice: Invoice, rows: Sequence[LineItem], names: Mapping[str, str]
) -> list[BillLine]:
    earlier = _earlier_corrections(account, invoice, [row.corrects_id for row in rows if row.corrects_id])
    return [
        with_correction(
            line_of(row, invoice.currency, meter_names=names),
            row,
            earlier=earlier.get(row.corrects_id or 0, ()),
        )
        for row in rows
    ]


# Asked on most pages, so in plain SQL.
_METER_NAMES = "SELECT key, name FROM insights_meter WHERE key = ANY(%s) ORDER BY key, version"


def meter_names(keys: set[str]) -> dict[str, str]:
    """The name of each meter's newest version."""
    with connection().cursor() as cursor:
        cursor.execute(_METER_NAMES, [list(keys)])
        return dict(cursor.fetchall())


def _earlier_corrections(
    account: Account, invoice: Invoice, line_ids: Sequence[int]
) -> dict[int, list[LineItem]]:
    """What issued bills that are not void corrected of the same lines before this one, by line."""
    if not line_ids:
        return {}
    void = Settlement.objects.filter(
        account=account, invoice=OuterRef("invoice_id"), state=SettlementState.VOID
    )
    rows = LineItem.objects.for_account(account).filter(
        corrects__in=line_ids,
        corrects_invoice__isnull=False,
        invoice__state=InvoiceState.ISSUED,
        invoice__lt=invoice.pk,
    )
    found: dict[int, list[LineItem]] = {}
    for row in rows.exclude(Exists(void)):
        found.setdefault(row.corrects_id or 0, []).append(row)
    return found


def list_correcting(account: Account, invoices: Sequence[Invoice]) -> dict[int, list[tuple[UUID, str]]]:
    """The ids and numbers of the issued bills with corrections of each, in order."""
    lines = LineItem.objects.for_account(account).filter(
        corrects_invoice__in=[invoice.pk for invoice in invoices], invoice__state=InvoiceState.ISSUED
    )
    rows = lines.order_by("invoice__period_start", "invoice_id").values_list(
        "corrects_invoice_id", "invoice__public_id", "invoice__number"
    )
    found: dict[int, list[tuple[UUID, str]]] = {invoice.pk: [] for invoice in invoices}
    # A bill has many lines that correct the same one.
    for corrected, public_id, number in dict.fromkeys(rows):
        found[corrected].append((public_id, number or ""))
    return found
