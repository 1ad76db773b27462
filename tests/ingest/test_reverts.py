"""A batch taken out of the books: the books are then those of the other batches, and nothing is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from typing import Any
from unittest.mock import patch

import pytest
from django.core.management import call_command
from django.db import transaction

from accounts.models import AuditEntry, User
from accounts.tenancy import as_staff, as_worker, connection
from insights.feeds.revert_operations import UnableToRevert, ask_revert, confirm_revert
from insights.ingest.work_operations import LeaseLost, try_again
from insights.models import (
    Batch,
    BatchPart,
    BatchRevert,
    LedgerEntry,
    UsageRevision,
    Watermark,
    WorkItem,
)
from insights.tasks import chunks, ingest_batch
from tests import factories
from tests.factories import ingest_now

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("portal_db")]

HEADER = "account,meter,window_start,quantity,endpoint,revision,row_id\n"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture(params=["window", "row_id"])
def source(request: Any) -> Any:
    """One source of either key kind, two accounts, an adding meter and one that takes the latest."""
    factories.make_meter("bytes_out")
    factories.make_meter("seats", aggregation="latest")
    factories.make_account("ansel", billing_zone="America/Havana")
    factories.make_account("brook")
    return factories.make_source("edge", clock_zone="", key_kind=request.param)


@pytest.fixture
def staff(portal_db: None) -> User:
    """Who may revert."""
    return factories.make_user("staff@example.com", is_staff=True)


def line(
    hour: int, quantity: object, *, revision: int = 1, account: str = "ansel", meter: str = "bytes_out"
) -> str:
    """One line of 3 Nov 2026; its row id, where the source has one, names the same fact as its window."""
    return (
        f"{account},{meter},2026-11-03T{hour:02d}:00:00Z,{quantity},a,{revision},{account}-{meter}-{hour}\n"
    )


def send(source: Any, *lines: str) -> Batch:
    """Deliver lines; a source of windows has no row id."""
    body = HEADER + "".join(lines)
    if source.key_kind == "window":
        body = "".join(text.rpartition(",")[0] + "\n" for text in body.splitlines())
    return ingest_now(source, body)


def revert(batch: Batch, staff: User) -> BatchRevert:
    """Ask, let the worker count, confirm, and let the worker do it."""
    prepare(batch, staff)
    with as_staff():
        confirm_revert(public_id=batch.public_id, actor=staff, reason="sent twice", now=NOW)
    ingest_batch(batch.pk)
    with as_worker():
        return BatchRevert.objects.get(batch=batch)


def prepare(batch: Batch, staff: User) -> BatchRevert:
    """Ask, and let the worker count."""
    with as_staff():
        ask_revert(public_id=batch.public_id, actor=staff, now=NOW)
    ingest_batch(batch.pk)
    with as_worker():
        return BatchRevert.objects.get(batch=batch)


def current() -> list[tuple[Any, ...]]:
    """Every current record as account, meter, hour, revision, quantity."""
    with as_worker(), connection().cursor() as cursor:
        cursor.execute(
            """
            SELECT a.reference, m.key, extract(hour FROM u.window_start)::int, u.revision, u.quantity
            FROM insights_usagerecord u JOIN insights_series s ON s.id = u.series_id
            JOIN insights_meter m ON m.id = s.meter_id JOIN accounts_account a ON a.id = u.account_id ORDER BY 1, 2, 3
            """
        )
        return cursor.fetchall()


def verify() -> None:
    """The books agree with themselves, or the test ends with what differs."""
    out = StringIO()
    try:
        call_command("verify_books", stdout=out)
    except Exception as error:
        raise AssertionError(out.getvalue()) from error


class TestCurrent:
    def test_new_records_go_and_lower_revisions_come_back(self, source: Any, staff: User) -> None:
        send(source, line(1, 5), line(2, 6), line(1, 7, meter="seats"))
        batch = send(
            source,
            line(1, 50, revision=2),
            line(3, 8, account="brook"),
            line(1, 70, revision=2, meter="seats"),
        )

        done = revert(batch, staff)

        assert current() == [
            ("ansel", "bytes_out", 1, 1, Decimal(5)),
            ("ansel", "bytes_out", 2, 1, Decimal(6)),
            ("ansel", "seats", 1, 1, Decimal(7)),
        ]
        assert (done.records_out, done.records_back) == (3, 2)
        verify()

    def test_a_revision_in_the_middle_does_not_come_back_when_the_one_above_it_goes(
        self, source: Any, staff: User
    ) -> None:
        send(source, line(1, 5))
        middle = send(source, line(1, 50, revision=2))
        top = send(source, line(1, 500, revision=3))

        revert(middle, staff)
        assert current() == [("ansel", "bytes_out", 1, 3, Decimal(500))]
        revert(top, staff)

        assert current() == [("ansel", "bytes_out", 1, 1, Decimal(5))]
        verify()

    def test_what_came_back_can_go_too_and_be_replaced_too(self, source: Any, staff: User) -> None:
        first = send(source, line(1, 5), line(2, 6))
        revert(send(source, line(1, 50, revision=2), line(2, 60, revision=2)), staff)
        send(source, line(2, 600, revision=3))
        verify()

        revert(first, staff)

        assert current() == [("ansel", "bytes_out", 2, 3, Decimal(600))]
        verify()

    def test_revisions_of_one_batch_all_go(
        self, source: Any, staff: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("insights.ingest.operations.CHUNK_LINES", 2)
        send(source, line(1, 1))
        batch = send(
            source, line(1, 9, revision=4), line(2, 6), line(1, 7, revision=2), line(1, 8, revision=3)
        )

        done = revert(batch, staff)

        assert current() == [("ansel", "bytes_out", 1, 1, Decimal(1))]
        # None of its own comes back in between, to be taken out again by a later stretch.
        assert (done.records_out, done.records_back) == (2, 1)
        verify()

    def test_a_row_that_was_moved_moves_back(self, staff: User) -> None:
        factories.make_meter("bytes_out")
        factories.make_account("ansel")
        source = factories.make_source("edge", clock_zone="", key_kind="row_id")
        ingest_now(source, HEADER + "ansel,bytes_out,2026-11-03T01:00:00Z,5,a,1,r1\n")
        moved = ingest_now(source, HEADER + "ansel,bytes_out,2026-11-09T01:00:00Z,6,b,2,r1\n")

        revert(moved, staff)

        assert current() == [("ansel", "bytes_out", 1, 1, Decimal(5))]
        verify()


class TestKnown:
    def test_the_same_lines_again_stay_duplicates_and_a_higher_revision_counts(
        self, source: Any, staff: User
    ) -> None:
        lines = [line(1, 5), line(2, 6), line(1, 7, meter="seats")]
        revert(send(source, *lines), staff)
        assert current() == []

        again = send(source, *lines)
        other = send(source, line(1, 55))
        higher = send(source, line(1, 9, revision=2), line(4, 1))

        assert (again.duplicate, again.new) == (3, 0)
        assert (other.rejected, other.received) == (1, 1)
        assert (higher.new, higher.received) == (2, 2)
        assert [row[2:] for row in current()] == [(1, 2, Decimal(9)), (4, 1, Decimal(1))]
        verify()

    def test_a_lower_revision_than_the_retracted_one_counts(self, source: Any, staff: User) -> None:
        revert(send(source, line(1, 5, revision=3)), staff)

        assert send(source, line(1, 4, revision=2)).new == 1
        assert current() == [("ansel", "bytes_out", 1, 2, Decimal(4))]
        verify()

    def test_watermarks_stay_and_counts_stay(self, source: Any, staff: User) -> None:
        batch = send(source, line(5, 5), line(6, "x"))
        with as_worker():
            before = Watermark.objects.values_list("complete_to", "last_window_end").get()

        revert(batch, staff)

        with as_worker():
            assert Watermark.objects.values_list("complete_to", "last_window_end").get() == before
            after = Batch.objects.get(pk=batch.pk)
            assert (after.state, after.received, after.new, after.rejected) == ("reverted", 2, 1, 1)
            assert BatchPart.objects.get().reverted_at is not None
            assert WorkItem.objects.get().state == "done"
        verify()


class TestSteps:
    def test_the_preview_counts_by_meter_and_day_and_changes_nothing(self, source: Any, staff: User) -> None:
        send(source, line(2, 5), line(20, 5), line(20, 5, account="brook"))
        batch = send(source, line(2, 6, revision=2), line(3, 1), line(9, 1, meter="seats"))
        before = current()

        preview = prepare(batch, staff).preview

        # 02:00 and 03:00 UTC are still the day before in Havana.
        assert preview == {
            "archived": [],
            "leaves": 3,
            "returns": 1,
            "days_in_all": 2,
            "days": [
                {"meter": "Bytes out", "day": "2026-11-02", "accounts": 1, "before": 2, "leaves": 2, "returns": 1,
                 "after": 1},
                {"meter": "Seats", "day": "2026-11-03", "accounts": 1, "before": 1, "leaves": 1, "returns": 0,
                 "after": 0},
            ],
        }  # fmt: skip
        assert current() == before
        with as_worker():
            assert Batch.objects.get(pk=batch.pk).state == "done"
            assert not LedgerEntry.objects.filter(kind="revert").exists()

    def test_nothing_is_reverted_before_it_was_counted_and_confirmed_with_a_reason(
        self, source: Any, staff: User
    ) -> None:
        batch = send(source, line(1, 5))

        def confirm(reason: str) -> None:
            with as_staff():
                confirm_revert(public_id=batch.public_id, actor=staff, reason=reason, now=NOW)

        with pytest.raises(UnableToRevert, match="not been counted"):
            confirm("sent twice")
        prepare(batch, staff)
        with pytest.raises(UnableToRevert, match="needs a reason"):
            confirm("  ")
        confirm("sent twice")
        with pytest.raises(UnableToRevert, match="being reverted already"):
            confirm("sent twice")
        ingest_batch(batch.pk)
        with pytest.raises(UnableToRevert, match="that is reverted"):
            prepare(batch, staff)
        with as_worker():
            acts = AuditEntry.objects.filter(act="batch.revert")
            assert [(act.subject, act.details["reason"]) for act in acts] == [
                (str(batch.public_id), "sent twice")
            ]

    def test_again_is_the_same(self, source: Any, staff: User) -> None:
        batch = send(source, line(1, 5))
        revert(batch, staff)
        with as_worker():
            rows = UsageRevision.objects.count()

        ingest_batch(batch.pk)

        with as_worker():
            assert UsageRevision.objects.count() == rows
            assert LedgerEntry.objects.filter(kind="revert").count() == 1

    def test_a_worker_that_dies_between_chunks_is_followed(
        self, source: Any, staff: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("insights.ingest.operations.CHUNK_LINES", 2)
        batch = send(source, *(line(hour, hour) for hour in range(6)))
        prepare(batch, staff)
        with as_staff():
            confirm_revert(public_id=batch.public_id, actor=staff, reason="sent twice", now=NOW)

        with dying_before_position(2):
            ingest_batch(batch.pk)
        assert [row[2] for row in current()] == [2, 3, 4, 5]
        verify()
        ingest_batch(batch.pk)

        assert current() == []
        with as_worker():
            done = BatchRevert.objects.get()
            assert (done.records_out, done.finished_at is not None) == (6, True)
            spans = LedgerEntry.objects.filter(kind="revert").order_by("position")
            assert [(entry.first_line, entry.last_line) for entry in spans] == [(2, 3), (4, 5), (6, 7)]
        verify()

    def test_the_books_agree_in_the_middle_of_it(
        self, source: Any, staff: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("insights.ingest.operations.CHUNK_LINES", 1)
        batch_lines = (
            line(1, 5, revision=2), line(1, 4), line(2, 7, revision=3), line(2, 6, revision=2),
        )  # fmt: skip
        batch = send(source, *batch_lines)
        send(source, line(2, 5))
        prepare(batch, staff)
        with as_staff():
            confirm_revert(public_id=batch.public_id, actor=staff, reason="sent twice", now=NOW)

        for _chunk in batch_lines:
            with dying_before_position(2):
                ingest_batch(batch.pk)
            # What is still to be retracted does not come back, and is not missed.
            verify()

        assert [row[2:] for row in current()] == [(2, 1, Decimal(5))]

    def test_a_batch_that_was_set_aside_half_way_can_be_reverted_or_tried_again(
        self, source: Any, staff: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("insights.ingest.operations.CHUNK_LINES", 2)
        with dying_before_position(2):
            batch = send(source, *(line(hour, hour) for hour in range(6)))
        with as_worker(), transaction.atomic(using="worker"), connection().cursor() as cursor:
            cursor.execute("UPDATE insights_workitem SET deliveries = 3")
        ingest_batch(batch.pk)

        prepare(batch, staff)
        with as_worker():
            assert Batch.objects.get().state == WorkItem.objects.get().state == "quarantined"
            assert try_again(batch_id=batch.pk)
            WorkItem.objects.update(state="quarantined")
        done = revert(batch, staff)

        assert (current(), done.records_out) == ([], 2)
        with as_worker():
            assert Batch.objects.values_list("state", "error_code").get() == ("reverted", "")
        verify()


@contextmanager
def dying_before_position(number: int) -> Iterator[None]:
    """Let the worker be lost in its n-th transaction, with a lease that has run out."""
    taken = []

    def take_position(entry_id: int) -> None:
        taken.append(entry_id)
        if len(taken) == number:
            raise LeaseLost("killed")
        real(entry_id)

    real = chunks.take_position
    with patch.object(chunks, "take_position", take_position):
        yield
    with as_worker():
        WorkItem.objects.filter(state="leased").update(leased_until=NOW)
