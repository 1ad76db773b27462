"""Sums over many series, chunks by columns, backfills and what was known then, each where a month is archived."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from accounts.models import Account
from accounts.tenancy import account_scope, as_owner, as_staff, as_worker, connection
from insights.feeds.revert_operations import UnableToRevert, ask_revert, confirm_revert
from insights.metering.faults import UsageFilterRefused
from insights.metering.known_moment import KnownAt
from insights.metering.queries import answer_query
from insights.models import Batch
from insights.tasks import ingest_batch
from tests import factories
from tests.ingest import held
from tests.metering.facts import sum_days_before
from tests.metering.test_known_queries import ask
from tests.retention import months
from tests.retention.months import archive, rows_of, send

pytestmark = pytest.mark.database

FAR = date(2030, 1, 1)
JUNE_BY_DAY = "meter=bytes_out&from=2024-06-01&to=2024-06-30&granularity=day"
SUMS = "SELECT s::text FROM insights_usagesum s ORDER BY s::text"


@pytest.fixture
def source(archives: Path) -> Any:
    """A source whose lines of three months are in the books."""
    world = months.make_world("window")
    send(world, *months.month_lines())
    return world


def test_sums_of_an_archived_month_stay_and_are_sealed(source: Any) -> None:
    sum_days_before(FAR)
    before = rows_of(SUMS)
    archive()
    months.assert_books_agree()

    with as_owner(), connection().cursor() as cursor:
        cursor.execute("UPDATE insights_usagesum SET quantity = quantity + 1 WHERE day = '2024-06-15'")

    assert len(before) > 0
    assert "insights_usagesum differs from it" in months.verify()


def test_days_that_were_not_summed_in_time_are_never_summed_from_records_that_are_gone(source: Any) -> None:
    archive()

    sum_days_before(FAR)

    days = {str(day) for (day,) in rows_of("SELECT DISTINCT day FROM insights_usagesum")}
    assert "2024-07-03" in days
    assert "2024-06-15" not in days
    months.assert_books_agree()


def test_rebuilding_leaves_sums_of_sealed_days_as_they_are(source: Any) -> None:
    from django.core.management import call_command

    sum_days_before(FAR)
    archive()
    before = rows_of(SUMS)

    call_command("rebuild_rollups")
    sum_days_before(FAR)

    assert rows_of(SUMS) == before
    months.assert_books_agree()


HOURS = [
    "meter=bytes_out&from=2024-06-10&to=2024-06-20&granularity=hour",
    "meter=bytes_out&from=2024-06-10&to=2024-06-20&granularity=hour&group_by=endpoint",
    "meter=peak&from=2024-05-30&to=2024-07-02&granularity=hour&group_by=endpoint",
    "meter=seats&from=2024-07-01&to=2024-07-15&granularity=hour",
]


@pytest.mark.parametrize("question", HOURS)
def test_hours_of_an_archived_month_are_answered_by_their_sums(source: Any, question: str) -> None:
    sum_days_before(FAR)
    before = hours_of(question)
    archive()

    after = hours_of(question)

    assert after == before
    assert any(quantity for _start, quantity, _parts, _previous in before)


def test_hours_are_refused_where_a_day_of_the_month_has_no_sums(source: Any) -> None:
    sum_days_before(FAR)
    with as_worker(), connection().cursor() as cursor:
        cursor.execute(
            "INSERT INTO insights_unsummedday (account_id, meter_id, day) "
            "SELECT DISTINCT account_id, meter_id, '2024-06-15'::date FROM insights_usagesum"
        )
    archive()

    with pytest.raises(UsageFilterRefused):
        hours_of(HOURS[0])
    assert hours_of("meter=bytes_out&from=2024-06-16&to=2024-06-30&granularity=hour")


def hours_of(query: str) -> list[Any]:
    """Start, quantity, parts and earlier quantity of every hour, as Havana's account sees them."""
    with as_owner():
        account = Account.objects.get(reference="ansel")
    with account_scope(account.pk):
        asked = answer_query(account, tuple(parse_qsl(query)), months.NOW, also=frozenset())
    if asked.faults:
        raise UsageFilterRefused(list(asked.faults))
    assert asked.answer is not None
    return [(one.slot.start, one.quantity, one.parts, one.previous) for one in asked.answer.buckets]


@pytest.mark.parametrize("key_kind", ["window", "row_id"])
def test_plain_lines_of_an_archived_month_are_judged_one_by_one(archives: Path, key_kind: str) -> None:
    source = months.make_world(key_kind)
    plain = [months.line(f"2024-06-{day:02d}T10:00", day) for day in range(5, 25)]
    send(source, *plain)
    archive()

    again = send(source, *plain)
    mixed = send(source, *plain, months.line("2024-06-26T10:00", 1), months.line("2024-08-01T10:00", 1))

    assert months.verdicts(again) == {"duplicate": 20}
    assert months.verdicts(mixed) == {"new": 1, "duplicate": 20, "rejected": 1}
    assert months.codes(mixed) == [(22, "period_archived", "window_start")]


@pytest.mark.parametrize("key_kind", ["window", "row_id"])
def test_a_backfill_refuses_lines_of_an_archived_month_in_its_preview_as_at_its_close(
    archives: Path, key_kind: str
) -> None:
    source = months.make_world(key_kind)
    staff = factories.make_user("staff@example.com", is_staff=True)
    known = [months.line(f"2024-06-{day:02d}T10:00", day) for day in range(5, 25)]
    send(source, *known)
    archive()
    backfill = held.opened(source, staff)
    batch = held.hold(
        source, backfill, *known, months.line("2024-06-26T10:00", 1), months.line("2024-08-01T10:00", 1)
    )

    previewed = held.preview(backfill, staff).preview
    held.close(backfill, staff)

    assert previewed["codes"] == [{"code": "period_archived", "field": "window_start", "lines": 1}]
    with as_worker():
        closed = Batch.objects.get(pk=batch.pk)
    assert months.verdicts(closed) == {"new": 1, "duplicate": 20, "rejected": 1}
    assert months.codes(closed) == [(22, "period_archived", "window_start")]
    months.assert_books_agree()
    with as_staff():
        ask_revert(public_id=closed.public_id, actor=staff, now=held.NOW)
    ingest_batch(closed.pk)
    with as_staff(), pytest.raises(UnableToRevert, match="archived month: 2024-06"):
        confirm_revert(public_id=closed.public_id, actor=staff, reason="sent twice", now=held.NOW)


def test_what_was_known_of_an_archived_month_is_refused_and_not_guessed(source: Any) -> None:
    with as_owner():
        cedar = Account.objects.get(reference="cedar")
    assert ask(cedar, JUNE_BY_DAY, KnownAt(asked_position=1))[1].total is not None
    archive()

    with pytest.raises(UsageFilterRefused) as refused:
        ask(cedar, JUNE_BY_DAY, KnownAt(asked_position=1))

    assert [fault.code for fault in refused.value.faults] == ["period_archived"]
