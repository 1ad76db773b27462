"""What the schema says about each endpoint beyond the shapes: parameters, bodies, headers and refusals."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse

from insights.api import serializers
from insights.api.schema_parts import LIMIT, answer_header, header, path_id, problems, query
from insights.api.upload_headers import MEDIA_TYPES
from insights.exports.queries import CSV_KINDS, KINDS
from insights.metering.usage_filter import GRANULARITIES, MEASURES, PRESETS

_QUESTION = [
    query("meter", "A name from /api/v1/meters.", required=True),
    query(
        "measure",
        "usage: in units; cost: in money, as on the invoices, by day or month, for keys with `bills:read` too.",
        enum=MEASURES,
    ),
    query(
        "period",
        "A named period, in the account's billing zone; this-month if nothing is given.",
        enum=PRESETS,
    ),
    query("from", "First day, YYYY-MM-DD, in the billing zone; instead of `period`.", type=OpenApiTypes.DATE),
    query("to", "Last day, included.", type=OpenApiTypes.DATE),
    query("granularity", "Chosen by the length of the period if absent.", enum=GRANULARITIES),
    query("group_by", "A dimension of the meter: its ten largest values, and the rest where parts add up."),
    query("compare", "With the period of the same kind before, or with none.", enum=("previous", "none")),
    query(
        "clock",
        "Which clock instants of aggregates are written in; days stay those of the billing zone.",
        enum=("billing", "utc"),
    ),
    query(
        "known_at",
        "Usage as it was known at this instant: RFC 3339 with an offset, or a local time of the billing zone "
        "without one. Not in the future.",
    ),
    query(
        "position",
        "Usage as it was known at this ledger position; instead of `known_at`.",
        type=OpenApiTypes.INT,
    ),
]
# A name with a variable part has no form in OpenAPI, so it is said in words.
_DIMENSIONS = (
    "Besides the parameters named here, `dimension.<key>=<value>` (such as `dimension.region=eu-west`) keeps "
    "only usage with that value; given several times for one dimension, any of the values. Every other "
    "parameter is refused."
)
_CHANGES_HELP = "changes: the records that came or went since `known_at` or `position`."
_KIND_HELP = "aggregates: what the usage page shows; records: the usage records behind it."

SEND_BATCH: dict[str, Any] = {
    "operation_id": "send_batch",
    "tags": ["Sending"],
    "parameters": [
        header("Idempotency-Key", "1 to 255 visible ASCII characters; makes a repeat harmless."),
        header("Content-Encoding", "gzip, or absent.", enum=("gzip", "identity")),
        header("Content-Digest", "`sha-256=:…:`, base64 of the SHA-256 of the body as sent (RFC 9530)."),
        header("Usage-Rows", "How many rows the body has.", type=OpenApiTypes.INT),
        header("Usage-Revision", "The revision of every row that states none.", type=OpenApiTypes.INT),
        header(
            "Usage-Complete-To",
            "Instant up to which this source has now sent everything.",
            type=OpenApiTypes.DATETIME,
        ),
        header(
            "Usage-Backfill",
            "An open backfill of this source, which holds the batch until it is closed.",
            type=OpenApiTypes.UUID,
        ),
        answer_header("Location", "Where the receipt is.", statuses=[200, 202]),
        answer_header(
            "Idempotency-Replayed", "`true` when the first receipt is answered again.", statuses=[200, 202]
        ),
    ],
    "request": dict.fromkeys(MEDIA_TYPES, OpenApiTypes.BINARY),
    "responses": {
        200: OpenApiResponse(serializers.ReceiptSerializer, description="Finished, or set aside."),
        202: OpenApiResponse(serializers.ReceiptSerializer, description="Kept; being worked on, or held."),
        **problems(408, 409, 413, 415, 422),
    },
}
READ_RECEIPT: dict[str, Any] = {
    "operation_id": "read_receipt",
    "tags": ["Sending"],
    "parameters": [path_id("batch_id")],
    "responses": {200: serializers.ReceiptSerializer, **problems(404)},
}
READ_REJECTS: dict[str, Any] = {
    "operation_id": "list_rejected_lines",
    "tags": ["Sending"],
    "parameters": [
        path_id("batch_id"),
        query("after_line", "Lines behind this one.", type=OpenApiTypes.INT),
        LIMIT,
    ],
    "responses": {200: serializers.RejectsSerializer, **problems(404)},
}
LIST_METERS: dict[str, Any] = {
    "operation_id": "list_meters",
    "tags": ["Reading"],
    "responses": {200: serializers.MetersSerializer, **problems()},
}
READ_ACCOUNT: dict[str, Any] = {
    "operation_id": "read_account",
    "tags": ["Reading"],
    "responses": {200: serializers.AccountSerializer, **problems()},
}
READ_USAGE: dict[str, Any] = {
    "operation_id": "read_usage",
    "description": f"Read aggregates, whole, or records, page by page. {_DIMENSIONS}",
    "tags": ["Reading"],
    "parameters": [
        query("kind", _KIND_HELP, enum=KINDS),
        *_QUESTION,
        LIMIT,
        query("cursor", "`next_cursor` of the page before; for records of the same query."),
    ],
    "responses": {200: serializers.UsageSerializer, **problems()},
}
READ_USAGE_CSV: dict[str, Any] = {
    "operation_id": "download_usage",
    "description": (
        "Stream what the usage page shows, or the records behind it, as CSV. A cut answer ends without the "
        "last chunk, which every HTTP/1.1 client reports; the address in `Download-Id` tells rows, bytes and "
        f"SHA-256 of a whole one. {_DIMENSIONS}"
    ),
    "tags": ["Reading"],
    "parameters": [
        query("kind", f"{_KIND_HELP} {_CHANGES_HELP}", enum=CSV_KINDS, required=True),
        *_QUESTION,
        query(
            "raw",
            "1: texts as they are. Otherwise those that a spreadsheet would take for a formula get a "
            "leading apostrophe.",
            enum=("0", "1"),
        ),
        query(
            "compress",
            "gzip: a .csv.gz file. Accept-Encoding: gzip compresses on the way instead.",
            enum=("gzip", "none"),
        ),
        answer_header(
            "Download-Id",
            "Id of the proof at /api/v1/downloads/{id}.",
            type=OpenApiTypes.UUID,
            statuses=[200],
        ),
    ],
    "responses": {
        (200, "text/csv"): OpenApiResponse(
            OpenApiTypes.STR, description="Lines as they are read; no Content-Length."
        ),
        (200, "application/gzip"): OpenApiTypes.BINARY,
        **problems(429),
    },
}
READ_DOWNLOAD: dict[str, Any] = {
    "operation_id": "read_download",
    "tags": ["Reading"],
    "parameters": [path_id("download_id")],
    "responses": {200: serializers.DownloadSerializer, **problems(404)},
}
