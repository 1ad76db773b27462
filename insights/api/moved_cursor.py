"""The place where a page of records between two moments ended, signed, and good only for its account and question."""

from __future__ import annotations

from datetime import datetime

from insights.api.cursor import read_signed, write_signed
from insights.exports.between_queries import MovedPlace

_SALT = "moved records cursor"


def write_moved_place(place: MovedPlace, *, account_id: int, question: str) -> str:
    """Return the place as opaque text."""
    content = [place.series_id, place.window_start.isoformat(), place.row_id, place.came]
    return write_signed(content, salt=_SALT, account_id=account_id, question=question)


def read_moved_place(text: str, *, account_id: int, question: str) -> MovedPlace:
    """Return the place, or refuse one that is not ours or belongs to another question."""
    series_id, window_start, row_id, came = read_signed(
        text, salt=_SALT, account_id=account_id, question=question
    )
    return MovedPlace(series_id, datetime.fromisoformat(window_start), row_id, came)
