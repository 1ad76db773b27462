"""What the schema says about the endpoints of notes."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import inline_serializer
from rest_framework import serializers

from insights.api.schema_parts import LIMIT, path_id, problems, query
from insights.models.notebook import NOTE_CHARACTERS_MAX

Json = dict[str, Any]
_TAGS = ["Notes"]


class NoteSerializer(serializers.Serializer[Json]):
    """A sentence at an instant, shown on charts."""

    id = serializers.UUIDField()
    at = serializers.DateTimeField()
    text = serializers.CharField()
    author = serializers.CharField(help_text="The member's e-mail address, or the name of the key.")
    created_at = serializers.DateTimeField()
    changed_at = serializers.DateTimeField(allow_null=True)


class NotesSerializer(serializers.Serializer[Json]):
    """A page of notes."""

    notes = NoteSerializer(many=True)
    next_cursor = serializers.CharField(allow_null=True)


LIST_NOTES: dict[str, Any] = {
    "operation_id": "list_notes",
    "description": "List the account's notes on charts, the latest instant first. For keys with `usage:read`.",
    "tags": _TAGS,
    "parameters": [LIMIT, query("cursor", "`next_cursor` of the page before.")],
    "responses": {200: NotesSerializer, **problems()},
}
READ_NOTE: dict[str, Any] = {
    "operation_id": "read_note",
    "description": "Read one note. For keys with `usage:read`.",
    "tags": _TAGS,
    "parameters": [path_id("note_id")],
    "responses": {200: NoteSerializer, **problems(404)},
}
WRITE_NOTE: dict[str, Any] = {
    "operation_id": "write_note",
    "description": (
        "Write a note at an instant, for everybody in the account. The same note of the same key again answers 200 "
        "with the one there is. For keys with `notes:write`."
    ),
    "tags": _TAGS,
    "request": inline_serializer(
        "NewNote",
        {
            "at": serializers.DateTimeField(help_text="RFC 3339 with Z or an offset."),
            "text": serializers.CharField(max_length=NOTE_CHARACTERS_MAX),
        },
    ),
    "responses": {200: NoteSerializer, 201: NoteSerializer, **problems(413, 415)},
}
DELETE_NOTE: dict[str, Any] = {
    "operation_id": "delete_note",
    "description": "Delete a note that this key wrote; answers with what it was. For keys with `notes:write`.",
    "tags": _TAGS,
    "parameters": [path_id("note_id")],
    "responses": {200: NoteSerializer, **problems(404)},
}
