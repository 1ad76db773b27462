"""A month goes out and comes back: figures stay, verdicts stay right, and nothing is lost on the way."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import AuditEntry
from accounts.tenancy import as_worker
from insights.models import ArchivedSeries, RollupSeal, UsageMonth
from tests.retention import months
from tests.retention.months import archive, assert_books_agree, codes, line, records, rollups, send, verdicts

pytestmark = pytest.mark.database


def test_out_and_back_changes_no_byte_of_the_books(source: Any, archives: Path) -> None:
    send(source, *months.month_lines())
    send(source, line("2024-06-15T10:00", 50, revision=2))
    before, sums = records(), rollups()

    row = archive()

    assert (row.state, row.records, row.accounts) == ("archived", 45, 3)
    assert len(records()) == len(before) - 45
    assert rollups() == sums
    assert_books_agree()
    call_command("rebuild_rollups", stdout=StringIO())
    assert rollups() == sums

    call_command("restore_month", "2024-06", stdout=StringIO())

    assert records() == before
    assert rollups() == sums
    assert_books_agree()
    with as_worker():
        assert not ArchivedSeries.objects.exists()
        assert not RollupSeal.objects.exists()
        assert UsageMonth.objects.get().state == "restored"
        acts = AuditEntry.objects.filter(act__startswith="month.").order_by("id")
        assert [(act.act, act.actor_name, act.subject) for act in acts] == [
            ("month.archive", "ops", "2024-06"),
            ("month.restore", "command line", "2024-06"),
        ]
        assert acts[0].details["reason"] == "older than we bill"
    assert archive().records == 45
    assert_books_agree()


def test_lines_of_an_archived_month_are_known_or_refused(source: Any, archives: Path) -> None:
    lines = months.month_lines()
    send(source, *lines)
    send(source, line("2024-06-15T10:00", 50, revision=2))
    archive()
    sums = rollups()

    assert verdicts(send(source, *lines)) == {"duplicate": 81}
    assert verdicts(send(source, line("2024-06-15T10:00", "50.0", revision=2))) == {"duplicate": 1}
    refused = send(
        source,
        line("2024-06-15T11:00", 7),
        line("2024-06-15T11:00", 6, revision=3),
        line("2024-06-16T11:00", 6),
        line("2024-06-15T10:00", 5, revision=2),
        line("2024-08-01T00:00", 6),
    )

    assert verdicts(refused) == {"new": 1, "rejected": 4}
    assert codes(refused) == [(number, "period_archived", "window_start") for number in (2, 3, 4, 5)]
    assert set(sums) <= set(rollups())
    assert_books_agree()


def test_a_day_that_begins_in_an_archived_month_is_sealed_to_its_end(source: Any, archives: Path) -> None:
    send(source, *months.month_lines())
    archive()

    batch = send(
        source,
        # Still the last day of June in Havana, already the first of July in London, and its record is in the ledger.
        line("2024-07-01T02:00", 8),
        line("2024-07-01T03:00", 8),
        line("2024-07-01T03:00", 8, account="cedar"),
        # The first day of June in Tokyo has begun, with nine hours of it in May.
        line("2024-05-31T16:00", 8, account="brook"),
        line("2024-05-31T14:00", 8, account="brook"),
    )

    assert verdicts(batch) == {"new": 2, "duplicate": 1, "rejected": 2}
    assert [row[:2] for row in codes(batch)] == [(3, "period_archived"), (5, "period_archived")]
    assert_books_agree()


def test_a_row_id_cannot_be_moved_out_of_an_archived_month(archives: Path) -> None:
    source = months.make_world("row_id")
    send(source, line("2024-06-15T10:00", 5, row="r1"), line("2024-07-10T10:00", 5, row="r2"))
    send(source, line("2024-06-20T10:00", 4, row="r3"), line("2024-07-01T02:00", 9, row="r4"))
    archive()
    sums = rollups()

    batch = send(
        source,
        line("2024-08-01T10:00", 6, revision=2, row="r1"),
        line("2024-06-15T10:00", 6, revision=2, row="r2"),
        line("2024-08-01T11:00", 6, row="r3"),
        line("2024-08-01T12:00", 6, revision=2, row="r4"),
        line("2024-06-15T10:00", 5, row="r1"),
    )

    assert verdicts(batch) == {"duplicate": 1, "rejected": 4}
    assert codes(batch) == [
        (2, "period_archived", "row_id"),
        (3, "period_archived", "window_start"),
        (4, "period_archived", "row_id"),
        (5, "period_archived", "row_id"),
    ]
    assert rollups() == sums
    assert_books_agree()


def test_past_revisions_stay_known(source: Any, archives: Path) -> None:
    send(source, line("2024-06-15T10:00", 5))
    send(source, line("2024-06-15T10:00", 6, revision=3))
    send(source, line("2024-06-15T10:00", 4, revision=2))
    archive()

    batch = send(
        source,
        line("2024-06-15T10:00", 5),
        line("2024-06-15T10:00", 4, revision=2),
        line("2024-06-15T10:00", 6, revision=3),
        line("2024-06-15T10:00", 5, revision=2),
    )

    assert verdicts(batch) == {"duplicate": 3, "rejected": 1}
    assert_books_agree()


def test_an_old_line_of_an_archived_month_is_refused_for_its_month(source: Any, archives: Path) -> None:
    send(source, line("2024-06-15T10:00", 5))
    archive()
    months.change_age(source, days=35)

    batch = send(
        source, line("2024-06-15T10:00", 6), line("2024-06-15T10:00", 5), line("2024-07-15T10:00", 5)
    )

    assert verdicts(batch) == {"duplicate": 1, "rejected": 2}
    assert [row[1] for row in codes(batch)] == ["period_archived", "timestamp_too_old"]


@pytest.mark.parametrize(
    ("month", "reason", "words"),
    [
        ("2024-06", "", "needs a reason"),
        ("2024-6", "old", "YYYY-MM"),
        ("2024-13", "old", "not in the calendar"),
        ("2026-10", "old", "kept until 13 months after it ended"),
        ("2001-01", "old", "no partition"),
    ],
)
def test_the_command_says_why_it_does_not_archive(
    archives: Path, month: str, reason: str, words: str
) -> None:
    with pytest.raises(CommandError, match=words):
        call_command("archive_month", month, reason=reason, stdout=StringIO())


def test_the_commands_say_what_they_did(source: Any, archives: Path) -> None:
    send(source, *months.month_lines())
    said = StringIO()

    call_command("archive_month", "2024-06", reason="old", by="ops", stdout=said)
    with pytest.raises(CommandError, match="archived already"):
        call_command("archive_month", "2024-06", reason="old")
    call_command("archive_month", "2024-06", drop_detached=True, stdout=said)
    call_command("archive_month", "2024-06", drop_detached=True, stdout=said)
    call_command("restore_month", "2024-06", stdout=said)
    with pytest.raises(CommandError, match="is not archived"):
        call_command("restore_month", "2024-06")

    lines = said.getvalue().splitlines()
    assert lines[0].startswith("2024-06 is archived: 45 records, ")
    assert lines[1:] == [
        "The detached table of 2024-06 is dropped; its file was read first.",
        "The file of 2024-06 is whole; its detached table was dropped before.",
        "2024-06 is back: 45 records, the same text as was archived.",
    ]
    assert_books_agree()
