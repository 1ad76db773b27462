"""Notes as rows of a CSV. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from zoneinfo import ZoneInfo

from insights.exports.aggregates import instant_text
from insights.exports.formatting import safe_text
from insights.notebook.facts import Note

COLUMNS = ("id", "at", "at_local", "text", "author", "written_at", "changed_at")


def note_rows(notes: Iterable[Note], zone: ZoneInfo) -> Iterator[list[str]]:
    """Notes under a heading, on both clocks."""
    yield list(COLUMNS)
    utc = ZoneInfo("UTC")
    for note in notes:
        yield [
            str(note.public_id),
            instant_text(note.at, utc),
            instant_text(note.at, zone),
            safe_text(note.text),
            safe_text(note.author_name),
            instant_text(note.created_at, utc),
            "" if note.changed_at is None else instant_text(note.changed_at, utc),
        ]
