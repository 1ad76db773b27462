"""What descriptions of endpoints are put together from: parameters, headers and refusals in one form."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

from insights.api import serializers
from insights.api.errors import PROBLEM_TYPE
from insights.api.parameters import LIMIT_DEFAULT, LIMIT_MAX

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


def problems(*statuses: int) -> dict[Any, Any]:
    """The refusals of an endpoint: those of every one, and these."""
    return {
        (status, PROBLEM_TYPE): OpenApiResponse(
            serializers.ProblemSerializer, description=_PROBLEM_WORDS[status]
        )
        for status in sorted({400, 401, 403, 406, 429, 503, *statuses})
    }


def query(name: str, description: str, **more: Any) -> OpenApiParameter:
    """A parameter of the query string."""
    return OpenApiParameter(
        name, more.pop("type", OpenApiTypes.STR), OpenApiParameter.QUERY, description=description, **more
    )


def header(name: str, description: str, **more: Any) -> OpenApiParameter:
    """A header of the request."""
    return OpenApiParameter(
        name, more.pop("type", OpenApiTypes.STR), OpenApiParameter.HEADER, description=description, **more
    )


def answer_header(name: str, description: str, **more: Any) -> OpenApiParameter:
    """A header of the answers with these statuses."""
    return header(name, description, response=more.pop("statuses"), **more)


LIMIT = query(
    "limit", f"1 to {LIMIT_MAX}, otherwise refused; {LIMIT_DEFAULT} if absent.", type=OpenApiTypes.INT
)


def path_id(name: str) -> OpenApiParameter:
    """An id in the address."""
    return OpenApiParameter(name, OpenApiTypes.UUID, OpenApiParameter.PATH, required=True)
