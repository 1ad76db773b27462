"""Lines and details of invoices as rows that are not stored, for tests that need no database."""

from __future__ import annotations

import json
from typing import Any

from insights.billing.basis import DraftLine
from insights.billing.details_mapping import details_text
from insights.billing.draft_operations import Drafted
from insights.billing.invoice_mapping import LINE_COLUMNS, Documents, line_values
from insights.models import LineItem


def line_row(line: DraftLine, *, account_id: int = 0, invoice_id: int = 0, position: int) -> LineItem:
    """The row of a line, with everything that its amount follows from."""
    values = dict(zip(LINE_COLUMNS, line_values(line, Documents()), strict=True))
    # As they come back from the database.
    values |= {"taxes": list(line.taxes), "allotted": dict(line.allotted), "values": dict(line.values)}
    return LineItem(account_id=account_id, invoice_id=invoice_id, position=position, **values)


def details_document(drafted: Drafted) -> dict[str, Any]:
    """What an invoice stores beside its lines."""
    document: dict[str, Any] = json.loads(
        details_text(
            drafted.loaded,
            drafted.draft,
            documents=Documents(),
            records=drafted.records,
            not_billed=drafted.not_billed,
        )
    )
    return document
