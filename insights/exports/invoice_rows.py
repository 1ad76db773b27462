"""Invoices as finance sees them, as rows of a CSV. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from insights.billing.bill_document import instant_text
from insights.billing.finance_queries import InvoiceFacts
from insights.billing.price_words import money_number
from insights.exports.formatting import safe_text

COLUMNS = (
    "number", "id", "account", "account_name", "kind", "status", "period_start", "period_end", "currency", "total",
    "issued_at", "due_at", "parked_for", "settled_at", "settled_reason",
)  # fmt: skip


def invoice_rows(listed: Iterable[InvoiceFacts]) -> Iterator[list[str]]:
    """One row for each invoice, under a heading."""
    yield list(COLUMNS)
    for one in listed:
        yield [
            safe_text(one.number),
            str(one.public_id),
            safe_text(one.account.reference),
            safe_text(one.account.name),
            one.kind,
            str(one.status),
            instant_text(one.period.start) or "",
            instant_text(one.period.end) or "",
            one.total.currency,
            money_number(one.total),
            instant_text(one.issued_at) or "",
            instant_text(one.due_at) or "",
            safe_text(" ".join(reason.code for reason in one.reasons)),
            instant_text(one.settled_at) or "",
            safe_text(one.settled_reason),
        ]
