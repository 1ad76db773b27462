"""The place where a page of notes ended, signed, and good only for its account."""

from __future__ import annotations

from datetime import datetime

from insights.api.cursor import read_signed, write_signed
from insights.notebook.facts import NotePlace

_SALT = "notes cursor"


def write_note_place(place: NotePlace, *, account_id: int, question: str) -> str:
    """Return the place as opaque text."""
    content = [place.at.isoformat(), place.note_id]
    return write_signed(content, salt=_SALT, account_id=account_id, question=question)


def read_note_place(text: str, *, account_id: int, question: str) -> NotePlace:
    """Return the place, or refuse one that is not ours or belongs to another question."""
    at, note_id = read_signed(text, salt=_SALT, account_id=account_id, question=question)
    return NotePlace(datetime.fromisoformat(at), note_id)
