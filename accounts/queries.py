"""What pages and endpoints ask about people, accounts, keys and support access. Reads only.

Which rows exist is decided by the scope the caller opened; the filters here say the same a second time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Count, Q, Subquery
from django.db.models.query import QuerySet

from accounts.models import Account, ApiKey, AuditEntry, Membership, SupportAccess, SupportAccessPage, User
from accounts.tenancy import connection

SEARCH_LENGTH_MIN = 2


@dataclass(frozen=True, slots=True)
class FoundKey:
    """What the database knows of a key with a certain prefix."""

    kind: str
    key_id: int
    account_id: int | None
    source_id: int | None
    source_slug: str | None
    key_name: str
    secret_sha256: bytes
    scopes: tuple[str, ...]
    expires_at: datetime | None
    revoked_at: datetime | None
    state: str


def count_accounts_of(user: User) -> int:
    """Count the accounts a person is a member of."""
    return Membership.objects.filter(user_id=user.pk).count()


def find_membership(*, user: User, account_public_id: UUID) -> Membership | None:
    """Find a person's membership of the account with this public id; its `siblings` counts all they have."""
    every = Membership.objects.filter(user_id=user.pk).order_by().values("user_id").annotate(count=Count("*"))
    members = Membership.objects.select_related("account").annotate(siblings=Subquery(every.values("count")))
    return members.filter(user_id=user.pk, account__public_id=account_public_id).first()


def list_memberships_of(user: User) -> tuple[Membership, ...]:
    """List a person's memberships with their accounts, by account name."""
    members = Membership.objects.select_related("account").filter(user_id=user.pk)
    return tuple(members.order_by("account__name", "account_id"))


def list_members(account: Account) -> tuple[Membership, ...]:
    """List the people of an account, owners first."""
    members = Membership.objects.for_account(account).select_related("user")
    order = {"owner": 0, "admin": 1, "billing": 2, "viewer": 3}
    return tuple(sorted(members, key=lambda member: (order[member.role], member.user.email)))


def list_api_keys(account: Account) -> tuple[ApiKey, ...]:
    """List an account's keys, live ones first, then the newest."""
    keys = ApiKey.objects.for_account(account).select_related("created_by").order_by("-id")
    return tuple(sorted(keys, key=lambda key: key.revoked_at is not None))


def count_live_api_keys(account: Account, *, now: datetime) -> int:
    """Count the keys of an account that still open something."""
    live = Q(revoked_at__isnull=True) & (Q(expires_at__isnull=True) | Q(expires_at__gt=now))
    return ApiKey.objects.for_account(account).filter(live).count()


def pages_by_access(
    account: Account, accesses: Sequence[SupportAccess]
) -> dict[int, tuple[SupportAccessPage, ...]]:
    """Return the pages that were opened under each access, in order; at most a thousand in all."""
    pages = SupportAccessPage.objects.for_account(account).filter(
        support_access__in=[access.pk for access in accesses]
    )
    found: dict[int, list[SupportAccessPage]] = {}
    for page in pages.order_by("-viewed_at", "-id")[:1000]:
        found.setdefault(page.support_access_id, []).append(page)
    return {access_id: tuple(reversed(listed)) for access_id, listed in found.items()}


def find_api_key(account: Account, *, public_id: UUID) -> ApiKey | None:
    """Find one of the account's keys by its public id."""
    return ApiKey.objects.for_account(account).filter(public_id=public_id).first()


def list_audit_entries(account: Account, *, limit: int = 50) -> tuple[AuditEntry, ...]:
    """List the latest acts on an account, newest first."""
    return tuple(AuditEntry.objects.for_account(account).order_by("-id")[:limit])


def list_support_accesses(account: Account, *, limit: int = 50) -> tuple[SupportAccess, ...]:
    """List the latest support accesses to an account with the number of pages opened, newest first."""
    accesses = SupportAccess.objects.for_account(account).annotate(page_count=Count("pages"))
    return tuple(accesses.order_by("-started_at", "-id")[:limit])


def find_latest_support_access(*, staff_user: User, account_public_id: UUID) -> SupportAccess | None:
    """Find the last support access a member of staff started to the account, open or not."""
    accesses = SupportAccess.objects.select_related("account")
    mine = accesses.filter(staff_user_id=staff_user.pk, account__public_id=account_public_id)
    return mine.order_by("-started_at", "-id").first()


def find_account(*, public_id: UUID) -> Account | None:
    """Find an account by its public id among those the caller's role sees."""
    return Account.objects.filter(public_id=public_id).first()


def search_accounts(text: str) -> QuerySet[Account]:
    """Find accounts by a part of their name, reference or a member's e-mail; for staff, the one cross-account read.

    The text is taken literally: Django escapes % and _ in `icontains`.
    """
    members = Membership.objects.filter(user__email__icontains=text).values("account_id")
    return Account.objects.filter(Q(name__icontains=text) | Q(reference__icontains=text) | Q(pk__in=members))


def find_key(prefix: str) -> FoundKey | None:
    """Find a key by its exact prefix, through the one function that may look before an account is known."""
    columns = (
        "kind, key_id, account_id, source_id, source_slug, key_name, secret_sha256, scopes, expires_at, "
    )
    with connection().cursor() as cursor:
        cursor.execute(f"SELECT {columns} revoked_at, account_state FROM portal_find_key(%s)", [prefix])
        rows = cursor.fetchall()
    if len(rows) != 1:
        return None
    kind, key_id, account_id, source_id, slug, name, sha256, scopes, expires_at, revoked_at, state = rows[0]
    return FoundKey(
        kind=kind,
        key_id=key_id,
        account_id=account_id,
        source_id=source_id,
        source_slug=slug,
        key_name=name,
        secret_sha256=bytes(sha256),
        scopes=_as_scopes(scopes),
        expires_at=expires_at,
        revoked_at=revoked_at,
        state=state,
    )


def _as_scopes(stored: object) -> tuple[str, ...]:
    """Read jsonb, which Django's connection hands over as text."""
    value = json.loads(stored) if isinstance(stored, str) else stored
    return tuple(value) if isinstance(value, list) else ()
