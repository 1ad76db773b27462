"""The place where a page of invoices ended, signed, and good only for the account and the question it came from."""

from __future__ import annotations

from datetime import datetime

from django.core import signing

from insights.api.cursor import CURSOR_CHARACTERS_MAX, fingerprint
from insights.api.errors import Problem
from insights.billing.bill_queries import BillPlace

_SALT = "invoices cursor"


def write_place(place: BillPlace, *, account_id: int, question: str) -> str:
    """Return the place as opaque text."""
    content = [fingerprint(account_id, question), place.period_start.isoformat(), place.invoice_id]
    return signing.dumps(content, salt=_SALT, compress=True)


def read_place(text: str, *, account_id: int, question: str) -> BillPlace:
    """Return the place, or refuse one that is not ours or belongs to another question."""
    try:
        content = signing.loads(text[: CURSOR_CHARACTERS_MAX + 1], salt=_SALT)
    except signing.BadSignature:
        raise Problem("cursor", "This cursor was not given by this address.", field="cursor") from None
    mark, period_start, invoice_id = content
    if mark != fingerprint(account_id, question):
        raise Problem(
            "cursor", "This cursor belongs to another query; begin again without it.", field="cursor"
        )
    return BillPlace(datetime.fromisoformat(period_start), invoice_id)
