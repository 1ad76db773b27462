"""Every address of the portal, with what its view declared, and how to fill in its variable parts.

An address with a part that is not known here, or without a declaration, stops the tests that use this.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RoutePattern

from accounts.access import Access

# Views of libraries: allauth's own sign-in, and the admin, whose site wraps each page in the staff role.
SIGN_IN = frozenset(
    {
        "account_login",
        "account_logout",
        "account_inactive",
        "account_signup",
        "account_reauthenticate",
        "account_change_password",
        "account_set_password",
        "account_reset_password",
        "account_reset_password_done",
        "account_reset_password_from_key",
        "account_reset_password_from_key_done",
    }
)


@dataclass(frozen=True, slots=True)
class Address:
    """One route: its name, its text with <converter:part> left in, and who may open it."""

    name: str
    route: str
    parts: tuple[str, ...]
    kind: str
    roles: tuple[str, ...] = ()

    def path(self, values: Mapping[str, Any]) -> str:
        """Fill in the variable parts; a part nobody provides is a KeyError, and so a red test."""
        path = self.route
        for part in self.parts:
            start = path.index("<")
            path = path[:start] + str(values[part]) + path[path.index(">", start) + 1 :]
        return f"/{path}"


def list_addresses() -> tuple[Address, ...]:
    """Return every address except the admin's, which has tests of its own."""
    return tuple(_walk(get_resolver().url_patterns, "", ()))


def _walk(patterns: Any, before: str, parts: tuple[str, ...]) -> Iterator[Address]:
    for pattern in patterns:
        route = before + str(pattern.pattern)
        named = (*parts, *pattern.pattern.converters) if isinstance(pattern.pattern, RoutePattern) else parts
        if isinstance(pattern, URLResolver):
            if pattern.app_name != "admin":
                yield from _walk(pattern.url_patterns, route, named)
        elif isinstance(pattern, URLPattern):
            yield _address(pattern, route, named)


def _address(pattern: URLPattern, route: str, parts: tuple[str, ...]) -> Address:
    name = str(pattern.name)
    view: Any = pattern.callback
    access = getattr(view, "access", None)
    if isinstance(access, Access):
        return Address(name, route, parts, access.kind, access.roles)
    if getattr(getattr(view, "cls", None), "required_scope", None):
        return Address(name, route, parts, "api")
    return Address(name, route, parts, "sign_in" if name in SIGN_IN else "undeclared")


def absent_values(slug: str) -> dict[str, Any]:
    """Return a value for every kind of part that names nothing."""
    names = [
        "account_uuid",
        "backfill_uuid",
        "batch_uuid",
        "bill_uuid",
        "batch_id",
        "invoice_id",
        "key_uuid",
        "user_uuid",
        "download_id",
        "download_uuid",
        "note_id",
        "finding_uuid",
        "note_uuid",
        "view_uuid",
        "subscription_uuid",
    ]
    named = {"slug": slug, "plan_key": slug, "price_key": slug, "position": 1}
    return {**{name: uuid.uuid4() for name in names}, **named}
