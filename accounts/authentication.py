"""API keys for the REST endpoints: `Authorization: Bearer up_live_…` and nothing else.

A key is checked on every request, so that a revocation holds from the next one. It refuses keys in the address.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts import keys, operations, queries

READ_USAGE = "usage:read"
READ_BILLS = "bills:read"
WRITE_USAGE = "usage:write"
WRITE_NOTES = "notes:write"


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """Whose key was presented and what it may do; `kind` is "account" or "source"."""

    kind: str
    key_id: int
    account_id: int | None
    source_id: int | None
    source_slug: str | None
    scopes: tuple[str, ...]
    name: str


class ApiKeyAuthentication(BaseAuthentication):
    """Takes a bearer key; request.user stays anonymous and request.auth says whose key it is."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, KeyFacts] | None:
        """Return the facts of the key, or None where no bearer key was sent."""
        words = get_authorization_header(request).split()
        if not words or words[0].lower() != b"bearer":
            return None
        if len(words) != 2:
            raise AuthenticationFailed(
                "Send exactly one key: Authorization: Bearer up_live_…", code="invalid_key"
            )
        facts = check_key(words[1].decode("latin-1"), now=timezone.now())
        return AnonymousUser(), facts

    def authenticate_header(self, request: Request) -> str:
        """Return what WWW-Authenticate says with a 401."""
        return 'Bearer realm="usage"'


class HasScope(BasePermission):
    """Opens an endpoint to keys that have the scope the view names in `required_scope`."""

    message = "This key does not have the scope that the endpoint needs."
    code = "scope_missing"

    def has_permission(self, request: Request, view: Any) -> bool:
        """Tell whether the presented key may; a view that names no scope opens to nobody."""
        facts = request.auth
        required = getattr(view, "required_scope", None)
        return isinstance(facts, KeyFacts) and required is not None and required in facts.scopes


def check_key(plain: str, *, now: datetime) -> KeyFacts:
    """Return whose key it is, or raise AuthenticationFailed; an invented key is refused before any query."""
    prefix = keys.find_prefix(plain)
    found = queries.find_key(prefix) if prefix is not None else None
    if found is None or not hmac.compare_digest(found.secret_sha256, keys.hash_key(plain)):
        raise AuthenticationFailed("This key is not known.", code="invalid_key")
    if found.revoked_at is not None:
        raise AuthenticationFailed("This key was revoked.", code="revoked_key")
    if found.expires_at is not None and found.expires_at <= now:
        raise AuthenticationFailed("This key has expired.", code="expired_key")
    if found.state == "closed":
        raise AuthenticationFailed("What this key opens is closed.", code="closed")
    operations.note_key_use(kind=found.kind, key_id=found.key_id, account_id=found.account_id, now=now)
    return KeyFacts(
        kind=found.kind,
        key_id=found.key_id,
        account_id=found.account_id,
        source_id=found.source_id,
        source_slug=found.source_slug,
        scopes=found.scopes,
        name=found.key_name,
    )
