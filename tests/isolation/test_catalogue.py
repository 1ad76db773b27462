"""The catalogue keeps accounts apart, and every way of breaking that is noticed, table by table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.apps import apps
from django.db import transaction

from accounts.tenancy import as_owner, connection
from tests.isolation.catalogue import ACCOUNT_TABLE, OFFERED_TABLES, PLATFORM_TABLES, list_faults


def tenant_tables() -> list[str]:
    """Name the tables that hold an account's rows, as the models declare them."""
    models = apps.get_models()
    named = {
        model._meta.db_table for model in models if any(f.column == "account_id" for f in model._meta.fields)
    }
    return sorted(named - PLATFORM_TABLES | {ACCOUNT_TABLE})


@contextmanager
def broken_by(*statements: str) -> Iterator[Any]:
    """Break the schema inside a transaction that is always taken back."""
    with as_owner(), transaction.atomic(using="owner"), connection().cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        yield cursor
        transaction.set_rollback(True, using="owner")


def test_catalogue_keeps_accounts_apart(portal_db: None) -> None:
    with as_owner(), connection().cursor() as cursor:
        assert list_faults(cursor) == []


SABOTAGE = {
    "policy dropped": "DROP POLICY own_account ON {table}",
    "policy widened": "ALTER POLICY own_account ON {table} USING (true)",
    "writes not checked": "ALTER POLICY own_account ON {table} WITH CHECK (true)",
    "second policy": "CREATE POLICY kind ON {table} TO portal_web USING (true)",
    "policy for everybody": "CREATE POLICY kind ON {table} USING (true)",
    "owner not forced": "ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY",
    "security off": "ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
    "more rights": "GRANT TRUNCATE ON {table} TO portal_web",
    "rights for everybody": "GRANT SELECT ON {table} TO PUBLIC",
    "fewer rights": "REVOKE ALL ON {table} FROM portal_worker",
}


@pytest.mark.parametrize("way", SABOTAGE)
@pytest.mark.parametrize("table", tenant_tables())
def test_each_table_is_watched(portal_db: None, table: str, way: str) -> None:
    with broken_by(SABOTAGE[way].format(table=table)) as cursor:
        assert any(fault.startswith(table) for fault in list_faults(cursor))


OFFERED_SABOTAGE = {
    "policy dropped": "DROP POLICY offered ON {table}",
    "policy widened": "ALTER POLICY offered ON {table} USING (true)",
    "second policy": "CREATE POLICY kind ON {table} TO portal_web USING (true)",
    "policy for everybody": "CREATE POLICY kind ON {table} USING (true)",
    "staff shut out": "DROP POLICY every_row_portal_staff ON {table}",
    "owner not forced": "ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY",
    "security off": "ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
    "more rights": "GRANT UPDATE ON {table} TO portal_web",
}


@pytest.mark.parametrize("way", OFFERED_SABOTAGE)
@pytest.mark.parametrize("table", OFFERED_TABLES)
def test_each_offered_table_is_watched(portal_db: None, table: str, way: str) -> None:
    with broken_by(OFFERED_SABOTAGE[way].format(table=table)) as cursor:
        assert any(fault.startswith(table) for fault in list_faults(cursor))


OTHER_SABOTAGE = {
    "view": "CREATE VIEW leak AS SELECT * FROM insights_usagerollup",
    "materialized view": "CREATE MATERIALIZED VIEW leak AS SELECT * FROM insights_usagerollup",
    "table nobody declared": "CREATE TABLE leak (id bigint)",
    "tenant table without policy": "CREATE TABLE leak (id bigint, account_id bigint NOT NULL)",
    "function": "CREATE FUNCTION leak() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT 1::bigint'",
    "function for everybody": "GRANT EXECUTE ON FUNCTION portal_find_key(text) TO PUBLIC",
    "function without path": "ALTER FUNCTION portal_find_key(text) RESET search_path",
    "function with an open path": "ALTER FUNCTION portal_find_key(text) SET search_path = pg_catalog, public",
    "function of another role": "GRANT EXECUTE ON FUNCTION portal_find_key(text) TO portal_intake",
    "account may be null": "ALTER TABLE insights_download ALTER COLUMN account_id DROP NOT NULL",
    "platform-wide key": "CREATE UNIQUE INDEX leak ON accounts_apikey (prefix)",
    "key to another account": "ALTER TABLE insights_usagerevision DROP CONSTRAINT usagerevision_same_account, "
    "ADD CONSTRAINT leak FOREIGN KEY (series_id) REFERENCES insights_series (id)",
    "column": "GRANT SELECT (value) ON insights_rejectedline TO portal_staff",
    "schema": "GRANT CREATE ON SCHEMA public TO portal_web",
    "platform table": "GRANT SELECT ON insights_source TO portal_web",
    "identity partition": "GRANT SELECT ON insights_usageidentity_0 TO portal_web",
    "partition without security": "ALTER TABLE insights_usageidentity_0 DISABLE ROW LEVEL SECURITY",
    "partition policy": "CREATE POLICY leak ON insights_usageidentity_0 TO portal_web USING (true)",
    "sequence": "GRANT USAGE ON SEQUENCE accounts_account_id_seq TO portal_web",
}


@pytest.mark.parametrize("way", OTHER_SABOTAGE)
def test_every_other_hole_is_watched(portal_db: None, way: str) -> None:
    with broken_by(OTHER_SABOTAGE[way]) as cursor:
        assert list_faults(cursor) != []


def test_new_month_is_closed_to_everybody(portal_db: None) -> None:
    with broken_by("SELECT portal_ensure_month('2019-05-17')") as cursor:
        cursor.execute("SELECT to_regclass('insights_usagerecord_201905')::text")
        assert cursor.fetchone() == ("insights_usagerecord_201905",)
        assert list_faults(cursor) == []
        cursor.execute("GRANT SELECT ON insights_usagerecord_201905 TO portal_web")
        assert list_faults(cursor) != []


DETACH = (
    "SELECT portal_ensure_month('2019-05-17')",
    "ALTER TABLE insights_usagerecord DETACH PARTITION insights_usagerecord_201905",
    "ALTER TABLE insights_usagerecord_201905 RENAME TO insights_usagerecord_201905_detached",
)


@pytest.mark.parametrize(
    "way",
    [
        "GRANT SELECT ON {table} TO portal_worker",
        "GRANT SELECT ON {table} TO PUBLIC",
        "CREATE POLICY leak ON {table} TO portal_web USING (true)",
        "ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY",
    ],
)
def test_detached_month_is_closed_to_everybody(portal_db: None, way: str) -> None:
    table = "insights_usagerecord_201905_detached"
    with broken_by(*DETACH) as cursor:
        assert list_faults(cursor) == []
        cursor.execute(way.format(table=table))
        assert any(table in fault for fault in list_faults(cursor))
