"""The records beside a bill's edges as rows of a CSV. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from zoneinfo import ZoneInfo

from insights.billing.bill_document import instant_text
from insights.explain.edge_document import local_text
from insights.explain.edges import Edge, EdgeRecord, Went
from insights.explain.meter_naming import MeterNaming
from insights.exports.formatting import column_names, safe_text
from insights.values.quantity import exact_text

COLUMNS_BEFORE = (
    "edge", "edge_at", "edge_at_local", "side", "meter", "meter_name", "window_start", "window_end",
    "window_start_local", "window_end_local",
)  # fmt: skip
COLUMNS_AFTER = (
    "quantity", "unit", "price_quantity", "price_unit", "row_id", "revision", "source", "batch", "line", "outcome",
    "bill", "bill_number", "bill_line", "corrected_on",
)  # fmt: skip


def edge_rows(
    found: Iterable[tuple[EdgeRecord, Went]],
    *,
    edges: Sequence[Edge],
    dimension_keys: tuple[str, ...],
    zone: ZoneInfo,
    naming: MeterNaming,
) -> Iterator[list[str]]:
    """Each record under a heading, on both clocks, with its bill and its quantity as a price names it too."""
    yield column_names(fixed_before=COLUMNS_BEFORE, dimensions=dimension_keys, fixed_after=COLUMNS_AFTER)
    for record, went in found:
        edge = edges[record.at.edge]
        price_quantity, price_unit = naming.priced(record.meter, record.unit, record.quantity)
        yield [
            edge.kind.value,
            instant_text(edge.at) or "",
            local_text(edge.at, zone),
            "after" if record.is_after(edge) else "before",
            record.meter,
            safe_text(naming.name_of(record.meter)),
            instant_text(record.at.window_start) or "",
            instant_text(record.window_end) or "",
            local_text(record.at.window_start, zone),
            local_text(record.window_end, zone),
            *(safe_text(record.dimensions.get(key, "")) for key in dimension_keys),
            exact_text(record.quantity),
            safe_text(record.unit),
            price_quantity,
            safe_text(price_unit),
            safe_text(record.at.row_id),
            str(record.revision),
            record.source,
            "" if record.batch is None else str(record.batch),
            str(record.line),
            went.outcome.value,
            str(went.bill.public_id) if went.bill else "",
            safe_text(went.bill.number) if went.bill else "",
            "" if went.line is None else str(went.line),
            safe_text(went.corrected_on.number) if went.corrected_on else "",
        ]
