"""What the ledger holds after deliveries: records, revisions, counts, rollups, watermarks and positions."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.db import transaction

from accounts.models import Account
from accounts.tenancy import as_worker, connection
from insights.ingest.work_operations import try_again
from insights.metering.operations import rebuild_rollups
from insights.models import (
    Batch,
    BatchPart,
    LedgerEntry,
    LineVerdict,
    RejectedLine,
    Series,
    UsageRevision,
    Watermark,
)
from insights.tasks import ingest_batch
from tests import factories
from tests.factories import ingest_now

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("portal_db")]

HOUR = "account,meter,window_start,quantity,endpoint,revision\n"


@pytest.fixture
def source() -> Any:
    """One hourly source, one meter, two accounts."""
    factories.make_meter("bytes_out")
    factories.make_account("ansel")
    factories.make_account("brook", billing_zone="Asia/Tokyo")
    return factories.make_source("edge", clock_zone="")


def line(
    account: str, hour: int, quantity: object, *, endpoint: str = "a", revision: int = 1, day: int = 3
) -> str:
    """One CSV line of 2026-11."""
    return f"{account},bytes_out,2026-11-{day:02d}T{hour:02d}:00:00Z,{quantity},{endpoint},{revision}\n"


def send(source: Any, *lines: str) -> Batch:
    """Deliver lines and return the finished batch."""
    return ingest_now(source, HOUR + "".join(lines))


def counts(batch: Batch) -> tuple[int, int, int, int, int, int]:
    """Received, new, replaced, duplicate, stale, rejected."""
    return (batch.received, batch.new, batch.replaced, batch.duplicate, batch.stale, batch.rejected)


def current() -> list[tuple[Any, ...]]:
    """Every current record as account, endpoint, hour, revision, quantity."""
    with as_worker(), connection().cursor() as cursor:
        cursor.execute(
            """
            SELECT a.reference, s.dimensions ->> 'endpoint', to_char(u.window_start, 'DD HH24'), u.revision, u.quantity
            FROM insights_usagerecord u JOIN insights_series s ON s.id = u.series_id
            JOIN accounts_account a ON a.id = u.account_id ORDER BY 1, 2, 3
            """
        )
        return cursor.fetchall()


def rollups() -> list[tuple[Any, ...]]:
    """Every rollup as account, day, quantity, records."""
    with as_worker(), connection().cursor() as cursor:
        cursor.execute(
            """
            SELECT a.reference, to_char(r.day, 'DD'), r.quantity, r.records FROM insights_usagerollup r
            JOIN accounts_account a ON a.id = r.account_id ORDER BY 1, 2
            """
        )
        return cursor.fetchall()


def current_account(reference: str) -> int:
    """The id of an account."""
    with as_worker():
        return Account.objects.get(reference=reference).pk


def assert_rollups_equal_records() -> None:
    """Sum the records again, bucket by bucket, and compare with what pages read."""
    with as_worker(), connection().cursor() as cursor:
        cursor.execute(
            """
            SELECT count(*) FROM (
                SELECT u.account_id, u.series_id, (u.window_start AT TIME ZONE a.billing_zone)::date AS day,
                    sum(u.quantity) AS quantity, count(*) AS records, max(u.quantity) AS maximum
                FROM insights_usagerecord u JOIN accounts_account a ON a.id = u.account_id GROUP BY 1, 2, 3
            ) r FULL JOIN insights_usagerollup p USING (account_id, series_id, day)
            WHERE (r.quantity, r.records, r.maximum) IS DISTINCT FROM (p.quantity, p.records::bigint, p.maximum)
            """
        )
        assert cursor.fetchone() == (0,)


class TestVerdicts:
    def test_new_lines_become_records_and_sums(self, source: Any) -> None:
        batch = send(source, line("ansel", 1, 5), line("ansel", 2, "7.5"), line("brook", 20, 1))

        assert counts(batch) == (3, 3, 0, 0, 0, 0)
        assert current() == [
            ("ansel", "a", "03 01", 1, Decimal(5)),
            ("ansel", "a", "03 02", 1, Decimal("7.5")),
            ("brook", "a", "03 20", 1, Decimal(1)),
        ]
        # 20:00 UTC is already the next day in Tokyo, where Brook is billed.
        assert rollups() == [("ansel", "03", Decimal("12.5"), 2), ("brook", "04", Decimal(1), 1)]

    def test_the_same_lines_again_are_duplicates_and_move_nothing(self, source: Any) -> None:
        lines = [line("ansel", hour, hour) for hour in range(5)]
        send(source, *lines)
        before = (current(), rollups())

        again = send(source, *reversed(lines))

        assert counts(again) == (5, 0, 0, 5, 0, 0)
        assert (current(), rollups()) == before
        with as_worker():
            runs = LineVerdict.objects.filter(batch=again).values_list(
                "first_line", "last_line", "lines", "verdict"
            )
            assert list(runs) == [(2, 6, 5, "duplicate")]

    def test_a_higher_revision_replaces_and_a_lower_one_is_kept_as_stale(self, source: Any) -> None:
        send(source, line("ansel", 1, 5, revision=2))
        higher = send(source, line("ansel", 1, 9, revision=3))
        lower = send(source, line("ansel", 1, 4, revision=1))

        assert (counts(higher)[2], counts(lower)[4]) == (1, 1)
        assert current() == [("ansel", "a", "03 01", 3, Decimal(9))]
        assert rollups() == [("ansel", "03", Decimal(9), 1)]
        with as_worker():
            kept = UsageRevision.objects.order_by("revision").values_list("revision", "quantity", "kind")
            assert list(kept) == [(1, Decimal(4), "stale"), (2, Decimal(5), "superseded")]

    def test_an_old_revision_sent_again_is_a_duplicate_for_ever(self, source: Any) -> None:
        send(source, line("ansel", 1, 5))
        send(source, line("ansel", 1, 6, revision=2))

        assert counts(send(source, line("ansel", 1, 5)))[3] == 1

    def test_other_content_under_the_same_revision_is_refused_and_the_first_stays(self, source: Any) -> None:
        send(source, line("ansel", 1, 5))
        conflict = send(source, line("ansel", 1, 6), line("ansel", 2, 8))

        assert counts(conflict) == (2, 1, 0, 0, 0, 1)
        assert current()[0] == ("ansel", "a", "03 01", 1, Decimal(5))
        with as_worker():
            refused = RejectedLine.objects.get(batch=conflict)
            assert (refused.line_no, refused.code, refused.value) == (2, "id_conflict", "6")

    def test_inside_one_batch_the_lower_line_stays_and_the_highest_revision_wins(self, source: Any) -> None:
        batch = send(
            source,
            line("ansel", 1, 5),
            line("ansel", 1, 6),
            line("ansel", 1, 7, revision=3),
            line("ansel", 1, 8, revision=2),
            line("ansel", 1, 7, revision=3),
        )

        assert counts(batch) == (5, 1, 1, 1, 1, 1)
        assert current() == [("ansel", "a", "03 01", 3, Decimal(7))]
        assert rollups() == [("ansel", "03", Decimal(7), 1)]

    def test_quantities_are_compared_as_numbers(self, source: Any) -> None:
        send(source, line("ansel", 1, "1.50"))

        assert counts(send(source, line("ansel", 1, "1.5")))[3] == 1


class TestRowIds:
    @pytest.fixture
    def readings(self) -> Any:
        """A source whose lines are named by the sender's row id."""
        factories.make_meter("electricity", unit="kWh", dimensions=["phase"])
        factories.make_account("ansel")
        return factories.make_source(
            "readings", key_kind="row_id", clock_zone="UTC", constants={"meter": "electricity"},
            columns={"account": "who", "window_start": "at", "row_id": "id", "quantity": "kwh", "revision": "rev",
                     "dimension.phase": "phase"},
        )  # fmt: skip

    def deliver(self, source: Any, *lines: str) -> Batch:
        """Deliver lines of who,at,id,kwh,rev,phase."""
        return ingest_now(source, "who,at,id,kwh,rev,phase\n" + "".join(f"{text}\n" for text in lines))

    def test_two_rows_of_one_window_both_count(self, readings: Any) -> None:
        batch = self.deliver(
            readings, "ansel,2026-11-03T01:00:00,r1,0.5,1,x", "ansel,2026-11-03T01:00:00,r2,0.25,1,x"
        )

        assert counts(batch)[:2] == (2, 2)
        assert rollups() == [("ansel", "03", Decimal("0.75"), 2)]

    def test_a_row_moved_to_another_window_is_a_conflict_at_the_same_revision_and_moves_at_a_higher(
        self, readings: Any
    ) -> None:
        self.deliver(readings, "ansel,2026-11-03T01:00:00,r1,0.5,1,x")

        conflict = self.deliver(readings, "ansel,2026-11-04T01:00:00,r1,0.5,1,x")
        moved = self.deliver(readings, "ansel,2026-11-04T01:00:00,r1,0.5,2,y")

        assert (conflict.rejected, moved.replaced) == (1, 1)
        assert rollups() == [("ansel", "04", Decimal("0.5"), 1)]
        assert counts(self.deliver(readings, "ansel,2026-11-03T01:00:00,r1,0.5,1,x"))[3] == 1
        assert counts(self.deliver(readings, "ansel,2026-11-04T01:00:00,r1,0.5,2,y"))[3] == 1


class TestBooks:
    def test_every_line_is_counted_for_the_batch_and_for_each_account(self, source: Any) -> None:
        batch = send(
            source,
            line("ansel", 1, 5),
            "\n",
            line("brook", 1, "five"),
            line("nobody", 1, 5),
            line("brook", 2, 5),
        )

        assert counts(batch) == (4, 2, 0, 0, 0, 2)
        assert batch.blank_lines == 1
        with as_worker():
            parts = BatchPart.objects.order_by("account__reference").values_list(
                "account__reference", "received", "new", "rejected"
            )
            assert list(parts) == [("ansel", 1, 1, 0), ("brook", 2, 1, 1)]

    def test_positions_are_gap_free_and_in_commit_order(self, source: Any) -> None:
        for hour in range(3):
            send(source, line("ansel", hour, 1))

        with as_worker():
            entries = LedgerEntry.objects.order_by("id").values_list("position", flat=True)
            assert list(entries) == [1, 2, 3]

    def test_a_watermark_rises_and_never_falls(self, source: Any) -> None:
        send(source, line("ansel", 5, 1))
        send(source, line("ansel", 2, 1))

        with as_worker():
            mark = Watermark.objects.get()
            assert mark.complete_to.isoformat() == "2026-11-03T06:00:00+00:00"

    def test_rollups_equal_the_records_after_anything(self, source: Any) -> None:
        send(source, *(line(account, hour, hour + 1) for account in ("ansel", "brook") for hour in range(24)))
        send(source, *(line("ansel", hour, 100, revision=2) for hour in range(0, 24, 5)))
        send(source, *(line("brook", hour, 1, revision=3, endpoint="b") for hour in range(12)))
        send(source, *(line("ansel", hour, 7) for hour in range(0, 24, 5)))

        assert_rollups_equal_records()

    def test_the_dimension_limit_refuses_new_values_and_known_ones_still_work(
        self, source: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("insights.ingest.series_operations.DIMENSION_VALUES_MAX", 2)
        batch = send(source, *(line("ansel", 1, 1, endpoint=name) for name in ("a", "b", "c")))

        assert counts(batch) == (3, 2, 0, 0, 0, 1)
        assert counts(send(source, line("ansel", 2, 1, endpoint="b")))[1] == 1

    def test_an_old_line_is_too_old_unless_it_is_known(self, source: Any) -> None:
        known = "ansel,bytes_out,2025-01-05T01:00:00Z,5,a,1\n"
        send(source, known)
        factories.change_source(source, max_age_days=35)

        batch = send(source, known, "ansel,bytes_out,2025-01-05T02:00:00Z,5,a,1\n")

        assert counts(batch) == (2, 0, 0, 1, 0, 1)
        with as_worker():
            assert RejectedLine.objects.get(batch=batch).code == "timestamp_too_old"

    def test_an_old_line_of_a_series_that_nobody_knows_is_counted_and_makes_no_series(
        self, source: Any
    ) -> None:
        factories.change_source(source, max_age_days=35)

        batch = send(source, "ansel,bytes_out,2025-01-05T02:00:00Z,5,new,1\n")

        assert counts(batch) == (1, 0, 0, 0, 0, 1)
        with as_worker():
            assert not Series.objects.exists()

    @pytest.mark.parametrize(
        ("zone", "day"), [("Atlantic/Azores", "2025-10-26"), ("America/Havana", "2025-11-02")]
    )
    def test_a_day_with_midnight_twice_is_summed_again_as_it_was_added(
        self, source: Any, zone: str, day: str
    ) -> None:
        factories.make_account("islander", billing_zone=zone)
        hours = [f"islander,bytes_out,{day}T{hour:02d}:00:00Z,100,a," for hour in range(24)]
        send(source, *(f"{text}1\n" for text in hours))
        assert_rollups_equal_records()

        send(source, hours[6].replace(",100,", ",7,") + "2\n", hours[0].replace(",100,", ",9,") + "2\n")

        assert_rollups_equal_records()
        with as_worker(), transaction.atomic(using="worker"):
            before = rollups()
            rebuild_rollups(account_id=current_account("islander"))
            assert rollups() == before

    def test_too_old_lines_are_not_duplicates_of_each_other(self, source: Any) -> None:
        send(source, "ansel,bytes_out,2025-01-05T01:00:00Z,5,a,1\n")
        factories.change_source(source, max_age_days=35)

        batch = send(source, *["ansel,bytes_out,2025-01-05T02:00:00Z,5,a,1\n"] * 3)

        assert counts(batch) == (3, 0, 0, 0, 0, 3)

    def test_a_backlog_changes_no_verdict(self, source: Any) -> None:
        factories.change_source(source, max_age_days=35)
        body = (
            HOUR
            + f"ansel,bytes_out,{datetime.now(UTC) - timedelta(days=34, hours=23):%Y-%m-%dT%H:00:00Z},5,a,1\n"
        )
        received = factories.receive_batch(pieces=[body.encode()], source_id=source.pk, via="api")

        with time_machine.travel(datetime.now(UTC) + timedelta(hours=30), tick=True):
            ingest_batch(received.batch_id)

        with as_worker():
            assert Batch.objects.get(pk=received.batch_id).new == 1

    def test_a_source_changed_under_a_waiting_batch_ends_it_with_the_reason(self, source: Any) -> None:
        body = HOUR + line("ansel", 1, 5)
        received = factories.receive_batch(pieces=[body.encode()], source_id=source.pk, via="api")
        factories.change_source(
            source, columns={"account": "who", "window_start": "at", "quantity": "n", "meter": "m"}
        )
        ingest_batch(received.batch_id)
        with as_worker():
            assert Batch.objects.values_list("state", "error_code").get() == ("refused", "header")

        factories.change_source(source, columns={})
        with as_worker():
            assert try_again(batch_id=received.batch_id)
        ingest_batch(received.batch_id)

        with as_worker():
            assert Batch.objects.values_list("state", "error_code", "new").get() == ("done", "", 1)

    def test_an_upload_in_parts_moves_the_watermark_when_the_last_is_done(self, source: Any) -> None:
        upload_id = uuid.uuid4()
        ingest_now(source, HOUR + line("ansel", 9, 1), upload_id=upload_id, is_last_part=False)
        with as_worker():
            assert not Watermark.objects.exists()

        ingest_now(source, HOUR + line("ansel", 2, 1), upload_id=upload_id, upload_part=2)

        with as_worker():
            assert Watermark.objects.get().complete_to == datetime(2026, 11, 3, 10, tzinfo=UTC)

    def test_an_account_with_refused_lines_is_not_declared_complete(self, source: Any) -> None:
        send(source, line("ansel", 1, 1), line("brook", 1, 1))

        ingest_now(
            source,
            HOUR + line("ansel", 2, 1) + line("brook", 2, "two"),
            complete_to=datetime(2026, 11, 4, tzinfo=UTC),
        )

        with as_worker():
            marks = dict(Watermark.objects.values_list("account__reference", "complete_to"))
        assert marks == {
            "ansel": datetime(2026, 11, 4, tzinfo=UTC),
            "brook": datetime(2026, 11, 3, 2, tzinfo=UTC),
        }

    def test_a_day_window_ends_where_that_day_ends(self, source: Any) -> None:
        factories.make_meter("daily", grain_seconds=86400)
        days = factories.make_source("days", clock_zone="Europe/Berlin", window="day", constants={"meter": "daily"},
                                     columns={"account": "account", "window_start": "at", "quantity": "n"})  # fmt: skip

        ingest_now(days, "account,at,n\nansel,2026-03-29T00:00:00,5\n")

        with as_worker():
            assert Watermark.objects.get().complete_to == datetime(2026, 3, 29, 22, tzinfo=UTC)

    def test_nothing_is_complete_beyond_its_receipt(self, source: Any) -> None:
        batch = ingest_now(
            source, HOUR + line("ansel", 2, 1), complete_to=datetime.now(UTC) + timedelta(days=400)
        )

        with as_worker():
            assert Watermark.objects.get().complete_to == batch.received_at
