"""Tables of pages as CSV: whole ones, and long ones that are read bit by bit while they are sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

from insights.exports.bill_rows import as_csv
from insights.exports.formatting import csv_lines
from insights.exports.stream import bound_each_send, gather_lines

CSV_TYPE = "text/csv; charset=utf-8"
# Rows that a long file reads at once, in one short transaction.
ROWS_AT_ONCE = 1_000
Row = TypeVar("Row")
Place = TypeVar("Place")


def read_by_pages(
    scope: Callable[[], AbstractContextManager[object]],
    read: Callable[[Place | None, int], Sequence[Row]],
    place_of: Callable[[Row], Place],
) -> Iterator[Row]:
    """Every row, some behind a place at a time; each scope ends before what was read in it is sent."""
    place: Place | None = None
    while True:
        with scope():
            found = read(place, ROWS_AT_ONCE)
        yield from found
        if len(found) < ROWS_AT_ONCE:
            return
        place = place_of(found[-1])


def csv_file(rows: Iterable[Iterable[str]], name: str) -> HttpResponse:
    """A CSV to save, of rows that are all at hand."""
    return HttpResponse(as_csv(rows), headers=_headers(name))


def csv_stream(request: HttpRequest, rows: Iterable[Iterable[str]], name: str) -> HttpResponseBase:
    """A CSV to save, of as many rows as there are; they are read after the page's own transaction has ended."""
    if request.method == "HEAD":
        return HttpResponse(headers=_headers(name))
    bound_each_send(request.META, seconds=settings.DOWNLOAD_STALL_SECONDS)
    pieces = (piece.text for piece in gather_lines(csv_lines(rows)))
    return StreamingHttpResponse(pieces, headers=_headers(name))


def _headers(name: str) -> dict[str, str]:
    return {"Content-Type": CSV_TYPE, "Content-Disposition": f'attachment; filename="{name}"'}
