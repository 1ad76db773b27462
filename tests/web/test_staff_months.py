"""The staff page of the ledger's months: who may look, what it says, and that its CSV is the same table."""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse

from accounts.tenancy import as_owner, connection
from tests.retention import months
from tests.retention.conftest import archives as archives
from tests.retention.months import archive, send

pytestmark = pytest.mark.database


@pytest.mark.parametrize("name", ["staff-months", "staff-months-csv"])
@pytest.mark.parametrize("who", ["owner", "viewer", "stranger"])
def test_for_customers_there_is_no_such_page(cast: Any, signed_in: Any, name: str, who: str) -> None:
    assert signed_in(getattr(cast, who)).get(reverse(name)).status_code == 404


def test_the_page_says_what_is_where_and_what_may_be_archived(
    cast: Any, archives: Path, signed_in: Any
) -> None:
    send(months.make_world_beside(), *months.month_lines())
    row = archive()
    with as_owner(), connection().cursor() as cursor:
        cursor.execute(
            "UPDATE insights_usagemonth SET archived_at = %s WHERE month = %s", [months.NOW, row.month]
        )

    page = signed_in(cast.staff).get(reverse("staff-months")).content.decode()

    assert "1 archived" in page
    assert row.file_sha256 in page
    assert "ops: older than we bill" in page
    assert "table kept until <time" in page
    assert "2 Dec 2026, 12:00" in page
    assert "archive_month 20" in page
    assert "No month is archived by itself" in page
    assert 'href="/staff/months/" aria-current="page"' in page


def test_the_csv_is_the_same_table(cast: Any, archives: Path, signed_in: Any) -> None:
    send(months.make_world_beside(), *months.month_lines())
    row = archive(months.replaced(reason="=cmd"))

    answer = signed_in(cast.staff).get(reverse("staff-months-csv"))

    lines = {line["month"]: line for line in csv.DictReader(StringIO(answer.content.decode()))}
    june, july = lines["2024-06"], lines["2024-07"]
    assert (june["state"], june["records"], june["records_are"]) == ("archived", "45", "counted")
    assert (june["file_sha256"], june["seal_sha256"]) == (row.file_sha256, row.seal_sha256)
    assert june["reason"] == "'=cmd"
    assert (july["state"], july["may_be_archived_from"]) == ("attached", "2025-09-01T00:00:00Z")
    assert answer["Content-Disposition"] == 'attachment; filename="ledger-months.csv"'


def test_the_page_says_that_months_ahead_are_missing_until_they_are_made(cast: Any, signed_in: Any) -> None:
    from insights.upkeep import make_months_ahead

    browser = signed_in(cast.staff)
    _drop_coming_months()

    assert "ahead not made yet" in browser.get(reverse("staff-months")).content.decode()
    assert make_months_ahead() >= 2
    assert make_months_ahead() == 0
    assert "ahead not made yet" not in browser.get(reverse("staff-months")).content.decode()


def _drop_coming_months() -> None:
    with as_owner(), connection().cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_class c WHERE c.relname ~ '^insights_usagerecord_[0-9]{6}$' "
            "AND c.relname > 'insights_usagerecord_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMM')"
        )
        for (table,) in cursor.fetchall():
            cursor.execute(f"DROP TABLE {table}")


def test_an_empty_ledger_has_an_empty_state(
    cast: Any, signed_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("insights.web.staff_months.list_months", lambda *, now: ())

    page = signed_in(cast.staff).get(reverse("staff-months")).content.decode()

    assert "No months yet" in page
