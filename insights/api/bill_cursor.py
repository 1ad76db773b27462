"""The place where a page of invoices ended, signed, and good only for the account and the question it came from."""

from __future__ import annotations

from datetime import datetime

from insights.api.cursor import read_signed, write_signed
from insights.billing.bill_queries import BillPlace

_SALT = "invoices cursor"


def write_place(place: BillPlace, *, account_id: int, question: str) -> str:
    """Return the place as opaque text."""
    content = [place.period_start.isoformat(), place.invoice_id]
    return write_signed(content, salt=_SALT, account_id=account_id, question=question)


def read_place(text: str, *, account_id: int, question: str) -> BillPlace:
    """Return the place, or refuse one that is not ours or belongs to another question."""
    period_start, invoice_id = read_signed(text, salt=_SALT, account_id=account_id, question=question)
    return BillPlace(datetime.fromisoformat(period_start), invoice_id)
