"""Lines that were due in advance, with what their invoice took of them and added to them. Rows to facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from insights.billing.basis import StoredLine
from insights.billing.invoice_mapping import stored_line
from insights.models import Invoice, InvoiceKind, LineItem


def line_ahead(row: LineItem, invoice: Invoice) -> StoredLine:
    """A line that was due in advance, with what its invoice took of it and added to it, in percent."""
    details = invoice.details
    sheets = [segment["sheet"] for segment in details["segments"]]
    discounts = sheets[-1]["discounts"] if sheets else ()
    return replace(
        stored_line(row, invoice.number or ""),
        taxes={name: Decimal(text) for name, text in details["taxes"].items()},
        discounts=tuple(Decimal(one["percent"]) for one in discounts if one["percent"] is not None),
        # An invoice that opens a subscription has neither bounds nor a discount by an amount.
        is_by_amount=invoice.kind != InvoiceKind.OPENING and any(map(_goes_by_amount, sheets)),
    )


def _goes_by_amount(sheet: Mapping[str, Any]) -> bool:
    has_amount = any(one["amount"] is not None for one in sheet["discounts"])
    return has_amount or bool(sheet["minimum"]) or bool(sheet["maximum"])
