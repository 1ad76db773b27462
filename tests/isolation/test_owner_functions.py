"""Functions that run with the owner's rights cannot be made to run somebody else's code."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connections

from accounts.tenancy import account_scope, connection
from tests import factories
from tests.conftest import Cast

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("portal_db")]


@pytest.mark.parametrize("alias", ["default", "staff", "intake"])
def test_only_the_worker_makes_temporary_objects(alias: str) -> None:
    with connections[alias].cursor() as cursor, pytest.raises(DatabaseError, match="permission denied"):
        cursor.execute("CREATE TEMP TABLE mine (n integer)")


@pytest.mark.parametrize("alias", ["default", "staff", "intake", "worker"])
def test_nobody_makes_large_objects(alias: str) -> None:
    with connections[alias].cursor() as cursor, pytest.raises(DatabaseError, match="permission denied"):
        cursor.execute("SELECT lo_create(0)")


def test_a_temporary_type_does_not_stand_in_for_a_built_in_one() -> None:
    with connections["worker"].cursor() as cursor:
        cursor.execute("CREATE FUNCTION pg_temp.seen(value date) RETURNS boolean LANGUAGE plpgsql AS "
                       "$$ BEGIN RAISE EXCEPTION 'run as %', current_user; END $$")  # fmt: skip
        cursor.execute(
            "CREATE DOMAIN pg_temp.date AS pg_catalog.date CHECK (pg_temp.seen(value::pg_catalog.date))"
        )

        cursor.execute("SELECT portal_ensure_month('2026-11-01'::pg_catalog.date)")

        assert cursor.fetchone() is not None
    connections["worker"].close()


@pytest.mark.parametrize(
    "question",
    [
        "SELECT known_position FROM portal_known_position('infinity', 9)",
        "SELECT entry_id FROM portal_entries_after(0)",
    ],
)
def test_the_ledger_answers_about_the_account_of_the_transaction_alone(cast: Cast, question: str) -> None:
    factories.make_meter()
    source = factories.make_source("edge", clock_zone="")
    header = "account,meter,window_start,quantity\n"
    batches = [
        factories.ingest_now(source, f"{header}{account},bytes_out,2026-11-03T0{hour}:00:00Z,1\n")
        for hour, account in enumerate(("ansel", "brook-CANARY"))
    ]
    assert [batch.new for batch in batches] == [1, 1]
    found = []
    for account in (cast.ours, cast.other):
        with account_scope(account.pk, read_only=True), connection().cursor() as cursor:
            cursor.execute(question)
            found.append(cursor.fetchall())
    with connections["default"].cursor() as cursor:
        cursor.execute(question)
        nobodys = cursor.fetchall()

    assert ([len(rows) for rows in found], nobodys) == ([1, 1], [])
    assert found[0] != found[1]
