"""What a preview counts takes time in proportion to its lines, whatever the planner believes about them."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from unittest.mock import patch

import pytest

from accounts.tenancy import connection
from insights.ingest import backfill_queries
from insights.tasks import backfills
from tests import factories
from tests.factories import ingest_now
from tests.ingest.held import body_of, hold, line, opened, preview

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("portal_db")]

DAYS = [date(2026, 9, 1) + timedelta(days=number) for number in range(50)]
ROWS_PER_LINE_MAX = 40


def corrections(revision: int) -> list[str]:
    """One line for each of 1,200 hours."""
    return [line(hour, revision, revision=revision, day=f"{day}") for day in DAYS for hour in range(24)]


def rows_met(plan: dict[str, Any]) -> float:
    """How many rows all steps of a plan brought out or threw away."""
    own = plan["Actual Rows"] + plan.get("Rows Removed by Join Filter", 0)
    return float(own * plan["Actual Loops"] + sum(map(rows_met, plan.get("Plans", ()))))


@pytest.mark.parametrize("key_kind", ["window", "row_id"])
def test_days_are_counted_in_proportion_to_the_lines(portal_db: None, key_kind: str) -> None:
    factories.make_meter("bytes_out")
    factories.make_account("ansel")
    source = factories.make_source("edge", clock_zone="", key_kind=key_kind)
    staff = factories.make_user("staff@example.com", is_staff=True)
    ingest_now(source, body_of(source, *corrections(1)))
    number = opened(source, staff)
    batch = hold(source, number, *corrections(2))
    met: list[float] = []

    def summarise(*, backfill_id: int, entry_id: int) -> Any:
        """Count once more where one row after the other is looked for, which is what is chosen for a single row."""
        with connection().cursor() as cursor:
            cursor.execute("SET LOCAL enable_hashjoin = off")
            cursor.execute("SET LOCAL enable_mergejoin = off")
            cursor.execute(
                f"EXPLAIN (ANALYZE, FORMAT JSON) {backfill_queries._DAYS}",
                {"batches": [batch.pk], "entry": entry_id},
            )
            met.append(rows_met(cursor.fetchone()[0][0]["Plan"]))
        return real(backfill_id=backfill_id, entry_id=entry_id)

    real = backfills.summarise_backfill
    with patch.object(backfills, "summarise_backfill", summarise):
        counted = preview(number, staff).preview

    assert counted["totals"]["replaced"] == len(DAYS) * 24
    assert sum(day["replaced"] for day in counted["days"]) == len(DAYS) * 24
    assert met[0] < ROWS_PER_LINE_MAX * len(DAYS) * 24
