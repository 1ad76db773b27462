"""Rows for tests, written as the worker; each function makes one thing with plain defaults."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction

from accounts import keys
from accounts.models import Account, ApiKey, Membership, SupportAccess, User
from accounts.tenancy import as_owner, as_staff, as_worker
from insights.ingest.operations import receive_batch
from insights.models import Batch, Meter, Source
from insights.tasks import ingest_batch

# A hash made once; sign-in itself is tested with real ones.
NO_PASSWORD = "!no password"


def make_user(email: str, **fields: Any) -> User:
    """Make a person who can sign in through the signed_in fixture."""
    with as_worker():
        return User.objects.create(email=email.lower(), password=NO_PASSWORD, **fields)


def make_account(reference: str, **fields: Any) -> Account:
    """Make an active account; its billing zone is UTC unless said otherwise."""
    with as_worker():
        return Account.objects.create(reference=reference, **{"name": reference.title(), **fields})


def make_membership(account: Account, user: User, *, role: str = "owner") -> Membership:
    """Give a person a role in an account."""
    with as_worker():
        return Membership.objects.create(account=account, user=user, role=role)


def make_api_key(account: Account, *, created_by: User, **fields: Any) -> tuple[ApiKey, str]:
    """Make a customer key; returns its row and the key itself."""
    plain, prefix, sha256 = keys.make_key()
    values = {
        "name": "test key",
        "scopes": ["usage:read"],
        "prefix": prefix,
        "secret_sha256": sha256,
        **fields,
    }
    with as_worker():
        row = ApiKey.objects.create(account=account, created_by=created_by, **values)
    return row, plain


def open_support_access(
    account: Account,
    staff: User,
    *,
    started_at: datetime | None = None,
    reason: str = "why is the bill higher",
) -> SupportAccess:
    """Let a member of staff look into an account for thirty minutes."""
    start = started_at or datetime.now(UTC)
    with as_staff(), transaction.atomic(using="staff"):
        return SupportAccess.objects.create(
            account=account,
            staff_user=staff,
            staff_email=staff.email,
            reason=reason,
            started_at=start,
            expires_at=start + timedelta(minutes=30),
        )


def change_user(user: User, **fields: Any) -> None:
    """Change a person behind the back of whoever has them in memory."""
    with as_owner():
        User.objects.filter(pk=user.pk).update(**fields)


def make_meter(key: str = "bytes_out", **fields: Any) -> Meter:
    """Make a meter; by default bytes, summed, by hour, with three dimensions."""
    defaults = {
        "name": key.replace("_", " ").capitalize(),
        "unit": "byte",
        "grain_seconds": 3600,
        "aggregation": "sum",
        "dimensions": ["endpoint", "region", "protocol"],
    }
    with as_worker():
        return Meter.objects.create(key=key, **{**defaults, **fields})


def make_source(slug: str = "edge", **fields: Any) -> Source:
    """Make a platform source that sends hourly windows in any format."""
    defaults = {"name": slug.capitalize(), "clock_zone": "UTC", "max_age_days": None}
    with as_worker():
        return Source.objects.create(slug=slug, **{**defaults, **fields})


def change_source(source: Source, **fields: Any) -> None:
    """Change a source behind the back of whoever has it in memory."""
    with as_worker():
        Source.objects.filter(pk=source.pk).update(**fields)


def ingest_now(source: Source, body: str | bytes, **said: Any) -> Batch:
    """Deliver a body through the usual way in, do the worker's task at once, and return the batch."""
    data = body.encode() if isinstance(body, str) else body
    received = receive_batch(pieces=[data], source_id=source.pk, via=said.pop("via", "api"), **said)
    ingest_batch(received.batch_id)
    with as_worker():
        return Batch.objects.get(pk=received.batch_id)
