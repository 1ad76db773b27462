"""Notes and saved views are written, changed and deleted, each with its entry in the audit trail.

In the scope of the account, inside whose transaction the act and its entry stand or fall together. Refuses with a field
and a sentence what cannot be done.
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from uuid import UUID

from django.db import connections, transaction

from accounts.models import Account, ApiKey, User
from accounts.operations import UnableToChange, record_act
from accounts.operations.refusals import check_text
from accounts.tenancy import current_alias
from insights.ingest.instants import scan_instant
from insights.ingest.refusals import Refusal
from insights.models import ChartNote, SavedView
from insights.models.notebook import (
    NOTE_CHARACTERS_MAX,
    VIEW_NAME_CHARACTERS_MAX,
    VIEW_QUERY_CHARACTERS_MAX,
)
from insights.notebook.facts import Note, View
from insights.notebook.queries import note_of, view_of
from insights.values.period import YEAR_LAST

NOTES_MAX = 5_000
VIEWS_OF_A_MEMBER_MAX = 50
_WITHOUT_SECONDS = len("2026-11-12T14:00")


def read_note_instant(text: str, *, zone: tzinfo | None) -> datetime:
    """The instant of a note: RFC 3339, or with a zone a local time of it; seconds may be left out of a local one.

    Raises UnableToChange for the field `at`.
    """
    full = f"{text}:00" if zone is not None and len(text) == _WITHOUT_SECONDS else text
    try:
        instant = scan_instant(full, "at", clock_zone=zone)
    except Refusal as refusal:
        raise UnableToChange(f"{refusal.message[:1].upper()}{refusal.message[1:]}.", field="at") from None
    if instant.year > YEAR_LAST:
        raise UnableToChange(f"The year must be {YEAR_LAST} or earlier.", field="at")
    return instant.astimezone(UTC)


def add_note(
    *, account: Account, at: datetime, text: str, author: User, key: ApiKey | None = None
) -> tuple[Note, bool]:
    """Write a note, by a member or by a key that a member made; the same one again is the one there is.

    Returns it, and whether it is new.
    """
    _check_note(text)
    with transaction.atomic(using=current_alias()):
        _lock(account, "notes")
        rows = ChartNote.objects.for_account(account)
        known = rows.filter(at=at, text=text.strip(), author=author, api_key=key).first()
        if known is not None:
            return note_of(known), False
        if rows.count() >= NOTES_MAX:
            raise UnableToChange(
                f"An account has at most {NOTES_MAX:,} notes; delete one first.", field="text"
            )
        row = ChartNote.objects.create(
            account=account,
            at=at,
            text=text.strip(),
            author=author,
            author_name=f"API key {key.name}" if key else author.email,
            api_key=key,
        )
        row.refresh_from_db()
        _record_note(account, row, author, act="note.add", key=key)
    return note_of(row), True


def change_note(
    *, account: Account, public_id: UUID, at: datetime, text: str, actor: User, now: datetime
) -> None:
    """Move a note to another instant, or give it another text; whether the actor may is asked before."""
    _check_note(text)
    with transaction.atomic(using=current_alias()):
        row = ChartNote.objects.for_account(account).select_for_update().filter(public_id=public_id).first()
        if row is None:
            raise UnableToChange("The note was deleted meanwhile.", field="text")
        before = {"at_before": row.at.isoformat(), "text_before": row.text}
        row.at, row.text, row.changed_at = at, text.strip(), now
        row.save(update_fields=["at", "text", "changed_at"])
        _record_note(account, row, actor, act="note.change", more=before)


def delete_note(*, account: Account, public_id: UUID, actor: User, key: ApiKey | None = None) -> None:
    """Delete a note; its text stays in the audit trail. Whether the actor may is asked before."""
    with transaction.atomic(using=current_alias()):
        row = ChartNote.objects.for_account(account).filter(public_id=public_id).first()
        if row is None:
            return
        row.delete()
        _record_note(account, row, actor, act="note.delete", key=key)


def _check_note(text: str) -> None:
    _check_encodable(text, field="text")
    check_text(text, field="text", what="note", longest=NOTE_CHARACTERS_MAX)


def _check_encodable(text: str, *, field: str) -> None:
    """JSON can write half of a character, which the database does not take."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UnableToChange("The text holds half of a character.", field=field) from None


def _record_note(
    account: Account,
    row: ChartNote,
    actor: User,
    *,
    act: str,
    key: ApiKey | None = None,
    more: dict[str, str] | None = None,
) -> None:
    record_act(
        account=account,
        actor=None if key else actor,
        actor_name=f"API key {key.name}" if key else "",
        act=act,
        subject=row.text,
        details={"note": str(row.public_id), "at": row.at.isoformat(), **(more or {})},
    )


def save_view(*, account: Account, name: str, query: str, is_shared: bool, owner: User) -> View:
    """Keep a question of the explorer under a name that the member has not used yet."""
    _check_view_name(name)
    if len(query) > VIEW_QUERY_CHARACTERS_MAX:
        raise UnableToChange("This view names too many values to be kept.", field="name")
    with transaction.atomic(using=current_alias()):
        _lock(account, f"views of {owner.pk}")
        own = SavedView.objects.for_account(account).filter(owner=owner)
        _refuse_same_name(account, owner.pk, name, is_shared=is_shared)
        if own.count() >= VIEWS_OF_A_MEMBER_MAX:
            raise UnableToChange(
                f"You have {VIEWS_OF_A_MEMBER_MAX} views, which is as many as there may be; delete one first.",
                field="name",
            )
        row = SavedView.objects.create(
            account=account,
            owner=owner,
            owner_name=owner.email,
            name=name.strip(),
            query=query,
            is_shared=is_shared,
        )
        _record_view(account, row, owner, act="saved_view.save")
    return view_of(row)


def change_view(
    *, account: Account, public_id: UUID, name: str, is_shared: bool, actor: User, now: datetime
) -> None:
    """Rename a view, share it, or keep it to its owner; whether the actor may is asked before.

    Whoever takes another member's view out of the account's sight does not learn which private names that member has:
    the view gets a number behind its name where it needs one.
    """
    _check_view_name(name)
    with transaction.atomic(using=current_alias()):
        view = SavedView.objects.for_account(account).filter(public_id=public_id)
        _lock(account, f"views of {view.values_list('owner_id', flat=True).first()}")
        # Read once nobody else writes it: names are compared with what it is by then, and it may be gone.
        row = view.select_for_update().first()
        if row is None:
            raise UnableToChange("The view was deleted meanwhile.", field="name")
        was_shared, wanted = row.is_shared, name.strip()
        if not is_shared and actor.pk != row.owner_id:
            wanted = _free_private_name(account, row, wanted)
        elif (wanted, is_shared) != (row.name, row.is_shared):
            _refuse_same_name(account, row.owner_id, wanted, is_shared=is_shared)
        row.name, row.is_shared, row.changed_at = wanted, is_shared, now
        row.save(update_fields=["name", "is_shared", "changed_at"])
        _record_view(account, row, actor, act="saved_view.change", was_shared=was_shared)


def delete_view(*, account: Account, public_id: UUID, actor: User) -> None:
    """Delete a view; whether the actor may is asked before."""
    with transaction.atomic(using=current_alias()):
        row = SavedView.objects.for_account(account).filter(public_id=public_id).first()
        if row is None:
            return
        row.delete()
        _record_view(account, row, actor, act="saved_view.delete")


def _check_view_name(name: str) -> None:
    check_text(name, field="name", what="name", longest=VIEW_NAME_CHARACTERS_MAX)


def _refuse_same_name(account: Account, owner_id: int, name: str, *, is_shared: bool) -> None:
    """Refuse a name that another of the member's views has, of those that the account sees or of those it does not."""
    own = SavedView.objects.for_account(account).filter(owner_id=owner_id, is_shared=is_shared)
    if own.filter(name=name.strip()).exists():
        raise UnableToChange(f"There is a view “{name.strip()}” already; choose another name.", field="name")


def _free_private_name(account: Account, row: SavedView, name: str) -> str:
    """The name, or the first of it with a number that no private view of the member has; there are at most fifty."""
    private = SavedView.objects.for_account(account).filter(owner_id=row.owner_id, is_shared=False)
    taken = set(private.exclude(pk=row.pk).values_list("name", flat=True))
    ends = ("", *(f" ({number})" for number in range(2, len(taken) + 3)))
    numbered = (f"{name[: VIEW_NAME_CHARACTERS_MAX - len(end)]}{end}" for end in ends)
    return next(one for one in numbered if one not in taken)


def _record_view(
    account: Account, row: SavedView, actor: User, *, act: str, was_shared: bool = False
) -> None:
    """The trail is read by the whole account, so it names a view only where the account sees it."""
    is_seen = row.is_shared or was_shared
    record_act(
        account=account,
        actor=actor,
        act=act,
        subject=f"the view “{row.name}”" if is_seen else "a view of their own",
        details={"view": str(row.public_id), "is_shared": row.is_shared},
    )


def _lock(account: Account, topic: str) -> None:
    """One writer of a kind at a time, or two could pass a limit together."""
    with connections[current_alias()].cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s), %s)", [topic, account.pk % 2**31])
