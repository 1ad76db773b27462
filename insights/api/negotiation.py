"""Chooses what to answer with from the Accept header. A browser's text/html gets the endpoint's own form."""

from __future__ import annotations

from collections.abc import Iterable

from django.urls import Resolver404, resolve
from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

JSON = "application/json"
CSV = "text/csv"
_EVERYTHING = "*/*"
_BROWSER = "text/html"


class StatedNegotiation(BaseContentNegotiation):
    """Compares the Accept header with the media type a view names in `produces`; there is no ?format=."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        """Return the only parser; bodies are read as streams and not through it."""
        return next(iter(parsers), None)

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """Return the renderer, or raise NotAcceptable where the client takes nothing that we make."""
        view = (request.parser_context or {}).get("view")
        produced: str = getattr(view, "produces", JSON)
        if not accepts(request.META.get("HTTP_ACCEPT", _EVERYTHING), produced):
            raise NotAcceptable(f"This address answers with {produced}.{_csv_beside(request.path)}")
        return next(iter(renderers)), JSON


def _csv_beside(path: str) -> str:
    """Where the same is to be had as CSV; empty where it is not."""
    beside = f"{path}.csv"
    try:
        # Whatever no address fits is answered by a view too.
        view = getattr(resolve(beside).func, "cls", None)
    except Resolver404:
        return ""
    return f" As CSV it is at {beside}." if getattr(view, "produces", JSON) == CSV else ""


def accepts(header: str, produced: str) -> bool:
    """Tell whether an Accept header takes a media type. The most exact match decides, as in RFC 9110."""
    main = produced.partition("/")[0]
    ranks = {produced: 3, f"{main}/*": 2, _BROWSER: 1, _EVERYTHING: 0}
    best, taken = -1, False
    for part in header.lower().split(","):
        media_range, _, parameters = part.strip().partition(";")
        rank = ranks.get(media_range.strip() or _EVERYTHING, -1)
        if rank > best:
            best, taken = rank, not _is_refused(parameters)
    return taken


def _is_refused(parameters: str) -> bool:
    for parameter in parameters.split(";"):
        name, _, weight = parameter.partition("=")
        if name.strip() == "q":
            return weight.strip().rstrip("0") in ("", "0.", "0") and weight.strip() != ""
    return False
