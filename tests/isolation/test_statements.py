"""Raw SQL as the web role: whatever the state of its connection, another account's rows do not come out."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest

from accounts.tenancy import as_owner, connection
from tests.conftest import Cast
from tests.isolation.catalogue import NOT_FOR_WEB
from tests.isolation.rows import fill_every_table
from tests.isolation.test_catalogue import tenant_tables


@dataclass(frozen=True, slots=True)
class Stage:
    """A web connection, and the two accounts whose rows fill every table."""

    web: psycopg.Connection[tuple[object, ...]]
    ours: int
    other: int
    other_user: int


@pytest.fixture
def stage(cast: Cast) -> Iterator[Stage]:
    """Fill every table for both accounts and connect as the web role."""
    for account in (cast.ours, cast.other):
        fill_every_table(account)
    with psycopg.connect(os.environ["DATABASE_URL"]) as web:
        yield Stage(web, cast.ours.pk, cast.other.pk, cast.stranger.pk)


def account_column(table: str) -> str:
    return "id" if table == "accounts_account" else "account_id"


def readable_tables() -> list[str]:
    """Tables the web role may read at all; the others answer with an error, which a test below asserts."""
    return [table for table in tenant_tables() if table not in NOT_FOR_WEB]


def as_account(stage: Stage, account_id: object) -> None:
    stage.web.execute("SELECT set_config('portal.account', %s, true)", [str(account_id)])


def count_foreign(stage: Stage, table: str) -> object:
    """Count rows that are not ours, in four ways of asking."""
    column = account_column(table)
    ways = [
        f"SELECT count(*) FROM {table} WHERE {column} <> {stage.ours}",
        f"SELECT count(*) FROM {table} WHERE {column} = {stage.other}",
        f"WITH every AS (SELECT * FROM {table}) SELECT count(*) FROM every WHERE {column} IN ({stage.other})",
        f"SELECT count(*) FROM (TABLE {table}) every WHERE NOT ({column} = {stage.ours})",
    ]
    counts = [row[0] for way in ways if (row := stage.web.execute(way).fetchone()) is not None]
    with stage.web.cursor() as cursor, cursor.copy(f"COPY (SELECT {column} FROM {table}) TO STDOUT") as lines:
        counts.append(sum(bytes(line).strip() == str(stage.other).encode() for line in lines))
    return sum(int(str(number)) for number in counts)


def count_all(stage: Stage, table: str) -> int:
    row = stage.web.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return int(str(row[0]))


def test_every_table_holds_rows_of_both(stage: Stage) -> None:
    """Without this, empty tables would make the tests below say nothing."""
    with as_owner(), connection().cursor() as cursor:
        for table in tenant_tables():
            for account_id in (stage.ours, stage.other):
                cursor.execute(
                    f"SELECT count(*) FROM {table} WHERE {account_column(table)} = %s", [account_id]
                )
                assert cursor.fetchone()[0] >= 1, table


@pytest.mark.parametrize("setting", [None, "", "0", "-1", "999999999"])
def test_no_or_wrong_account_sees_nothing(stage: Stage, setting: str | None) -> None:
    for table in readable_tables():
        if setting is not None:
            as_account(stage, setting)
        assert count_all(stage, table) == 0, table
        stage.web.rollback()


@pytest.mark.parametrize("setting", ["abc", "1 OR true", "9223372036854775808", "1; RESET ROLE"])
def test_nonsense_is_an_error(stage: Stage, setting: str) -> None:
    for table in readable_tables():
        as_account(stage, setting)
        with pytest.raises(psycopg.DataError):
            count_all(stage, table)
        stage.web.rollback()


@pytest.mark.parametrize(
    "before", ["nothing", "commit", "rollback", "error", "other account", "closed cursor"]
)
def test_our_account_sees_only_ours(stage: Stage, before: str) -> None:
    """The connection is used again after whatever happened on it."""
    for table in readable_tables():
        if before != "nothing":
            as_account(stage, stage.other)
            count_all(stage, table)
        if before == "error":
            with pytest.raises(psycopg.Error):
                stage.web.execute("SELECT 1 / 0")
        (stage.web.commit if before == "commit" else stage.web.rollback)()
        as_account(stage, stage.ours)
        assert count_foreign(stage, table) == 0, table
        assert count_all(stage, table) >= 1, table
        stage.web.rollback()
        assert count_all(stage, table) == 0, table
        stage.web.rollback()


def test_local_setting_outside_a_transaction_opens_nothing(stage: Stage) -> None:
    stage.web.autocommit = True
    for table in readable_tables():
        as_account(stage, stage.other)
        assert count_all(stage, table) == 0, table


def test_person_sees_own_memberships_only(stage: Stage) -> None:
    stage.web.execute("SELECT set_config('portal.user', %s, true)", [str(stage.other_user)])
    rows = stage.web.execute("SELECT account_id, user_id FROM accounts_membership").fetchall()
    assert rows == [(stage.other, stage.other_user)]
    assert stage.web.execute("SELECT id FROM accounts_account").fetchall() == [(stage.other,)]
    for table in set(readable_tables()) - {"accounts_membership", "accounts_account"}:
        assert count_all(stage, table) == 0, table


def test_another_connection_at_the_same_time_changes_nothing(stage: Stage) -> None:
    found: list[int] = []

    def look_as_the_other() -> None:
        with psycopg.connect(os.environ["DATABASE_URL"]) as theirs:
            theirs.execute("SELECT set_config('portal.account', %s, true)", [str(stage.other)])
            found.append(len(theirs.execute("SELECT 1 FROM insights_usagerollup").fetchall()))

    as_account(stage, stage.ours)
    thread = threading.Thread(target=look_as_the_other)
    thread.start()
    thread.join()
    assert found == [1]
    assert sum(int(str(count_foreign(stage, table))) for table in readable_tables()) == 0


WRITES = [
    "DELETE FROM {table} WHERE {column} = {other}",
    "UPDATE {table} SET {column} = {ours} WHERE {column} = {other}",
    "UPDATE {table} SET {column} = {other}",
    "INSERT INTO {table} SELECT * FROM {table}",
    "TRUNCATE {table}",
    "ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
    "DROP POLICY own_account ON {table}",
    "SELECT * FROM {table} WHERE {column} = {other} FOR UPDATE",
    "COPY {table} TO PROGRAM 'cat'",
]


def touched_rows(stage: Stage, statement: str) -> int:
    """Count rows that a statement touched; a refusal for want of rights, or for a key taken by ourselves, is none."""
    try:
        return stage.web.execute(statement).rowcount
    except (
        psycopg.errors.InsufficientPrivilege,
        psycopg.errors.UniqueViolation,
        psycopg.errors.GeneratedAlways,
    ):
        return 0


@pytest.mark.parametrize("write", WRITES)
def test_writes_to_another_account_fail_or_find_nothing(stage: Stage, write: str) -> None:
    for table in tenant_tables():
        as_account(stage, stage.ours)
        statement = write.format(
            table=table, column=account_column(table), ours=stage.ours, other=stage.other
        )
        assert touched_rows(stage, statement) <= 0, (table, statement)
        stage.web.rollback()


def test_new_row_for_another_account_is_refused(stage: Stage) -> None:
    as_account(stage, stage.ours)
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
        stage.web.execute(
            "INSERT INTO accounts_auditentry (account_id, actor_name, act, subject, details) "
            "VALUES (%s, 'x', 'x', 'x', '{}')",
            [stage.other],
        )


ESCAPES = [
    "SET ROLE portal_owner",
    "SET ROLE portal_worker",
    "SET SESSION AUTHORIZATION portal_worker",
    "SET session_replication_role = replica",
    "SELECT * FROM insights_usageidentity",
    "SELECT * FROM insights_archivedseries",
    "SELECT * FROM insights_usagemonth",
    "SELECT * FROM insights_usageidentity_0",
    "SELECT * FROM insights_usagerecord_202611",
    "SELECT * FROM insights_source",
    "SELECT * FROM insights_batch",
    "SELECT * FROM insights_batchbytes",
    "SELECT portal_ensure_month('2026-12-01')",
    "CREATE TABLE public.leak (id int)",
    "CREATE FUNCTION public.leak() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT lo_import('/etc/passwd')",
    "ALTER ROLE portal_web BYPASSRLS",
    "UPDATE accounts_user SET is_staff = true",
    "UPDATE accounts_auditentry SET subject = ''",
    "DELETE FROM accounts_supportaccesspage",
]


@pytest.mark.parametrize("statement", ESCAPES)
def test_ways_out_of_the_role_are_closed(stage: Stage, statement: str) -> None:
    as_account(stage, stage.ours)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        stage.web.execute(statement)


def test_row_security_cannot_be_switched_off(stage: Stage) -> None:
    stage.web.execute("SET row_security = off")
    for table in readable_tables():
        with pytest.raises(psycopg.errors.InsufficientPrivilege), stage.web.transaction():
            stage.web.execute(f"SELECT 1 FROM {table}")


def test_statistics_do_not_give_values_away(stage: Stage) -> None:
    with as_owner(), connection().cursor() as cursor:
        cursor.execute("ANALYZE insights_rejectedline")
    as_account(stage, stage.ours)
    query = "SELECT * FROM pg_stats WHERE tablename IN ('insights_rejectedline', 'accounts_membership')"
    assert stage.web.execute(query).fetchall() == []


@pytest.mark.parametrize("role", ["STAFF", "INTAKE"])
def test_other_roles_have_no_way_to_usage(stage: Stage, role: str) -> None:
    usage = ["series", "seriesdimension", "usagerecord", "usagerevision", "usageidentity", "usagerollup"]
    with psycopg.connect(os.environ[f"{role}_DATABASE_URL"]) as link:
        for table in usage:
            with pytest.raises(psycopg.errors.InsufficientPrivilege), link.transaction():
                link.execute(f"SELECT 1 FROM insights_{table}")


def test_staff_never_read_a_refused_cell(stage: Stage) -> None:
    with psycopg.connect(os.environ["STAFF_DATABASE_URL"]) as staff:
        assert staff.execute("SELECT count(code) FROM insights_rejectedline").fetchone() == (2,)
        for column in ("value", "message", "raw"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), staff.transaction():
                staff.execute(f"SELECT {column} FROM insights_rejectedline")
