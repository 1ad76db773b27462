"""The database of the tests: migrated once through the owner, committed to for real, emptied after each test.

Several roles look at the same rows, so nothing here hides in a transaction that is rolled back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

import pytest
from django.core.management import call_command
from django.db import transaction
from django.test import Client

from accounts.models import Account, User
from accounts.tenancy import as_owner, connection
from tests import factories

# What migrations put in; everything else is rows of a test.
KEPT_TABLES = frozenset(
    {"django_migrations", "django_content_type", "auth_permission", "insights_ledgerhead"}
)

FEW_ROWS = 2_000


@dataclass(frozen=True, slots=True)
class Cast:
    """Who appears in the tests: two accounts that must never meet, their people, and staff."""

    ours: Account
    other: Account
    owner: User
    viewer: User
    stranger: User
    staff: User
    superuser: User


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses the database, so that it can be run once more on another server."""
    for item in items:
        if "migrated_database" in getattr(item, "fixturenames", ()):
            item.add_marker("database")


@pytest.fixture(scope="session")
def migrated_database(django_db_blocker: Any) -> Iterator[None]:
    """Migrate the session's database once, as the owner."""
    with django_db_blocker.unblock():
        call_command("migrate", database="owner", interactive=False, verbosity=0)
        _empty_tables()
        yield


@pytest.fixture
def portal_db(migrated_database: None, django_db_blocker: Any) -> Iterator[None]:
    """Give a test the database with every role, and take its rows away afterwards."""
    with django_db_blocker.unblock():
        yield
        _empty_tables()


@pytest.fixture
def cast(portal_db: None) -> Cast:
    """Put Ansel, Brook and their people into the database; every text of Brook carries a canary."""
    ours = factories.make_account("ansel", name="Ansel Ltd")
    other = factories.make_account("brook-CANARY", name="Brook CANARY Inc")
    people = {name: factories.make_user(f"{name}@example.com") for name in ("owner", "viewer")}
    stranger = factories.make_user("stranger-canary@example.com", name="Stranger CANARY")
    factories.make_membership(ours, people["owner"], role="owner")
    factories.make_membership(ours, people["viewer"], role="viewer")
    factories.make_membership(other, stranger, role="owner")
    return Cast(
        ours=ours,
        other=other,
        owner=people["owner"],
        viewer=people["viewer"],
        stranger=stranger,
        staff=factories.make_user("staff@example.com", is_staff=True),
        superuser=factories.make_user("root@example.com", is_staff=True, is_superuser=True),
    )


@pytest.fixture
def signed_in(portal_db: None) -> Any:
    """Return a function that gives a browser signed in as somebody; every answer of it is a real response."""

    def sign_in(user: User | None, **options: Any) -> Client:
        client = Client(**options)
        if user is not None:
            client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
        return client

    return sign_in


def _empty_tables() -> None:
    """Delete what a test left. Truncating costs new files for every table, so it is kept for many rows."""
    with as_owner(), transaction.atomic(using="owner"), connection().cursor() as cursor:
        tables = _tables_children_first(cursor)
        counts = " UNION ALL ".join(
            f"SELECT '{table}', count(*) FROM (SELECT FROM {table} LIMIT {FEW_ROWS}) AS looked_at"
            for table in tables
        )
        cursor.execute(counts)
        used = {table: number for table, number in cursor.fetchall() if number}
        if any(number == FEW_ROWS for number in used.values()):
            cursor.execute(f"TRUNCATE {', '.join(used)} CASCADE")
        else:
            for table in tables:
                if table in used:
                    cursor.execute(f"DELETE FROM {table}")
        cursor.execute("UPDATE insights_ledgerhead SET position = 0 WHERE position <> 0")


def _tables_children_first(cursor: Any) -> list[str]:
    """Order the tables so that a row is deleted before the row it points to."""
    cursor.execute(
        "SELECT c.relname, target.relname FROM pg_class c "
        "LEFT JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'f' AND k.confrelid <> c.oid "
        "LEFT JOIN pg_class target ON target.oid = k.confrelid "
        "WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
    )
    parents_first: TopologicalSorter[str] = TopologicalSorter()
    for table, target in cursor.fetchall():
        parents_first.add(table, *([target] if target else []))
    return [table for table in reversed(list(parents_first.static_order())) if table not in KEPT_TABLES]
