"""The place where a page of records ended, signed, and good only for the account and the question it came
from.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

from django.core import signing

from insights.api.errors import Problem
from insights.exports.queries import RecordPosition

_SALT = "usage records cursor"
CURSOR_CHARACTERS_MAX = 2000


def write_cursor(position: RecordPosition, *, account_id: int, question: str) -> str:
    """Return the position as opaque text."""
    content = [
        fingerprint(account_id, question),
        position.series_id,
        position.window_start.isoformat(),
        position.row_id,
    ]
    return signing.dumps(content, salt=_SALT, compress=True)


def read_cursor(text: str, *, account_id: int, question: str) -> RecordPosition:
    """Return the position, or refuse a cursor that is not ours or belongs to another question."""
    try:
        content = signing.loads(text[: CURSOR_CHARACTERS_MAX + 1], salt=_SALT)
    except signing.BadSignature:
        raise Problem("cursor", "This cursor was not given by this address.", field="cursor") from None
    mark, series_id, window_start, row_id = content
    if mark != fingerprint(account_id, question):
        raise Problem(
            "cursor", "This cursor belongs to another query; begin again without it.", field="cursor"
        )
    return RecordPosition(series_id, datetime.fromisoformat(window_start), row_id)


def fingerprint(account_id: int, question: str) -> str:
    """What ties a place to the account and the question that it came from."""
    return hashlib.sha256(f"{account_id} {question}".encode()).hexdigest()[:32]
