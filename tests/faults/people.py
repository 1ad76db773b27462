"""Somebody who is signed in, as cookies for a client of our own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Visitor:
    """A session, and where its account's pages begin."""

    cookie: str
    home: str


def member_of(account: Any, *, name: str = "looker") -> Visitor:
    """Open a session for a new member of an account."""
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore

    from tests.factories import make_membership, make_user

    user = make_user(f"{name}@example.com")
    make_membership(account, user)
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "allauth.account.auth_backends.AuthenticationBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return Visitor(f"sessionid={session.session_key}", f"/a/{account.public_id}/")
