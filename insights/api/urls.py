"""The addresses of the API, mounted at /api/. Whatever is not here answers with a problem document too."""

from __future__ import annotations

from django.urls import URLPattern, path, re_path

from accounts.access import public_page
from insights.api.errors import unknown_path
from insights.api.routes import ENDPOINTS
from insights.api.schema import openapi

urlpatterns: list[URLPattern] = [
    *ENDPOINTS,
    path("v1/openapi.json", openapi, name="api-openapi"),
    # Without an end it matches everything, line breaks too: no address of the API is answered with a page.
    re_path(r"", public_page(unknown_path), name="api-unknown"),
]
