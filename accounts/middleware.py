"""What every response carries, and what a request gets when the database is away."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase

Handler = Callable[[HttpRequest], HttpResponseBase]
logger = structlog.get_logger(__name__)


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
        if not isinstance(exception, OperationalError | InterfaceError):
            return None
        logger.error("database unavailable", path=request.path, error=type(exception).__name__)
        return HttpResponse(
            "The service is briefly unavailable. Nothing was changed; please try again.\n",
            status=503,
            content_type="text/plain; charset=utf-8",
            headers={"Retry-After": "5"},
        )
