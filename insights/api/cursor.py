"""The place where a page ended, signed, and good only for the account and the question it came from."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from django.core import signing

from insights.api.errors import Problem
from insights.exports.queries import RecordPosition

_SALT = "usage records cursor"
CURSOR_CHARACTERS_MAX = 2000


def write_cursor(position: RecordPosition, *, account_id: int, question: str) -> str:
    """Return the position in the usage records as opaque text."""
    content = [position.series_id, position.window_start.isoformat(), position.row_id]
    return write_signed(content, salt=_SALT, account_id=account_id, question=question)


def read_cursor(text: str, *, account_id: int, question: str) -> RecordPosition:
    """Return the position, or refuse a cursor that is not ours or belongs to another question."""
    series_id, window_start, row_id = read_signed(text, salt=_SALT, account_id=account_id, question=question)
    return RecordPosition(series_id, datetime.fromisoformat(window_start), row_id)


def write_signed(content: list[Any], *, salt: str, account_id: int, question: str) -> str:
    """Return what a place is made of as opaque text; `salt` tells the kinds of pages apart."""
    return signing.dumps([_fingerprint(account_id, question), *content], salt=salt, compress=True)


def read_signed(text: str, *, salt: str, account_id: int, question: str) -> list[Any]:
    """Return what was written, or refuse a text that is not ours or belongs to another account or question."""
    try:
        mark, *content = signing.loads(text[: CURSOR_CHARACTERS_MAX + 1], salt=salt)
    except signing.BadSignature:
        raise Problem("cursor", "This cursor was not given by this address.", field="cursor") from None
    if mark != _fingerprint(account_id, question):
        raise Problem(
            "cursor", "This cursor belongs to another query; begin again without it.", field="cursor"
        )
    return content


def _fingerprint(account_id: int, question: str) -> str:
    return hashlib.sha256(f"{account_id} {question}".encode()).hexdigest()[:32]
