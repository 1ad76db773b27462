"""The one form in which the API says no: RFC 9457 problem details with a code that never changes.

Says what to mend and where; never a path, a statement, a key or another account's value.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from rest_framework import exceptions
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

from insights.ingest.refusals import CODES, Refusal, RequestRefused
from insights.metering.faults import UsageFilterRefused

PROBLEM_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = {"in_progress": 2, "too_many_batches": 10, "too_many_downloads": 10, "unavailable": 5}
NOT_FOUND_DETAIL = "There is nothing at this address, or this key may not see it."

logger = structlog.get_logger(__name__)

# Codes of the API itself. Those that concern what was sent stand in insights/ingest/refusals.py.
API_CODES: dict[str, int] = {
    "after_line": 400,
    "body_timeout": 408,
    "compress": 400,
    "cursor": 400,
    "date_format": 400,
    "different_currencies": 400,
    "different_interval": 400,
    "duplicate_quantity": 400,
    "duplicate_parameter": 400,
    "internal": 500,
    "kind": 400,
    "limit": 400,
    "malformed_request": 400,
    "method_not_allowed": 405,
    "measure": 400,
    "missing_parameter": 400,
    "not_acceptable": 406,
    "not_authenticated": 401,
    "no_closed_period": 400,
    "nothing_to_compare": 404,
    "note": 400,
    "not_filed": 404,
    "not_issued": 404,
    "not_found": 404,
    "not_running": 404,
    "parameter": 400,
    "periods": 400,
    "permission_denied": 403,
    "prices": 400,
    "range": 400,
    "position": 400,
    "position_future": 400,
    "range_too_large": 400,
    "raw": 400,
    "same_invoice": 400,
    "too_many_downloads": 429,
    "too_many_quantities": 400,
    "too_many_requests": 429,
    "too_many_values": 400,
    "unavailable": 503,
    "unknown_clock": 400,
    "unknown_compare": 400,
    "unknown_currency": 400,
    "unknown_dimension": 400,
    "unknown_fee": 400,
    "unknown_granularity": 400,
    "unknown_measure": 400,
    "unknown_parameter": 400,
    "status": 400,
    "unknown_period": 400,
    "unknown_plan": 400,
    "unknown_subscription": 400,
    "unknown_values": 400,
    "with": 400,
    "within": 400,
}


class Problem(exceptions.APIException):
    """An answer that says no. `field` names the header, parameter or column; `line` is a physical line."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        status: int | None = None,
        line: int | None = None,
        field: str | None = None,
        errors: tuple[dict[str, str], ...] = (),
        retry_after: int | None = None,
    ) -> None:
        super().__init__(detail, code)
        self.status_code = status or _status_of(code)
        self.code = code
        self.line = line
        self.field = field
        self.errors = errors
        # Read like the `wait` of DRF's own throttling, in whole seconds.
        self.wait = retry_after


def _status_of(code: str) -> int:
    if code in API_CODES:
        return API_CODES[code]
    return CODES[code].status or HTTPStatus.BAD_REQUEST


def problem_body(
    *, status: int, code: str, detail: str, line: int | None = None, field: str | None = None
) -> dict[str, Any]:
    """Return the members of a problem document; those without a value are left out."""
    detail, field = _written(detail), field and _written(field)
    body: dict[str, Any] = {
        "type": f"urn:usage-portal:problem:{code}",
        "code": code,
        "status": status,
        "title": code.replace("_", " ").capitalize(),
        "detail": detail,
    }
    if line is not None:
        body["line"] = line
    if field:
        body["field"] = field
    return body


def _written(text: str) -> str:
    """The text as UTF-8 can hold it: what quotes a request may quote the half of a surrogate pair."""
    return text.encode(errors="backslashreplace").decode()


def problem_response(exc: Exception, context: Mapping[str, Any]) -> Response:
    """Turn whatever a view raised into a problem document; what nobody foresaw is logged and told as 500."""
    problem = _as_problem(exc)
    if problem.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.error("request failed", code=problem.code, error=type(exc).__name__, exc_info=exc)
    body = problem_body(
        status=problem.status_code,
        code=problem.code,
        detail=str(problem.detail),
        line=problem.line,
        field=problem.field,
    )
    if problem.errors:
        body["errors"] = list(problem.errors)
    response = Response(
        body, status=problem.status_code, headers=_headers(exc, problem), content_type=PROBLEM_TYPE
    )
    # A view may have negotiated CSV, or failed before negotiating; the problem is JSON either way.
    request = context.get("request")
    if request is not None:
        request.accepted_renderer = JSONRenderer()
        request.accepted_media_type = "application/json"
    return response


def _headers(exc: Exception, problem: Problem) -> dict[str, str]:
    headers = {}
    if challenge := getattr(exc, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    wait = getattr(exc, "wait", None) or RETRY_AFTER_SECONDS.get(problem.code)
    if wait:
        headers["Retry-After"] = str(int(wait))
    return headers


def _as_problem(exc: Exception) -> Problem:
    match exc:
        case Problem():
            return exc
        case RequestRefused():
            return Problem(exc.code, exc.detail, status=exc.status, line=exc.line, field=exc.field)
        case UsageFilterRefused():
            return _refused_question(exc)
        case Refusal():
            return Problem(exc.code, exc.message, status=HTTPStatus.BAD_REQUEST, field=exc.field)
        case Http404() | exceptions.NotFound():
            return Problem("not_found", NOT_FOUND_DETAIL)
        case exceptions.AuthenticationFailed() | exceptions.NotAuthenticated():
            return Problem("not_authenticated", str(exc.detail), status=exc.status_code)
        case PermissionDenied():
            return Problem("permission_denied", "This key may not do that.")
        case RequestDataTooBig():
            return Problem("body_too_large", "The body is larger than this address takes.")
        case OperationalError() | InterfaceError():
            return Problem(
                "unavailable", "The service is briefly unavailable. Nothing was changed; please try again."
            )
        case SuspiciousOperation():
            return Problem("malformed_request", "The request is not well formed.")
        case exceptions.APIException():
            return _framework_problem(exc)
    return Problem("internal", "Something failed on our side. It was recorded; please try again.")


def _refused_question(refused: UsageFilterRefused) -> Problem:
    """The first fault, and all of them if there are several."""
    first = refused.faults[0]
    errors = tuple(
        {"code": fault.code, "field": fault.field, "detail": fault.message} for fault in refused.faults
    )
    more = errors if len(errors) > 1 else ()
    return Problem(first.code, first.message, field=first.field, status=HTTPStatus.BAD_REQUEST, errors=more)


_FRAMEWORK_CODES = {
    HTTPStatus.FORBIDDEN: "permission_denied",
    HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
    HTTPStatus.NOT_ACCEPTABLE: "not_acceptable",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "unsupported_media_type",
    HTTPStatus.TOO_MANY_REQUESTS: "too_many_requests",
}


def _framework_problem(exc: exceptions.APIException) -> Problem:
    code = _FRAMEWORK_CODES.get(HTTPStatus(exc.status_code), "malformed_request")
    return Problem(code, str(exc.detail), status=exc.status_code)


def unknown_path(request: HttpRequest, **_parts: str) -> HttpResponse:
    """Answer every path of the API that does not exist, exactly as an absent id is answered."""
    body = problem_body(status=404, code="not_found", detail=NOT_FOUND_DETAIL)
    return HttpResponse(JSONRenderer().render(body), status=404, content_type=PROBLEM_TYPE)
