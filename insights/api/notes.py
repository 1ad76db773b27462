"""Notes on charts for customer keys: reading them with usage:read, writing and deleting with notes:write."""

from __future__ import annotations

import json
import uuid
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import READ_USAGE, WRITE_NOTES
from accounts.models import Account, AccountState, ApiKey
from accounts.operations import UnableToChange
from accounts.tenancy import account_scope
from insights.api import note_schema
from insights.api.body import read_body
from insights.api.endpoint import ReadEndpoint
from insights.api.errors import NOT_FOUND_DETAIL, Problem
from insights.api.note_cursor import read_note_place, write_note_place
from insights.api.parameters import limit_of, query_pairs, single_values
from insights.billing.bill_document import instant_text
from insights.ingest.cells import json_depth_above
from insights.notebook.facts import Note
from insights.notebook.operations import add_note, delete_note, read_note_instant
from insights.notebook.queries import find_note, list_notes

BODY_BYTES_MAX = 4_096
_DEPTH_MAX = 2
_FIELDS = ("at", "text")
_LIST = "notes"


class NotesEndpoint(ReadEndpoint):
    """An address that a key reads by one scope and changes by another."""

    http_method_names = ["get", "head", "post", "delete"]

    @property
    def required_scope(self) -> str:  # type: ignore[override]
        """The scope that the method takes."""
        return READ_USAGE if self.request.method in ("GET", "HEAD") else WRITE_NOTES

    def acting_key(self) -> tuple[Account, ApiKey]:
        """The account and the key that writes; an account that is not active is not written in."""
        account = Account.objects.get(pk=self.account_id)
        if account.state != AccountState.ACTIVE:
            raise Problem("permission_denied", f"The account is {account.state}; nothing can be changed.")
        keys = ApiKey.objects.for_account(account).select_related("created_by")
        return account, keys.get(pk=self.key_facts.key_id)


class NoteList(NotesEndpoint):
    """The account's notes."""

    @extend_schema(**note_schema.LIST_NOTES)
    def get(self, request: Request) -> Response:
        """List notes, the latest instant first."""
        values = single_values(query_pairs(request), allowed=("limit", "cursor"))
        limit = limit_of(values)
        after = None
        if "cursor" in values:
            after = read_note_place(values["cursor"], account_id=self.account_id, question=_LIST)
        with account_scope(self.account_id, read_only=True):
            notes, place = list_notes(Account.objects.get(pk=self.account_id), limit=limit, after=after)
        cursor = place and write_note_place(place, account_id=self.account_id, question=_LIST)
        return Response({"notes": [note_document(note) for note in notes], "next_cursor": cursor})

    @extend_schema(**note_schema.WRITE_NOTE)
    def post(self, request: Request) -> Response:
        """Write a note; the same one again answers with the one there is."""
        single_values(query_pairs(request), allowed=())
        fields = _read_fields(request)
        with account_scope(self.account_id):
            account, key = self.acting_key()
            try:
                note, is_new = add_note(
                    account=account,
                    at=read_note_instant(fields["at"], zone=None),
                    text=fields["text"],
                    author=key.created_by,
                    key=key,
                )
            except UnableToChange as error:
                raise Problem("note", error.message, field=error.field) from None
        return Response(note_document(note), status=201 if is_new else 200)


class NoteDetail(NotesEndpoint):
    """One note."""

    @extend_schema(**note_schema.READ_NOTE)
    def get(self, request: Request, note_id: uuid.UUID) -> Response:
        """Read one note."""
        single_values(query_pairs(request), allowed=())
        with account_scope(self.account_id, read_only=True):
            note = find_note(Account.objects.get(pk=self.account_id), public_id=note_id)
        if note is None:
            raise Problem("not_found", NOT_FOUND_DETAIL)
        return Response(note_document(note))

    @extend_schema(**note_schema.DELETE_NOTE)
    def delete(self, request: Request, note_id: uuid.UUID) -> Response:
        """Delete a note that this key wrote; answers with what it was."""
        single_values(query_pairs(request), allowed=())
        with account_scope(self.account_id):
            account, key = self.acting_key()
            note = find_note(account, public_id=note_id)
            if note is None:
                raise Problem("not_found", NOT_FOUND_DETAIL)
            if note.key_id != key.pk:
                raise Problem("permission_denied", "A key deletes the notes that it wrote itself.")
            delete_note(account=account, public_id=note_id, actor=key.created_by, key=key)
        return Response(note_document(note))


def note_document(note: Note) -> dict[str, Any]:
    """A note as plain JSON values."""
    return {
        "id": str(note.public_id),
        "at": note.at.isoformat().replace("+00:00", "Z"),
        "text": note.text,
        "author": note.author_name,
        "created_at": instant_text(note.created_at),
        "changed_at": instant_text(note.changed_at),
    }


def _read_fields(request: Request) -> dict[str, str]:
    """The body as an object of exactly these texts; anything else is refused with its field."""
    media_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise Problem("unsupported_media_type", "Send application/json.", field="Content-Type")
    body = b"".join(read_body(request._request, limit_bytes=BODY_BYTES_MAX))
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise Problem("encoding", "The body is not UTF-8.", status=400) from None
    members = _members(text)
    given = [name for name, _ in members]
    for name, value in members:
        if name not in _FIELDS:
            raise Problem("unknown_field", f"There is no field “{name[:80]}”.", field=name[:80], status=400)
        if given.count(name) > 1:
            raise Problem("duplicate_key", f"“{name}” comes twice.", field=name, status=400)
        if not isinstance(value, str):
            raise Problem("shape", f"{name} must be a text.", field=name, status=400)
    for name in _FIELDS:
        if name not in given:
            raise Problem("missing_field", f"{name} is missing.", field=name, status=400)
    return dict(members)


def _members(text: str) -> list[tuple[str, Any]]:
    if json_depth_above(text, _DEPTH_MAX):
        raise Problem("too_deep", f"The JSON is nested deeper than {_DEPTH_MAX}.", status=400)
    try:
        found = json.loads(text, object_pairs_hook=lambda pairs: _Members(pairs))
    except ValueError:
        raise Problem("malformed_json", "The body is not JSON.", status=400) from None
    if not isinstance(found, _Members):
        raise Problem("shape", "The body must be an object with at and text.", status=400)
    return list(found)


class _Members(list[tuple[str, Any]]):
    """The members of an object as they were written, repeated ones repeatedly."""
