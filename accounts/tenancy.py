"""Which database role a piece of code acts as, and for whose account.

The role is a context variable read by a database router, so that queries never name an alias themselves. The account
is a transaction-local PostgreSQL setting that the row-level security policies compare with: it cannot outlive its
transaction and so cannot be seen by the next user of the connection.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

_alias: ContextVar[str] = ContextVar("portal_database_alias", default=DEFAULT_DB_ALIAS)


class RoleRouter:
    """Sends every ORM query to the alias of the role in force; migrations run as the owner alone."""

    def db_for_read(self, model: type, **hints: Any) -> str:
        """Return the alias of the role in force."""
        return _alias.get()

    def db_for_write(self, model: type, **hints: Any) -> str:
        """Return the alias of the role in force."""
        return _alias.get()

    def allow_relation(self, obj1: object, obj2: object, **hints: Any) -> bool:
        """All aliases reach one database, so any two rows may be related."""
        return True

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        """Only the owner changes the schema."""
        return db == "owner"


def current_alias() -> str:
    """Return the alias of the role in force."""
    return _alias.get()


def connection() -> BaseDatabaseWrapper:
    """Return the Django connection of the role in force, for raw SQL."""
    return connections[_alias.get()]


@contextmanager
def _acting_as(alias: str) -> Iterator[None]:
    token = _alias.set(alias)
    try:
        yield
    finally:
        _alias.reset(token)


def as_worker() -> Any:
    """Act as portal_worker: tasks, commands and beat, the only writers across accounts."""
    return _acting_as("worker")


def as_staff() -> Any:
    """Act as portal_staff: the staff pages and the admin; it has no grant on usage data."""
    return _acting_as("staff")


def as_intake() -> Any:
    """Act as portal_intake: stores uploads and reads their receipts, nothing else."""
    return _acting_as("intake")


def as_owner() -> Any:
    """Act as the owner of the tables: migrations and the reset between tests."""
    return _acting_as("owner")


# Each request opens a scope or two, so that what was set before is asked in the statement that sets.
_ENTER = """
WITH before AS MATERIALIZED (SELECT nullif(current_setting('portal.account', true), '') AS account)
SELECT before.account{} FROM before
"""
_SET = ", set_config(%s, %s, true)"


def _enter(alias: str, settings: dict[str, int]) -> str | None:
    """Set what row security compares with until the transaction ends; return whose transaction it was, if any."""
    with connections[alias].cursor() as cursor:
        parameters = [text for name, value in settings.items() for text in (name, str(value))]
        cursor.execute(_ENTER.format(_SET * len(settings)), parameters)
        before: str | None = cursor.fetchone()[0]
    return before


@contextmanager
def account_scope(
    account_id: int,
    *,
    user_id: int | None = None,
    read_only: bool = False,
    alias: str = DEFAULT_DB_ALIAS,
) -> Iterator[None]:
    """Open a transaction in which exactly one account's rows exist.

    With read_only the database itself refuses every write (SQLSTATE 25006). Nested in the transaction of another
    account it raises RuntimeError: one transaction is one account's.
    """
    with _acting_as(alias), transaction.atomic(using=alias):
        person = {} if user_id is None else {"portal.user": user_id}
        before = _enter(alias, {"portal.account": account_id, **person})
        if before not in (None, str(account_id)):
            # What was set goes with the savepoint that this leaves.
            raise RuntimeError("a transaction that serves one account cannot be turned to another")
        if read_only:
            with connections[alias].cursor() as cursor:
                cursor.execute("SET TRANSACTION READ ONLY")
        yield


@contextmanager
def user_scope(user_id: int) -> Iterator[None]:
    """Open a transaction in which a person sees their own memberships and those accounts, and no usage at all."""
    with _acting_as(DEFAULT_DB_ALIAS), transaction.atomic(using=DEFAULT_DB_ALIAS):
        _enter(DEFAULT_DB_ALIAS, {"portal.user": user_id})
        yield
