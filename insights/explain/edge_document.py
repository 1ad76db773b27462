"""The records beside a bill's edges as plain JSON values: the API's answer. Quantities are texts. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from insights.billing.bill_document import instant_text
from insights.explain.edges import BillRef, EdgeCount, EdgeRecord, Went
from insights.explain.meter_naming import MeterNaming
from insights.values.quantity import exact_text


def edge_document(count: EdgeCount, zone: ZoneInfo) -> dict[str, Any]:
    """An edge on both clocks, with how many records touch the minutes beside it."""
    return {
        "kind": count.edge.kind.value,
        "at": instant_text(count.edge.at),
        "at_local": local_text(count.edge.at, zone),
        "plan": count.edge.plan or None,
        "records_before": count.before,
        "records_after": count.after,
    }


def edge_record_document(
    record: EdgeRecord, went: Went, zone: ZoneInfo, naming: MeterNaming
) -> dict[str, Any]:
    """A record on both clocks, and the bill it went to; `edge` is the place of its edge in the list of edges."""
    price_quantity, price_unit = naming.priced(record.meter, record.unit, record.quantity)
    return {
        "edge": record.at.edge,
        "window_start": instant_text(record.at.window_start),
        "window_end": instant_text(record.window_end),
        "window_start_local": local_text(record.at.window_start, zone),
        "window_end_local": local_text(record.window_end, zone),
        "meter": record.meter,
        "meter_name": naming.name_of(record.meter),
        "dimensions": dict(record.dimensions),
        "quantity": exact_text(record.quantity),
        "unit": record.unit,
        "price_quantity": price_quantity,
        "price_unit": price_unit,
        "row_id": record.at.row_id or None,
        "revision": record.revision,
        "source": record.source,
        "batch": None if record.batch is None else str(record.batch),
        "line": record.line,
        "outcome": went.outcome.value,
        "invoice": _bill(went.bill),
        "invoice_line": went.line,
        "corrected_on": _bill(went.corrected_on),
    }


def local_text(instant: datetime, zone: ZoneInfo) -> str:
    """An instant as the clock of a zone shows it, with its offset, which tells an hour from the same one again."""
    return instant.astimezone(zone).isoformat(timespec="seconds")


def _bill(bill: BillRef | None) -> dict[str, Any] | None:
    return None if bill is None else {"id": str(bill.public_id), "number": bill.number or None}
