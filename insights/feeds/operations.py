"""Writes on sources, their keys and meters, each with its audit entry in the same transaction.

Refuses a definition with faults, and any change that would make other facts of what a source has sent.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from accounts.keys import make_key
from accounts.models import User
from accounts.operations import record_act
from accounts.tenancy import current_alias
from insights.feeds.queries import UnknownSource
from insights.ingest.mapping import columns_of, list_meter_facts
from insights.ingest.source_definition import (
    InvalidSource,
    SourceDefinition,
    parse_source_toml,
    validate_definition,
)
from insights.ingest.work_operations import try_again
from insights.metering.expectation_operations import apply_declared_end, end_with_last_window, expect_source
from insights.models import Batch, Meter, Source, SourceKey, SourceWindow

# These decide which lines are the same fact; a source that has sent something keeps them.
FIXED_ONCE_USED = {
    "key_kind": "is fixed, because the source has sent batches under it; make another source",
    "account_id": "is fixed, because the source has sent batches for it; make another source",
    "window": "is fixed, because the source has sent windows of that length; make another source",
}
COMMAND_LINE = "command line"
NAME_CHARACTERS_MAX = 100
# The page that makes a source has this place in the addresses of sources.
RESERVED_SLUGS = frozenset({"new"})
_SLUG_TAKEN = ("slug", "is taken by another source")
_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}", re.ASCII)


class UnknownKey(LookupError):
    """The source has no key with that id."""


@dataclass(frozen=True, slots=True)
class SavedSource:
    """What saving did: a new source, or the settings that are different now."""

    slug: str
    is_new: bool
    changed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key at the one moment when its secret is known."""

    name: str
    prefix: str
    plain: str


def check_source(*, definition: SourceDefinition, is_new: bool) -> None:
    """Raise InvalidSource with every fault that saving the definition would meet."""
    _check(definition)
    known = Source.objects.filter(slug=definition.slug).first()
    if is_new:
        if known is not None:
            raise InvalidSource((_SLUG_TAKEN,))
    elif known is not None:
        wanted = columns_of(definition)
        _refuse_new_identity(
            known, {name for name in FIXED_ONCE_USED if getattr(known, name) != wanted[name]}
        )


def create_source(*, definition: SourceDefinition, actor: User | None, billable: bool = True) -> SavedSource:
    """Store a new feed, or raise InvalidSource with every fault."""
    _check(definition)
    with transaction.atomic(using=current_alias()):
        if Source.objects.filter(slug=definition.slug).exists():
            raise InvalidSource((_SLUG_TAKEN,))
        try:
            with transaction.atomic(using=current_alias()):
                source = Source.objects.create(billable=billable, **columns_of(definition))
        except IntegrityError:
            raise InvalidSource((_SLUG_TAKEN,)) from None
        expect_source(source_id=source.pk)
        _end_if_off(source)
        _audit(source, actor, "source.create", {**columns_of(definition), "billable": billable})
    return SavedSource(slug=source.slug, is_new=True, changed=())


def change_source(
    *, definition: SourceDefinition, actor: User | None, billable: bool | None = None
) -> SavedSource:
    """Give the source of that slug this definition; the audit entry holds each setting before and after."""
    _check(definition)
    with transaction.atomic(using=current_alias()):
        source = _locked(definition.slug)
        wanted = columns_of(definition)
        if billable is not None:
            wanted["billable"] = billable
        if not definition.enabled and definition.ended_at is None and source.ended_at is not None:
            # What is switched off has an end, also where a text without one is imported again.
            wanted["ended_at"] = source.ended_at
        if definition.enabled and not source.enabled and definition.ended_at == source.ended_at:
            wanted["ended_at"] = None
        before = {name: getattr(source, name) for name in wanted}
        changes = {name: [before[name], wanted[name]] for name in wanted if before[name] != wanted[name]}
        if not changes:
            return SavedSource(slug=source.slug, is_new=False, changed=())
        _refuse_new_identity(source, changes)
        for name in changes:
            setattr(source, name, wanted[name])
        source.save(update_fields=list(changes))
        if "account_id" in changes:
            expect_source(source_id=source.pk)
        if "ended_at" in changes:
            apply_declared_end(source_id=source.pk)
        _end_if_off(source)
        _audit(source, actor, "source.change", changes)
    return SavedSource(slug=source.slug, is_new=False, changed=tuple(changes))


def import_source_toml(
    *, text: str, actor: User | None, expected_slug: str | None = None, account_id: int | None = None
) -> SavedSource:
    """Make or change the source that the text describes.

    A source keeps the account it is bound to, since TOML does not carry it; account_id binds a new one.
    """
    definition = parse_source_toml(text)
    if expected_slug is not None and definition.slug != expected_slug:
        raise InvalidSource((("slug", f"must be {expected_slug!r}, the source of this page"),))
    known = Source.objects.filter(slug=definition.slug).first()
    if known is None:
        return create_source(definition=replace(definition, account_id=account_id), actor=actor)
    bound_to = known.account_id if account_id is None else account_id
    return change_source(definition=replace(definition, account_id=bound_to), actor=actor)


def set_source_enabled(*, slug: str, is_enabled: bool, actor: User | None) -> None:
    """Let a source send, or refuse what it sends from now on; what it has sent stays.

    Nothing is expected of a source that is switched off: it ended with its last window, unless an end was declared.
    """
    with transaction.atomic(using=current_alias()):
        source = _locked(slug)
        if source.enabled == is_enabled:
            return
        ended_at = source.ended_at
        source.enabled = is_enabled
        source.ended_at = None if is_enabled else ended_at
        source.save(update_fields=["enabled", "ended_at"])
        if is_enabled:
            apply_declared_end(source_id=source.pk)
        _end_if_off(source)
        changed = {} if source.ended_at == ended_at else {"ended_at": [ended_at, source.ended_at]}
        _audit(source, actor, "source.enable" if is_enabled else "source.disable", changed)


def _end_if_off(source: Source) -> None:
    if not source.enabled and source.ended_at is None:
        end_with_last_window(source_id=source.pk)
        source.refresh_from_db(fields=["ended_at"])


def issue_source_key(*, slug: str, name: str, actor: User, expires_at: datetime | None = None) -> IssuedKey:
    """Make a key that may write to this source alone; the secret is in the answer and nowhere else."""
    plain, prefix, secret_sha256 = make_key()
    with transaction.atomic(using=current_alias()):
        source = _locked(slug)
        SourceKey.objects.create(
            source=source,
            name=name,
            prefix=prefix,
            secret_sha256=secret_sha256,
            created_by=actor,
            expires_at=expires_at,
        )
        _audit(source, actor, "source_key.issue", {"name": name, "prefix": prefix})
    return IssuedKey(name=name, prefix=prefix, plain=plain)


def revoke_source_key(*, slug: str, key_public_id: UUID, actor: User, now: datetime) -> bool:
    """End a key for good; False when it had ended already."""
    with transaction.atomic(using=current_alias()):
        source = _locked(slug)
        key = SourceKey.objects.select_for_update().filter(source=source, public_id=key_public_id).first()
        if key is None:
            raise UnknownKey(str(key_public_id))
        if key.revoked_at is not None:
            return False
        key.revoked_at = now
        key.save(update_fields=["revoked_at"])
        _audit(source, actor, "source_key.revoke", {"name": key.name, "prefix": key.prefix})
    return True


def save_meter(*, meter: Meter, actor: User | None) -> None:
    """Store a meter or what may change of one; the database refuses another meaning for a used version."""
    with transaction.atomic(using=current_alias()):
        before = _columns(meter)
        meter.save()
        changes = {
            name: [_plain(before.get(name)), _plain(value)]
            for name, value in _columns(meter).items()
            if before.get(name) != value
        }
        record_act(
            account=None,
            actor=actor,
            actor_name=COMMAND_LINE,
            act="meter.change" if before else "meter.create",
            subject=str(meter),
            details=changes,
        )


def _columns(meter: Meter) -> dict[str, Any]:
    """The row as it is stored now; nothing for a meter that is not stored yet."""
    row = Meter.objects.filter(pk=meter.pk).values().first() if meter.pk else None
    return {} if row is None else dict(row)


def try_batch_again(*, public_id: UUID, actor: User) -> int | None:
    """Put a batch that was set aside back on the work list; return its id for the bell, None if it is not."""
    with transaction.atomic(using=current_alias()):
        batch = Batch.objects.select_related("source").filter(public_id=public_id).first()
        if batch is None or not try_again(batch_id=batch.pk):
            return None
        _audit(batch.source, actor, "batch.try_again", {"batch": str(public_id)})
    return batch.pk


def _check(definition: SourceDefinition) -> None:
    faults = validate_definition(definition, list_meter_facts())
    if _SLUG.fullmatch(definition.slug) is None or definition.slug in RESERVED_SLUGS:
        faults += (
            ("slug", "must be lower-case letters, digits, hyphens or underscores, at most 60, and not “new”"),
        )
    if len(definition.name) > NAME_CHARACTERS_MAX:
        faults += (("name", f"must have at most {NAME_CHARACTERS_MAX} characters"),)
    if faults:
        raise InvalidSource(faults)


def _locked(slug: str) -> Source:
    source = Source.objects.select_for_update().filter(slug=slug).first()
    if source is None:
        raise UnknownSource(slug)
    return source


def _refuse_new_identity(source: Source, changes: Collection[str]) -> None:
    faults = tuple((name, mend) for name, mend in FIXED_ONCE_USED.items() if name in changes)
    # Elsewhere the clock zone only says how local times are read; here it says where a window begins.
    if source.window == SourceWindow.DAY and "clock_zone" in changes:
        faults += (
            ("clock_zone", "is fixed, because the source has sent days of that zone; make another source"),
        )
    if faults and Batch.objects.filter(source=source).exists():
        raise InvalidSource(faults)


def _audit(source: Source, actor: User | None, act: str, details: Mapping[str, Any]) -> None:
    record_act(
        account=source.account,
        actor=actor,
        actor_name=COMMAND_LINE,
        act=act,
        subject=source.slug,
        details={name: _plain(value) for name, value in details.items()},
    )


def _plain(value: object) -> object:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value
