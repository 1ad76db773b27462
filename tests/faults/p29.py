"""P29: the database itself keeps accounts apart, whatever is asked of it and in whatever state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg

from tests.faults.pooler import find_pooler, pooled
from tests.faults.site import Outcome, Site
from tests.isolation.asking import STATEMENTS, Connection, Findings, Table, ask_everything
from tests.isolation.catalogue import ACCOUNT_TABLE, NOT_FOR_WEB, list_faults

SENTENCE = "The database itself keeps accounts apart"
STATEMENTS_MIN = 200
# The web role has no right to it at all, which the catalogue of rights says.
SABOTAGE = {
    "dropped": ("DROP POLICY own_account ON {table}",),
    "opened": ("ALTER POLICY own_account ON {table} USING (true)",),
}


def run(site: Site) -> Outcome:
    """Hold the catalogue to the rules and ask every table in every state, straight and through a pooler."""
    outcome = Outcome("P29", SENTENCE, site.seed)
    tables, ours, other = _fill()
    if site.sabotage:
        _break_each(site, outcome, tables, ours, other)
        return outcome
    with _owner(site) as owner:
        faults = list_faults(owner)
        views = _make_views(owner, tables)
    outcome.require(f"the catalogue: {faults}", holds=not faults)
    straight = ask_everything(
        _connecting(site.env["DATABASE_URL"]), (*tables, *views), ours=ours, other=other
    )
    _add(outcome, "straight", straight)
    if find_pooler() is None:
        outcome.figures.append("not tried through a pooler: pgbouncer is not installed")
    else:
        with pooled(site.servers(), site.directory) as address:
            _add(outcome, "through pgbouncer", ask_everything(
                _connecting(address), tables, ours=ours, other=other
            ))  # fmt: skip
    outcome.figures.append(
        f"{len(tables)} tables, each also through a view; {len(STATEMENTS)} ways to ask each"
    )
    # Each statement tries to see what it should not.
    outcome.faults_asked = STATEMENTS_MIN
    outcome.check_faults()
    return outcome


def _fill() -> tuple[tuple[Table, ...], int, int]:
    """Fill every table for two accounts."""
    from tests import factories
    from tests.isolation.rows import fill_every_table
    from tests.isolation.test_catalogue import tenant_tables

    ours, other = factories.make_account("ours"), factories.make_account("other")
    for account in (ours, other):
        fill_every_table(account)
    tables = tuple(
        Table(name, "id" if name == ACCOUNT_TABLE else "account_id")
        for name in tenant_tables()
        if name not in NOT_FOR_WEB
    )
    return tables, ours.pk, other.pk


@contextmanager
def _owner(site: Site) -> Iterator[Any]:
    """A cursor of the tables' owner, whose changes are kept."""
    with psycopg.connect(site.env["MIGRATE_DATABASE_URL"]) as link, link.cursor() as cursor:
        cursor.execute("SET ROLE portal_owner")
        yield cursor


def _make_views(owner: Any, tables: Sequence[Table]) -> list[Table]:
    """A view on each table as a release might add one; it reads with the rights of who asks."""
    views = []
    for table in tables:
        view = Table(f"asked_{table.name}", table.column)
        owner.execute(
            f"CREATE VIEW {view.name} WITH (security_invoker = true) AS SELECT {table.column} FROM {table.name}"
        )
        owner.execute(f"GRANT SELECT ON {view.name} TO portal_web")
        views.append(view)
    return views


def _connecting(address: str) -> Callable[[], Connection]:
    # A pooler hands a connection on between transactions, with what one client prepared on it.
    return partial(psycopg.connect, address, prepare_threshold=None)


def _add(outcome: Outcome, way: str, findings: Findings) -> None:
    outcome.faults += findings.statements
    outcome.rows += findings.rows
    outcome.differences += len(findings.faults)
    outcome.failures += [f"{way}: {fault}" for fault in findings.faults]
    outcome.figures.append(f"{way}: {findings.statements} statements, {len(findings.faults)} faults")


def _break_each(site: Site, outcome: Outcome, tables: Sequence[Table], ours: int, other: int) -> None:
    """Break one table after the other, in two ways; the catalogue and the questions must both see each."""
    unseen, tried = [], 0
    for table in tables:
        for way, statements in SABOTAGE.items():
            tried += 1
            before = _policy(site, table)
            with _owner(site) as owner:
                for statement in statements:
                    owner.execute(statement.format(table=table.name))
                faults = [fault for fault in list_faults(owner) if fault.startswith(table.name)]
            findings = ask_everything(_connecting(site.env["DATABASE_URL"]), [table], ours=ours, other=other)
            if not faults or not findings.faults:
                unseen.append(f"{table.name} {way}")
            with _owner(site) as owner:
                owner.execute(f"DROP POLICY IF EXISTS own_account ON {table.name}")
                owner.execute(before)
    outcome.figures.append(f"{tried - len(unseen)} of {tried} breakages seen; unseen: {unseen or 'none'}")
    # Red means that every single breakage was seen.
    outcome.require(f"{tried} breakages seen, table by table", holds=bool(unseen))


def _policy(site: Site, table: Table) -> str:
    """The statement that makes the table's policy as it is."""
    with _owner(site) as owner:
        owner.execute(
            "SELECT pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid), "
            "(SELECT string_agg(pg_get_userbyid(role), ', ') FROM unnest(p.polroles) role) "
            "FROM pg_policy p WHERE p.polrelid = %s::regclass AND p.polname = 'own_account'",
            [table.name],
        )
        using, check, roles = owner.fetchone()
    return f"CREATE POLICY own_account ON {table.name} TO {roles} USING ({using}) WITH CHECK ({check})"
