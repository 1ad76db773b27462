"""What the schema says about the endpoints of bills beyond the shapes."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

from insights.api import bill_serializers as shapes
from insights.api.difference_serializers import DifferenceSerializer
from insights.api.explain_serializers import (
    ConservationSerializer,
    LineProofSerializer,
    NextUnitPricesSerializer,
)
from insights.api.schema_parts import LIMIT, answer_header, header, path_id, problems, query
from insights.api.then_and_now_serializers import (
    EdgesSerializer,
    MovedRecordsSerializer,
    ThenAndNowSerializer,
)
from insights.billing.bill import BillStatus
from insights.explain.edges import MINUTES, MINUTES_DEFAULT
from insights.exports.stream import ZIP_TYPE

_TAGS = ["Bills"]
_POSITION = OpenApiParameter(
    "position", OpenApiTypes.INT, OpenApiParameter.PATH, required=True, description="The line's place on it."
)
_SCOPE = "For keys with `bills:read`."

LIST_INVOICES: dict[str, Any] = {
    "operation_id": "list_invoices",
    "description": f"List invoices, newest period first, drafts among them. {_SCOPE}",
    "tags": _TAGS,
    "parameters": [
        query("status", "Only of this status.", enum=[str(status) for status in BillStatus]),
        query(
            "from",
            "Periods that begin on this day of the billing zone or later.",
            type=OpenApiTypes.DATE,
        ),
        query("to", "Periods that begin on this day or earlier.", type=OpenApiTypes.DATE),
        LIMIT,
        query("cursor", "`next_cursor` of the page before, of the same query."),
    ],
    "responses": {200: shapes.InvoicesSerializer, **problems()},
}
READ_INVOICE: dict[str, Any] = {
    "operation_id": "read_invoice",
    "description": f"Read an invoice with the steps and terms of every line. {_SCOPE}",
    "tags": _TAGS,
    "parameters": [
        path_id("invoice_id"),
        header("If-None-Match", "The `ETag` of an earlier answer; 304 without a body while it holds."),
        answer_header("ETag", "Of an issued invoice.", statuses=[200]),
    ],
    "responses": {200: shapes.InvoiceSerializer, **problems(404)},
}
READ_LINE: dict[str, Any] = {
    "operation_id": "read_invoice_line",
    "description": (
        "Read everything behind one line of an invoice: its days and dimension values with amounts that add to it, "
        f"and the line counted and rated once more. {_SCOPE}"
    ),
    "tags": _TAGS,
    "parameters": [path_id("invoice_id"), _POSITION],
    "responses": {200: LineProofSerializer, **problems(404)},
}
READ_CONSERVATION: dict[str, Any] = {
    "operation_id": "read_where_usage_went",
    "description": (
        "Read what became of all usage of an invoice's period: charged, included, free, or not on this invoice and "
        f"why. {_SCOPE}"
    ),
    "tags": _TAGS,
    "parameters": [path_id("invoice_id")],
    "responses": {200: ConservationSerializer, **problems(404)},
}
READ_INVOICE_CSV: dict[str, Any] = {
    "operation_id": "download_invoice_lines",
    "description": f"Download the lines of an invoice in its order. {_SCOPE}",
    "tags": _TAGS,
    "parameters": [path_id("invoice_id")],
    "responses": {
        (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR, description="One line for each line item."),
        **problems(404),
    },
}
READ_INVOICE_PDF: dict[str, Any] = {
    "operation_id": "download_invoice_pdf",
    "description": (
        "Download the PDF as it was made at issue. Until it is made, 404 with the code `not_filed`. Of an "
        f"invoice that is not issued, one is made now and marked as a draft. {_SCOPE}"
    ),
    "tags": _TAGS,
    "parameters": [path_id("invoice_id")],
    "responses": {(200, "application/pdf"): OpenApiTypes.BINARY, **problems(404)},
}
READ_INVOICE_PROOF: dict[str, Any] = {
    "operation_id": "download_invoice_proof",
    "description": (
        "Stream a zip of an issued invoice, its terms, steps and usage records, with a program that calculates it "
        "again offline. The same bytes every time while no month of it is archived. Of an invoice that is not issued, "
        "404 with the code `not_issued`. For keys with `bills:read` and `usage:read`."
    ),
    "tags": _TAGS,
    "parameters": [
        path_id("invoice_id"),
        answer_header(
            "Download-Id",
            "Id of what was sent, at /api/v1/downloads/{id}: its SHA-256 and size are those of the zip.",
            type=OpenApiTypes.UUID,
            statuses=[200],
        ),
    ],
    "responses": {(200, ZIP_TYPE): OpenApiTypes.BINARY, **problems(404, 429)},
}
READ_DIFFERENCE: dict[str, Any] = {
    "operation_id": "read_invoice_difference",
    "description": (
        "Why an invoice is not what another one was: every change by its cause, to the minor unit, with the "
        "positions of the lines it is made of. Without an invoice before it, 404 with the code "
        f"`nothing_to_compare`. {_SCOPE}"
    ),
    "tags": _TAGS,
    "parameters": [
        path_id("invoice_id"),
        query(
            "with",
            "The id of the invoice to compare with; if absent, the one before of the same subscription.",
            type=OpenApiTypes.UUID,
        ),
    ],
    "responses": {200: DifferenceSerializer, **problems(404)},
}
_MOMENT = (
    query(
        "known_at",
        "The invoice as known at this instant: RFC 3339 with an offset. If neither it nor `position` is given, as "
        "known when the invoice was made.",
        type=OpenApiTypes.DATETIME,
    ),
    query("position", "The invoice as known at this ledger position.", type=OpenApiTypes.INT),
)
READ_THEN_AND_NOW: dict[str, Any] = {
    "operation_id": "read_invoice_then_and_now",
    "description": (
        "Read an invoice as it was known at a moment against the invoice as it would be now, rated by what made it: "
        "same plans, prices, fees, taxes and credits, other usage. Lines add to the totals, records that came or went "
        f"to the quantities; residuals are zero. {_SCOPE}"
    ),
    "tags": _TAGS,
    "parameters": [path_id("invoice_id"), *_MOMENT],
    "responses": {200: ThenAndNowSerializer, **problems(404)},
}
LIST_MOVED_RECORDS: dict[str, Any] = {
    "operation_id": "list_records_then_and_now",
    "description": (
        "List the records by which an invoice's usage now differs from that of a moment: each that came, and each that "
        "went. For keys with `bills:read` and `usage:read`."
    ),
    "tags": _TAGS,
    "parameters": [
        path_id("invoice_id"),
        *_MOMENT,
        LIMIT,
        query("cursor", "`next_cursor` of the page before, of the same query."),
    ],
    "responses": {200: MovedRecordsSerializer, **problems(404)},
}
DOWNLOAD_MOVED_RECORDS: dict[str, Any] = {
    "operation_id": "download_records_then_and_now",
    "description": (
        "Stream the same records as CSV. A whole answer is told from a cut one as with `/api/v1/usage.csv`. For keys "
        "with `bills:read` and `usage:read`."
    ),
    "tags": _TAGS,
    "parameters": [
        path_id("invoice_id"),
        *_MOMENT,
        query("raw", "1 leaves texts as they are, also what a spreadsheet would run.", enum=["0", "1"]),
        answer_header(
            "Download-Id",
            "Id of what was sent, at /api/v1/downloads/{id}.",
            type=OpenApiTypes.UUID,
            statuses=[200],
        ),
    ],
    "responses": {
        (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR, description="One line for each record."),
        **problems(404, 429),
    },
}
_WITHIN = query(
    "within",
    f"Minutes on either side of an edge; {MINUTES_DEFAULT} if absent.",
    enum=[str(minutes) for minutes in MINUTES],
)
READ_EDGES: dict[str, Any] = {
    "operation_id": "read_invoice_edges",
    "description": (
        "Read the edges of an invoice's period (its start and end, changes of plan, changes of the zone's clock) and a "
        "page of the records whose windows touch the minutes beside them, on both clocks, with the invoice that each "
        "went to. For keys with `bills:read` and `usage:read`."
    ),
    "tags": _TAGS,
    "parameters": [
        path_id("invoice_id"),
        _WITHIN,
        LIMIT,
        query("cursor", "`next_cursor` of the page before, of the same query."),
    ],
    "responses": {200: EdgesSerializer, **problems(404)},
}
DOWNLOAD_EDGES: dict[str, Any] = {
    "operation_id": "download_invoice_edges",
    "description": (
        "Stream the records beside the edges of an invoice's period as CSV, with the invoice that each went to. An "
        "answer that is cut short ends without its last chunk. For keys with `bills:read` and `usage:read`."
    ),
    "tags": _TAGS,
    "parameters": [path_id("invoice_id"), _WITHIN],
    "responses": {
        (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR, description="One line for each record."),
        **problems(404),
    },
}
LIST_CREDITS: dict[str, Any] = {
    "operation_id": "list_credits",
    "description": f"List every credit with what is left of it and every use, newest first. {_SCOPE}",
    "tags": _TAGS,
    "responses": {200: shapes.CreditsSerializer, **problems()},
}
LIST_PRICES: dict[str, Any] = {
    "operation_id": "list_prices",
    "description": f"List the plans in force with every price, as terms and in words. {_SCOPE}",
    "tags": _TAGS,
    "responses": {200: shapes.PricesSerializer, **problems()},
}
LIST_NEXT_UNITS: dict[str, Any] = {
    "operation_id": "list_next_unit_prices",
    "description": (
        "List what one more unit of everything that the running invoices have a price for costs, and how many until "
        f"that changes; before discounts of the whole invoice, credits and tax. {_SCOPE}"
    ),
    "tags": _TAGS,
    "responses": {200: NextUnitPricesSerializer, **problems()},
}
