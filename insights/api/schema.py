"""The OpenAPI description of the API, made once per process, since nothing in it depends on who asks."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.urls import include, path
from django.views.decorators.http import require_safe
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema

from accounts.access import public_page
from insights.api.routes import ENDPOINTS


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Describes the bearer keys."""

    target_class = "accounts.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        """Return the security scheme."""
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "`Authorization: Bearer up_live_…`. Source keys send usage, account keys read it.",
        }


@lru_cache(maxsize=1)
def api_schema() -> dict[str, Any]:
    """Return the description of every endpoint of the API."""
    generator = SchemaGenerator(patterns=[path("api/", include(ENDPOINTS))])
    schema: dict[str, Any] = generator.get_schema(request=None, public=True)
    return schema


@public_page
@require_safe
def openapi(request: HttpRequest) -> HttpResponseBase:
    """Answer with the description."""
    return JsonResponse(api_schema())
