"""Reads notes and saved views of an account; in the account's scope.

A view that is not shared exists for its owner alone. That is decided here: the database keeps accounts apart, and not
members.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db.models import Q, QuerySet

from accounts.models import Account
from insights.models import ChartNote, SavedView
from insights.notebook.facts import Note, NotePlace, View, Viewer

# As many as a chart has room for; the page of notes has all.
NOTES_ON_A_CHART_MAX = 100


def list_notes_between(account: Account, *, start: datetime, end: datetime) -> tuple[Note, ...]:
    """The notes at instants of [start, end), newest first; no more than a chart has room for."""
    rows = ChartNote.objects.for_account(account).filter(at__gte=start, at__lt=end)
    return tuple(note_of(row) for row in rows.order_by("-at", "-id")[:NOTES_ON_A_CHART_MAX])


def list_notes(
    account: Account, *, limit: int, after: NotePlace | None = None
) -> tuple[tuple[Note, ...], NotePlace | None]:
    """A page of the notes, the latest instant first, and where the next page begins if there is one."""
    rows = ChartNote.objects.for_account(account)
    if after is not None:
        rows = rows.filter(Q(at__lt=after.at) | Q(at=after.at, pk__lt=after.note_id))
    found = list(rows.order_by("-at", "-id")[: limit + 1])
    shown = found[:limit]
    place = NotePlace(shown[-1].at, shown[-1].pk) if len(found) > limit else None
    return tuple(map(note_of, shown)), place


def find_note(account: Account, *, public_id: UUID) -> Note | None:
    """One of the account's notes."""
    row = ChartNote.objects.for_account(account).filter(public_id=public_id).first()
    return None if row is None else note_of(row)


def list_views(account: Account, viewer: Viewer) -> tuple[View, ...]:
    """The views that somebody sees by name: their own, and those shared in the account."""
    return tuple(map(view_of, _seen_by(account, viewer).order_by("name", "id")))


def find_view(account: Account, viewer: Viewer, *, public_id: UUID) -> View | None:
    """One of the views that somebody sees."""
    row = _seen_by(account, viewer).filter(public_id=public_id).first()
    return None if row is None else view_of(row)


def _seen_by(account: Account, viewer: Viewer) -> QuerySet[SavedView]:
    shared = Q(is_shared=True)
    return SavedView.objects.for_account(account).filter(
        shared if viewer.user_id is None else shared | Q(owner_id=viewer.user_id)
    )


def note_of(row: ChartNote) -> Note:
    """The note that a row keeps."""
    return Note(
        public_id=row.public_id,
        at=row.at,
        text=row.text,
        author_id=row.author_id,
        author_name=row.author_name,
        key_id=row.api_key_id,
        created_at=row.created_at,
        changed_at=row.changed_at,
    )


def view_of(row: SavedView) -> View:
    """The view that a row keeps."""
    return View(
        public_id=row.public_id,
        name=row.name,
        query=row.query,
        is_shared=row.is_shared,
        owner_id=row.owner_id,
        owner_name=row.owner_name,
    )
