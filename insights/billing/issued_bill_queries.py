"""Issued invoices that usage may have come late for, with everything that rating them again takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from django.db.models import QuerySet

from insights.billing.basis import CreditOffer, DraftLine, IssuedBill, StoredLine, Unpriced
from insights.billing.corrections import correction_key
from insights.billing.given_back import came_back_before
from insights.billing.invoice_mapping import credits_of, line_of, segments_of, stored_line
from insights.billing.row_queries import EarlierInvoice
from insights.metering.late_queries import Stretch, read_late
from insights.models import Invoice, InvoiceKind, InvoiceState, LineItem, SettlementState
from insights.rating.invoice import LineKind
from insights.values.period import Period


def list_late(
    wanted: Sequence[tuple[int, int, datetime]], invoices: Mapping[int, list[EarlierInvoice]]
) -> Mapping[int, list[Stretch]]:
    """What came since the issued invoice before the one wanted, by account.

    `wanted` are accounts, subscriptions and up to when periods are corrected. The invoice just before looked at
    everything until its position; a later one may have been voided or issued before its turn, so its position says
    nothing.
    """
    after: dict[int, int] = {}
    for account, subscription, until in wanted:
        issued = [
            invoice.usage_as_of
            for invoice in invoices.get(subscription, ())
            if invoice.state == InvoiceState.ISSUED
            and invoice.kind != InvoiceKind.OPENING
            and invoice.period_end <= until
        ]
        if issued:
            after[account] = min(issued[-1], after.get(account, issued[-1]))
    return read_late(list(after), list(after.values())) if after else {}


def is_touched(late: Iterable[Stretch], invoice: EarlierInvoice) -> bool:
    return any(
        (first is None or first < invoice.period_end) and (end is None or end > invoice.period_start)
        for first, end in late
    )


def load_issued_bill(invoice: Invoice, *, comes_back: frozenset[int] = frozenset()) -> IssuedBill:
    """An issued invoice with its lines, and every correction of it on an issued invoice that counts.

    `comes_back` are ids of its fees billed ahead that are no part of it any more.
    """
    rows = list(LineItem.objects.filter(account=invoice.account_id, invoice=invoice.pk).order_by("position"))
    number = invoice.number or ""
    lines = tuple(stored_line(row, number) for row in rows)
    corrections = tuple(map(line_of, _corrections(invoice.account_id, invoice.pk)))
    details = invoice.details
    offers = credits_of(details["credits"])
    return IssuedBill(
        id=invoice.pk,
        number=number,
        period=Period(invoice.period_start, invoice.period_end),
        # As it was then: the anchor and the zone of a subscription may have changed since.
        whole=Period(*map(datetime.fromisoformat, details["whole"])),
        is_opening=invoice.kind == InvoiceKind.OPENING,
        segments=segments_of(details["segments"]),
        taxes={name: Decimal(text) for name, text in details["taxes"].items()},
        credits=offers,
        credits_used={offer.credit.key: _used(offer, number, lines, corrections) for offer in offers},
        lines=lines,
        corrections=corrections,
        unpriced=tuple(
            Unpriced(meter_key=one["meter_key"], unit=one["unit"], quantity=Decimal(one["quantity"]))
            for one in (*details["unpriced"], *details.get("priced_elsewhere", ()))
        ),
        comes_back=comes_back,
    )


def _corrections(account_id: int, invoice_id: int) -> QuerySet[LineItem]:
    """What issued invoices that are not void correct of this one, in their order."""
    rows = LineItem.objects.filter(
        account=account_id,
        corrects_invoice=invoice_id,
        kind=LineKind.CORRECTION,
        invoice__state=InvoiceState.ISSUED,
    )
    return rows.exclude(invoice__settlements__state=SettlementState.VOID).order_by("invoice_id", "position")


def list_fees_that_came_back(account_id: int, bill: IssuedBill) -> tuple[tuple[int, int], ...]:
    """List ids of the bill's fees that later bills took back by making it again, with the positions of these."""
    rows = _corrections(account_id, bill.id).values_list("corrects_id", "invoice__usage_as_of")
    positions = dict(rows)
    return tuple((line, positions[line]) for line in sorted(came_back_before(bill.lines, positions)))


def _used(
    offer: CreditOffer, number: str, lines: Iterable[StoredLine], corrections: Iterable[DraftLine]
) -> int:
    """What an issued invoice took of a credit, with what its corrections took or gave back."""
    key = f"credit {offer.credit.key}"
    billed = [stored.line for stored in lines if stored.line.key == key]
    corrected = [line for line in corrections if line.key == correction_key(number, key)]
    return -sum(line.minor for line in (*billed, *corrected))
