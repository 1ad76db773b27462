"""The place where a page of records beside edges ended, signed, and good only for its account and question."""

from __future__ import annotations

from datetime import datetime

from insights.api.cursor import read_signed, write_signed
from insights.explain.edges import EdgePlace

_SALT = "edge records cursor"


def write_edge_place(place: EdgePlace, *, account_id: int, question: str) -> str:
    """Return the place as opaque text."""
    content = [place.edge, place.window_start.isoformat(), place.series_id, place.row_id]
    return write_signed(content, salt=_SALT, account_id=account_id, question=question)


def read_edge_place(text: str, *, account_id: int, question: str) -> EdgePlace:
    """Return the place, or refuse one that is not ours or belongs to another question."""
    edge, window_start, series_id, row_id = read_signed(
        text, salt=_SALT, account_id=account_id, question=question
    )
    return EdgePlace(edge, datetime.fromisoformat(window_start), series_id, row_id)
