"""Notes and saved views as pages and the API show them, and who may change them. Plain Python."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

OWNER_ROLE = "owner"


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """Who is looking: a member by user and role; staff under support access have neither."""

    user_id: int | None
    role: str | None
    may_write: bool

    def may_change(self, author_id: int) -> bool:
        """Whether they may change or delete what the author wrote: their own, and owners everything."""
        return self.may_write and (self.user_id == author_id or self.role == OWNER_ROLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A note at an instant. `author_id` and `key_id` stay inside."""

    public_id: UUID
    at: datetime
    text: str
    author_id: int
    author_name: str
    key_id: int | None
    created_at: datetime
    changed_at: datetime | None


@dataclass(frozen=True, slots=True)
class NotePlace:
    """Where a page of notes ended: the last one's instant and row."""

    at: datetime
    note_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A question of the explorer under a name."""

    public_id: UUID
    name: str
    query: str
    is_shared: bool
    owner_id: int
    owner_name: str
