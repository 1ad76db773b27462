"""What the schema says about each endpoint beyond the shapes: parameters, bodies, headers and refusals."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

from insights.api import serializers
from insights.api.errors import PROBLEM_TYPE
from insights.api.parameters import LIMIT_DEFAULT, LIMIT_MAX
from insights.api.upload_headers import MEDIA_TYPES
from insights.exports.queries import CSV_KINDS, KINDS
from insights.metering.usage_filter import GRANULARITIES, PRESETS

_PROBLEM_WORDS = {
    400: "Not well formed; `code` and `field` say what.",
    401: "No key, or one that is unknown, revoked or expired.",
    403: "The key does not have the scope, or its source does not take usage.",
    404: "Absent, or not visible to this key.",
    406: "The Accept header takes nothing that this address makes.",
    408: "The body came too slowly.",
    409: "The first request with this Idempotency-Key is still being worked on, or the backfill takes nothing more.",
    413: "Above a limit, or an archive that unpacks to too much.",
    415: "Another media type, charset or content coding than is taken.",
    422: "Another body than declared, or than the first one with this Idempotency-Key.",
    429: "This key asked too often, its batches wait, or every download slot is taken; see Retry-After.",
    503: "Briefly unavailable; nothing was changed; see Retry-After.",
}


def _problems(*statuses: int) -> dict[Any, Any]:
    return {
        (status, PROBLEM_TYPE): OpenApiResponse(
            serializers.ProblemSerializer, description=_PROBLEM_WORDS[status]
        )
        for status in sorted({400, 401, 403, 406, 429, 503, *statuses})
    }


def _query(name: str, description: str, **more: Any) -> OpenApiParameter:
    return OpenApiParameter(
        name, more.pop("type", OpenApiTypes.STR), OpenApiParameter.QUERY, description=description, **more
    )


def _header(name: str, description: str, **more: Any) -> OpenApiParameter:
    return OpenApiParameter(
        name, more.pop("type", OpenApiTypes.STR), OpenApiParameter.HEADER, description=description, **more
    )


def _answer_header(name: str, description: str, **more: Any) -> OpenApiParameter:
    return _header(name, description, response=more.pop("statuses"), **more)


_LIMIT = _query(
    "limit", f"1 to {LIMIT_MAX}, otherwise refused; {LIMIT_DEFAULT} if absent.", type=OpenApiTypes.INT
)


def _id(name: str) -> OpenApiParameter:
    return OpenApiParameter(name, OpenApiTypes.UUID, OpenApiParameter.PATH, required=True)


_QUESTION = [
    _query("meter", "A name from /api/v1/meters.", required=True),
    _query(
        "period",
        "A named period, in the account's billing zone; this-month if nothing is given.",
        enum=PRESETS,
    ),
    _query(
        "from", "First day, YYYY-MM-DD, in the billing zone; instead of `period`.", type=OpenApiTypes.DATE
    ),
    _query("to", "Last day, included.", type=OpenApiTypes.DATE),
    _query("granularity", "Chosen by the length of the period if absent.", enum=GRANULARITIES),
    _query("group_by", "A dimension of the meter: its ten largest values, and the rest where parts add up."),
    _query("compare", "With the period of the same kind before, or with none.", enum=("previous", "none")),
    _query(
        "clock",
        "Which clock instants of aggregates are written in; days stay those of the billing zone.",
        enum=("billing", "utc"),
    ),
    _query(
        "known_at",
        "Usage as it was known at this instant: RFC 3339 with an offset, or a local time of the billing zone "
        "without one. Not in the future.",
    ),
    _query(
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
        _header("Idempotency-Key", "1 to 255 visible ASCII characters; makes a repeat harmless."),
        _header("Content-Encoding", "gzip, or absent.", enum=("gzip", "identity")),
        _header("Content-Digest", "`sha-256=:…:`, base64 of the SHA-256 of the body as sent (RFC 9530)."),
        _header("Usage-Rows", "How many rows the body has.", type=OpenApiTypes.INT),
        _header("Usage-Revision", "The revision of every row that states none.", type=OpenApiTypes.INT),
        _header(
            "Usage-Complete-To",
            "Instant up to which this source has now sent everything.",
            type=OpenApiTypes.DATETIME,
        ),
        _header(
            "Usage-Backfill",
            "An open backfill of this source, which holds the batch until it is closed.",
            type=OpenApiTypes.UUID,
        ),
        _answer_header("Location", "Where the receipt is.", statuses=[200, 202]),
        _answer_header(
            "Idempotency-Replayed", "`true` when the first receipt is answered again.", statuses=[200, 202]
        ),
    ],
    "request": dict.fromkeys(MEDIA_TYPES, OpenApiTypes.BINARY),
    "responses": {
        200: OpenApiResponse(serializers.ReceiptSerializer, description="Finished, or set aside."),
        202: OpenApiResponse(serializers.ReceiptSerializer, description="Kept; being worked on, or held."),
        **_problems(408, 409, 413, 415, 422),
    },
}
READ_RECEIPT: dict[str, Any] = {
    "operation_id": "read_receipt",
    "tags": ["Sending"],
    "parameters": [_id("batch_id")],
    "responses": {200: serializers.ReceiptSerializer, **_problems(404)},
}
READ_REJECTS: dict[str, Any] = {
    "operation_id": "list_rejected_lines",
    "tags": ["Sending"],
    "parameters": [
        _id("batch_id"),
        _query("after_line", "Lines behind this one.", type=OpenApiTypes.INT),
        _LIMIT,
    ],
    "responses": {200: serializers.RejectsSerializer, **_problems(404)},
}
LIST_METERS: dict[str, Any] = {
    "operation_id": "list_meters",
    "tags": ["Reading"],
    "responses": {200: serializers.MetersSerializer, **_problems()},
}
READ_ACCOUNT: dict[str, Any] = {
    "operation_id": "read_account",
    "tags": ["Reading"],
    "responses": {200: serializers.AccountSerializer, **_problems()},
}
READ_USAGE: dict[str, Any] = {
    "operation_id": "read_usage",
    "description": f"Read aggregates, whole, or records, page by page. {_DIMENSIONS}",
    "tags": ["Reading"],
    "parameters": [
        _query("kind", _KIND_HELP, enum=KINDS),
        *_QUESTION,
        _LIMIT,
        _query("cursor", "`next_cursor` of the page before; for records of the same query."),
    ],
    "responses": {200: serializers.UsageSerializer, **_problems()},
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
        _query("kind", f"{_KIND_HELP} {_CHANGES_HELP}", enum=CSV_KINDS, required=True),
        *_QUESTION,
        _query(
            "raw",
            "1: texts as they are. Otherwise those that a spreadsheet would take for a formula get a "
            "leading apostrophe.",
            enum=("0", "1"),
        ),
        _query(
            "compress",
            "gzip: a .csv.gz file. Accept-Encoding: gzip compresses on the way instead.",
            enum=("gzip", "none"),
        ),
        _answer_header(
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
        **_problems(429),
    },
}
READ_DOWNLOAD: dict[str, Any] = {
    "operation_id": "read_download",
    "tags": ["Reading"],
    "parameters": [_id("download_id")],
    "responses": {200: serializers.DownloadSerializer, **_problems(404)},
}
