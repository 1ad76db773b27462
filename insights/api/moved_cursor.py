"""The place where a page of records between two moments ended, signed, and good only for its account and question."""

from __future__ import annotations

from datetime import datetime

from django.core import signing

from insights.api.cursor import CURSOR_CHARACTERS_MAX, fingerprint
from insights.api.errors import Problem
from insights.exports.between_queries import MovedPlace

_SALT = "moved records cursor"


def write_moved_place(place: MovedPlace, *, account_id: int, question: str) -> str:
    """Return the place as opaque text."""
    content = [
        fingerprint(account_id, question),
        place.series_id,
        place.window_start.isoformat(),
        place.row_id,
        place.came,
    ]
    return signing.dumps(content, salt=_SALT, compress=True)


def read_moved_place(text: str, *, account_id: int, question: str) -> MovedPlace:
    """Return the place, or refuse one that is not ours or belongs to another question."""
    try:
        content = signing.loads(text[: CURSOR_CHARACTERS_MAX + 1], salt=_SALT)
    except signing.BadSignature:
        raise Problem("cursor", "This cursor was not given by this address.", field="cursor") from None
    mark, series_id, window_start, row_id, came = content
    if mark != fingerprint(account_id, question):
        raise Problem(
            "cursor", "This cursor belongs to another query; begin again without it.", field="cursor"
        )
    return MovedPlace(series_id, datetime.fromisoformat(window_start), row_id, came)
