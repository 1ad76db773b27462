"""One view, one context, two answers: the whole page, or the part of it that htmx asked for."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers


def render_page(
    request: HttpRequest, template: str, context: dict[str, Any], *, part: str, status: int = 200
) -> HttpResponse:
    """Render the named part for htmx and the page for everybody else; the view alone picks it."""
    htmx: Any = getattr(request, "htmx", None)
    wants_part = bool(htmx) and not htmx.history_restore_request
    response = render(request, f"{template}#{part}" if wants_part else template, context, status=status)
    patch_vary_headers(response, ["HX-Request"])
    return response
