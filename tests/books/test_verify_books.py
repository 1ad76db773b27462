"""The books agree after anything that was delivered, and every kind of damage is named."""

from __future__ import annotations

from datetime import date
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from accounts.tenancy import as_owner, as_worker, connection
from insights.books.bill_checks import BILL_CHECKS
from insights.books.checks import CHECKS
from insights.books.payout_checks import PAYOUTS
from insights.books.rollup_checks import ARCHIVED_KNOWN, SEALS
from insights.books.uncovered_checks import UNCOVERED
from insights.models import BookCheck
from insights.upkeep import verify_books
from tests import factories
from tests.books.damage import DAMAGE
from tests.factories import ingest_now
from tests.metering.facts import sum_days_before

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("portal_db")]
# Two compare once a month is archived, see tests/retention, and those of bills once there are some.
NOTHING_TO_COMPARE = (SEALS, ARCHIVED_KNOWN, UNCOVERED, PAYOUTS, *BILL_CHECKS)


@pytest.fixture
def books() -> None:
    """Books in which every check has something to compare: both key kinds, every verdict, each aggregation."""
    factories.make_account("ansel", billing_zone="America/Havana")
    factories.make_account("brook", billing_zone="Asia/Tokyo")
    factories.make_meter("bytes_out")
    factories.make_meter("seats", aggregation="latest")
    factories.make_meter("hours", aggregation="unique_count", unique_dimensions=["endpoint"])
    _send_windows(factories.make_source("edge", clock_zone=""))
    _send_rows(factories.make_source("rows", key_kind="row_id", clock_zone=""))
    assert sum_days_before(date(2026, 11, 2))


def _send_windows(source: Any) -> None:
    header = "account,meter,window_start,quantity,endpoint,revision\n"

    def line(account: str, meter: str, at: int, quantity: object, revision: int = 1) -> str:
        return f"{account},{meter},2026-11-01T{at:02d}:00:00Z,{quantity},a,{revision}\n"

    first = [
        line(account, meter, at, at)
        for account in ("ansel", "brook")
        for meter in ("bytes_out", "seats", "hours")
        for at in range(24)
    ]
    ingest_now(source, header + "".join(first))
    ingest_now(
        source,
        header
        + line("ansel", "bytes_out", 3, 99, 3)
        + "\n"
        + line("ansel", "bytes_out", 3, 98, 2)
        + line("ansel", "seats", 23, 5, 2)
        + line("brook", "hours", 5, 0, 2)
        + line("brook", "hours", 6, 6)
        + line("brook", "hours", 6, 7)
        + line("nobody", "hours", 6, 7),
    )


def _send_rows(source: Any) -> None:
    header = "account,meter,window_start,quantity,endpoint,revision,row_id\n"
    ingest_now(
        source,
        header
        + "ansel,bytes_out,2026-11-01T01:00:00Z,5,a,1,r1\n"
        + "ansel,hours,2026-11-01T01:00:00Z,5,a,1,r2\n"
        + "ansel,hours,2026-11-01T01:00:00Z,6,a,1,r3\n",
    )
    ingest_now(source, header + "ansel,bytes_out,2026-11-02T01:00:00Z,6,b,2,r1\n")


def verify(*options: str) -> tuple[str, bool]:
    """What the command printed, and whether it found the books in order."""
    out = StringIO()
    try:
        call_command("verify_books", *options, stdout=out)
    except CommandError:
        return out.getvalue(), False
    return out.getvalue(), True


def damage(*statements: str) -> None:
    """Change the books as only their owner can, checks and triggers put aside."""
    trigger = "ALTER TABLE insights_ledgerentry {} TRIGGER ledgerentry_position_final"
    with as_owner(), transaction.atomic(using="owner"), connection().cursor() as cursor:
        for statement in (trigger.format("DISABLE"), *statements, trigger.format("ENABLE")):
            cursor.execute(statement)


class TestInOrder:
    def test_every_check_compares_rows_and_nothing_differs(self, books: None) -> None:
        out, agrees = verify()

        assert agrees, out
        for check in [check for check in CHECKS if check not in NOTHING_TO_COMPARE]:
            (said,) = [line for line in out.splitlines() if line.startswith(f"{check.name}: ")]
            assert said.endswith("rows compared, 0 differences")
            assert not said.startswith(f"{check.name}: 0 rows"), said

    def test_one_account_is_checked_without_the_platform(self, books: None) -> None:
        everything, _ = verify()
        one, agrees = verify("--account", "brook")

        assert agrees
        assert "records have their series: 147 rows" in everything
        assert "records have their series: 72 rows" in one
        assert "ledger positions" not in one

    def test_an_unknown_account_is_refused(self) -> None:
        with pytest.raises(CommandError, match="no account 'who'"):
            call_command("verify_books", account="who")

    def test_empty_books_agree(self) -> None:
        assert verify()[1]


class TestDamage:
    @pytest.mark.parametrize("kind", DAMAGE)
    def test_damage_is_named(self, books: None, kind: str) -> None:
        statement, beginning, reason = DAMAGE[kind]
        damage(statement)

        out, agrees = verify()

        assert not agrees
        assert [line for line in out.splitlines() if line.startswith(beginning) and reason in line], out

    def test_not_a_number_is_named(self, books: None) -> None:
        with as_owner(), connection().cursor() as cursor:
            cursor.execute("ALTER TABLE insights_usagerollup DROP CONSTRAINT usagerollup_number")
            cursor.execute(
                "UPDATE insights_usagerollup SET maximum = 'NaN', quantity = 'NaN' WHERE quantity = 6"
            )
        try:
            out, agrees = verify()
        finally:
            damage(
                "DELETE FROM insights_usagerollup WHERE quantity = 'NaN'",
                "ALTER TABLE insights_usagerollup ADD CONSTRAINT usagerollup_number CHECK (quantity <> 'NaN')",
            )

        assert not agrees
        assert ": not a number" in out


class TestDaily:
    def test_the_task_keeps_what_it_found_by_kind_and_id(self, books: None) -> None:
        assert verify_books() == 0
        damage(
            "DELETE FROM insights_ledgerentry WHERE position = 4",
            "UPDATE insights_usagerollup SET quantity = 1",
        )

        assert verify_books() > 0

        with as_worker():
            first, second = BookCheck.objects.order_by("id")
        assert (first.differences, first.named) == (0, [])
        assert first.rows > 500
        assert any(name.startswith("rollup of account ") for name in second.named)


class TestRebuild:
    def test_rebuilding_gives_the_same_rollups_byte_by_byte(self, books: None) -> None:
        before = _rollup_bytes()
        assert len(before) > 10

        out = StringIO()
        call_command("rebuild_rollups", stdout=out)

        assert _rollup_bytes() == before
        assert out.getvalue() == f"{len(before):,} days of 2 accounts summed again.\n"

    def test_rebuilding_mends_one_account_and_leaves_the_other(self, books: None) -> None:
        before = _rollup_bytes()
        damage(
            "UPDATE insights_usagerollup SET quantity = quantity + 1",
            "DELETE FROM insights_usagerollup WHERE records = 1",
        )

        call_command("rebuild_rollups", account="ansel", stdout=StringIO())

        assert verify("--account", "ansel")[1]
        assert not verify("--account", "brook")[1]
        call_command("rebuild_rollups", stdout=StringIO())
        assert _rollup_bytes() == before

    def test_rebuilding_leaves_sums_to_be_made_again_and_they_are_the_same_byte_by_byte(
        self, books: None
    ) -> None:
        before = _sum_bytes()
        assert len(before) > 10
        damage("UPDATE insights_usagesum SET quantity = quantity + 1")

        call_command("rebuild_rollups", stdout=StringIO())

        assert verify()[1]
        sum_days_before(date(2026, 11, 2))
        assert _sum_bytes() == before


def _sum_bytes() -> list[str]:
    with as_worker(), connection().cursor() as cursor:
        cursor.execute(
            "SELECT s::text FROM insights_usagesum s ORDER BY account_id, meter_id, key, day, value"
        )
        return [row[0] for row in cursor.fetchall()]


def _rollup_bytes() -> list[str]:
    with as_worker(), connection().cursor() as cursor:
        cursor.execute(
            "SELECT r::text FROM insights_usagerollup r ORDER BY account_id, meter_id, day, series_id"
        )
        return [row[0] for row in cursor.fetchall()]
