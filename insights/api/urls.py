"""The addresses of the API, mounted at /api/. Whatever is not here answers with a problem document too."""

from __future__ import annotations

from django.urls import URLPattern, path, re_path
from django.views.decorators.csrf import csrf_exempt

from accounts.access import public_page
from insights.api.errors import unknown_path
from insights.api.routes import ENDPOINTS
from insights.api.schema import openapi

urlpatterns: list[URLPattern] = [
    *ENDPOINTS,
    path("v1/openapi.json", csrf_exempt(openapi), name="api-openapi"),
    # Without an end it matches everything, line breaks too: no address of the API is answered with a page.
    # It changes nothing, and a page about cookies would be no answer to a program.
    re_path(r"", csrf_exempt(public_page(unknown_path)), name="api-unknown"),
]
