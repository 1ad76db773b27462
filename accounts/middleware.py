"""What every response carries, and what a request gets when the database is away."""

from __future__ import annotations

import sys
from collections.abc import Callable

import structlog
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.views.defaults import server_error

Handler = Callable[[HttpRequest], HttpResponseBase]
logger = structlog.get_logger(__name__)

OUTAGES = (OperationalError, InterfaceError)


class PrivateResponseMiddleware:
    """Forbids every cache to keep what was answered, and says when support is looking; static files pass before."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request and mark the answer as private."""
        response = self.get_response(request)
        response["Cache-Control"] = "no-store"
        response["Permissions-Policy"] = "camera=(), geolocation=(), microphone=()"
        support_access = getattr(request, "support_access", None)
        if support_access is not None:
            # Said in a header too, since a fragment or a download carries no banner.
            response["Support-Access"] = f"active; expires={support_access.expires_at:%Y-%m-%dT%H:%M:%SZ}"
        return response


class DatabaseOutageMiddleware:
    """Turns a lost database into 503 with Retry-After, without a stack trace in the answer."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request."""
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer 503 for errors of the connection; every other error stays what it is."""
        return _unavailable(request, exception) if isinstance(exception, OUTAGES) else None


def answer_uncaught(request: HttpRequest) -> HttpResponse:
    """Answer what no view raised: a middleware that reads the session meets a lost database before any view does."""
    error = sys.exc_info()[1]
    return _unavailable(request, error) if isinstance(error, OUTAGES) else server_error(request)


def _unavailable(request: HttpRequest, error: Exception) -> HttpResponse:
    logger.error("database unavailable", path=request.path, error=type(error).__name__)
    return HttpResponse(
        "The service is briefly unavailable. Nothing was changed; please try again.\n",
        status=503,
        content_type="text/plain; charset=utf-8",
        headers={"Retry-After": "5", "Cache-Control": "no-store"},
    )
