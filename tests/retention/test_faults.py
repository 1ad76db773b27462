"""What goes wrong on the way: writers, readers, reverts, damaged files and processes that die between any two steps."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connections, transaction

from accounts.models import User
from accounts.tenancy import as_owner, as_staff, as_worker, connection
from insights.feeds.revert_operations import UnableToRevert, ask_revert, confirm_revert
from insights.models import ArchivedSeries, BatchRevert, RollupSeal, UsageMonth
from insights.retention import archive_operations, care_operations, lock_operations, restore_operations
from insights.retention.care_operations import drop_detached_month, make_months_ahead
from insights.retention.file_operations import DamagedFile
from insights.retention.lock_operations import HeldUp, UnableToArchive
from insights.tasks import chunks, ingest_batch
from insights.upkeep import drop_detached_months
from tests import factories
from tests.retention import months
from tests.retention.months import (
    JUNE,
    NOW,
    REQUEST,
    archive,
    assert_books_agree,
    line,
    records,
    rollups,
    rows_of,
    send,
    verdicts,
    verify,
)

pytestmark = pytest.mark.database


class Killed(BaseException):
    """The process is gone: nothing behind this runs, as after kill -9."""


def after(real: Callable[..., Any]) -> Callable[..., Any]:
    """Do the step, and die."""

    def step(*arguments: Any, **named: Any) -> Any:
        real(*arguments, **named)
        raise Killed

    return step


STEPS = [
    (archive_operations, "begin_archive"),
    (archive_operations, "copy_month"),
    (archive_operations, "keep_file"),
    (archive_operations, "wait_for_chunks"),
    (archive_operations, "_check_unchanged"),
    (archive_operations, "_seal"),
    (archive_operations, "audit"),
]


@pytest.mark.parametrize(("module", "name"), STEPS, ids=[name for _module, name in STEPS])
def test_killed_before_the_end_the_month_is_as_it_was_and_the_command_can_be_repeated(
    source: Any, archives: Path, module: Any, name: str
) -> None:
    send(source, *months.month_lines())
    before, sums = records(), rollups()

    with patch.object(module, name, after(getattr(module, name))), pytest.raises(Killed):
        archive()

    assert records() == before
    assert_books_agree()
    assert verdicts(send(source, line("2024-06-20T10:00", 1))) == {"new": 1}
    assert archive().records == 46
    assert len(list(archives.glob("*.csv.gz"))) == len(list(archives.glob("*.json"))) == 1
    assert set(sums) <= set(rollups())
    assert_books_agree()


@pytest.mark.parametrize("name", ["check_file", "_load", "_check_text", "wait_for_chunks_in_turns", "audit"])
def test_killed_while_it_is_restored_the_month_is_still_archived(
    source: Any, archives: Path, name: str
) -> None:
    send(source, *months.month_lines())
    before = records()
    archive()

    with patch.object(restore_operations, name, after(getattr(restore_operations, name))), suppress(Killed):
        call_command("restore_month", "2024-06", stdout=StringIO())

    with as_worker():
        assert UsageMonth.objects.get().state == "archived"
    assert_books_agree()
    call_command("restore_month", "2024-06", stdout=StringIO())
    assert records() == before


def test_an_error_leaves_no_trace_of_the_attempt(source: Any, archives: Path) -> None:
    send(source, *months.month_lines())

    with (
        patch.object(archive_operations, "keep_file", side_effect=OSError("disk full")),
        pytest.raises(OSError, match="disk full"),
    ):
        archive()

    with as_worker():
        assert UsageMonth.objects.get().state == "attached"
        assert not ArchivedSeries.objects.exists()
    assert_books_agree()


def test_a_line_that_comes_between_copy_and_detaching_is_in_the_archive(source: Any, archives: Path) -> None:
    send(source, *months.month_lines())
    real, sent = archive_operations.copy_month, []

    def copy_and_send(month: Any) -> Any:
        manifest = real(month)
        if not sent:
            sent.append(send(source, line("2024-06-20T10:00", 1), line("2024-06-15T10:00", 9, revision=2)))
        return manifest

    with patch.object(archive_operations, "copy_month", copy_and_send):
        row = archive()

    assert verdicts(sent[0]) == {"new": 1, "replaced": 1}
    assert row.records == 46
    assert verdicts(send(source, line("2024-06-20T10:00", 1))) == {"duplicate": 1}
    assert_books_agree()


def test_a_month_that_keeps_changing_is_given_up(source: Any, archives: Path) -> None:
    send(source, *months.month_lines())
    real, days = archive_operations.copy_month, iter(range(10, 29))

    def copy_and_send(month: Any) -> Any:
        manifest = real(month)
        send(source, line(f"2024-06-{next(days)}T05:00", 1))
        return manifest

    with (
        patch.object(archive_operations, "copy_month", copy_and_send),
        pytest.raises(UnableToArchive, match="kept coming"),
    ):
        archive()

    with as_worker():
        assert UsageMonth.objects.get().state == "attached"
    assert not list(archives.iterdir())
    assert_books_agree()


def test_a_chunk_under_way_is_waited_for_and_counted(source: Any, archives: Path, monkeypatch: Any) -> None:
    """The chunk has looked at the months and not yet committed when the month is to be detached."""
    send(source, *months.month_lines())
    monkeypatch.setattr(lock_operations, "LOCK_PAUSE_SECONDS", 0.1)
    real, looked, go_on = chunks.take_position, threading.Event(), threading.Event()

    def hold(entry_id: int) -> None:
        if not looked.is_set():
            looked.set()
            assert go_on.wait(20)
        real(entry_id)

    def deliver() -> None:
        try:
            send(source, line("2024-06-20T10:00", 1))
        finally:
            connections.close_all()

    monkeypatch.setattr(chunks, "take_position", hold)
    thread = threading.Thread(target=deliver)
    thread.start()
    assert looked.wait(20)
    # The copy is made while the chunk is under way, and cannot hold its line.
    real_wait = archive_operations.wait_for_chunks

    def let_go_and_wait() -> None:
        go_on.set()
        real_wait()

    monkeypatch.setattr(archive_operations, "wait_for_chunks", let_go_and_wait)
    row = archive()
    thread.join(20)

    assert row.records == 46
    assert_books_agree()


def test_a_long_reader_is_not_cut_and_no_writer_waits_for_tries_that_fail(
    source: Any, archives: Path, monkeypatch: Any
) -> None:
    send(source, *months.month_lines())
    monkeypatch.setattr(lock_operations, "LOCK_TRIES", 3)
    monkeypatch.setattr(lock_operations, "LOCK_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(lock_operations, "LOCK_MILLISECONDS", 200)

    with psycopg.connect(_worker_address()) as reader:
        reader.execute("SELECT count(*) FROM insights_usagerecord")
        with held_up_writers() as held_up, pytest.raises(HeldUp, match="reads usage records"):
            archive()
        assert reader.execute("SELECT count(*) FROM insights_usagerecord").fetchone() == (81,)

    assert held_up == []
    assert archive().records == 45


@contextmanager
def held_up_writers() -> Iterator[list[int]]:
    """Ask again and again for what every chunk asks for; the questions that were not granted at once."""
    over, held_up = threading.Event(), list[int]()

    def ask() -> None:
        with psycopg.connect(_worker_address(), autocommit=True) as writer:
            number = 0
            while not over.wait(0.005):
                number += 1
                row = writer.execute(
                    "SELECT pg_try_advisory_xact_lock_shared(hashtext('portal usage months'), 0)"
                ).fetchone()
                if row == (False,):
                    held_up.append(number)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield held_up
    finally:
        over.set()
        thread.join(20)


class TestRestoringBesideWriters:
    """What a restore waits for is said while it waits, and it ends with a sentence and a code for trying again."""

    @pytest.fixture(autouse=True)
    def archived(self, source: Any, archives: Path, monkeypatch: Any) -> None:
        send(source, *months.month_lines())
        archive()
        monkeypatch.setattr(lock_operations, "WAIT_SECONDS", 1)
        monkeypatch.setattr(lock_operations, "WAIT_PAUSE_SECONDS", 0.05)
        monkeypatch.setattr(lock_operations, "LOCK_MILLISECONDS", 100)
        monkeypatch.setattr(restore_operations, "LOCK_SECONDS", 1)

    def _restore(self) -> tuple[int, str, str]:
        """Exit code, what was said while it waited, and the last sentence."""
        out, waiting = StringIO(), StringIO()
        try:
            call_command("restore_month", "2024-06", stdout=out, stderr=waiting)
        except CommandError as error:
            return error.returncode, waiting.getvalue(), str(error)
        return 0, waiting.getvalue(), out.getvalue()

    def test_a_backfill_is_named_and_waited_for(self, source: Any) -> None:
        with psycopg.connect(_worker_address()) as closing:
            closing.execute("SELECT pg_advisory_xact_lock(hashtext('backfill run'), %s)", [source.pk])
            code, waiting, said = self._restore()
            threading.Timer(0.5, closing.rollback).start()
            later = self._restore()

        assert (code, waiting) == (
            75,
            "A backfill of edge is being previewed or closed. Waiting for up to 1 s.\n",
        )
        assert said == (
            "A backfill of edge is being previewed or closed. Nothing has changed; try again when that is done."
        )
        assert later[0] == 0
        assert "45 records" in later[2]
        assert_books_agree()

    def test_chunks_are_waited_for_in_turns(self, source: Any) -> None:
        with psycopg.connect(_worker_address()) as chunk:
            chunk.execute("SELECT pg_advisory_xact_lock_shared(hashtext('portal usage months'), 0)")
            code, waiting, said = self._restore()

        assert (code, "Waiting for up to" in waiting) == (75, True)
        assert said.startswith("Lines are being written all the time.")
        assert_books_agree()
        assert self._restore()[0] == 0

    def test_a_lock_on_the_months_is_no_traceback(self) -> None:
        with psycopg.connect(_worker_address()) as other:
            other.execute("SELECT pg_advisory_xact_lock(hashtext('portal_ensure_month'))")
            code, _waiting, said = self._restore()

        assert code == 75
        assert said.startswith("Somebody else changes the months of the ledger. Nothing has changed")
        assert_books_agree()
        assert self._restore()[0] == 0


def test_nothing_is_archived_while_a_backfill_is_written(
    source: Any, archives: Path, monkeypatch: Any
) -> None:
    send(source, *months.month_lines())
    monkeypatch.setattr(lock_operations, "LOCK_TRIES", 2)
    monkeypatch.setattr(lock_operations, "LOCK_PAUSE_SECONDS", 0.01)

    with psycopg.connect(_worker_address()) as closing:
        closing.execute("SELECT pg_advisory_xact_lock(hashtext('backfill run'), %s)", [source.pk])
        with held_up_writers() as held_up, pytest.raises(CommandError, match="A backfill of edge") as refused:
            call_command("archive_month", "2024-06", reason="older than we bill", stdout=StringIO())

    assert (refused.value.returncode, held_up) == (75, [])
    assert archive().records == 45


def _worker_address() -> str:
    return os.environ["WORKER_DATABASE_URL"]


def test_two_at_once_are_one_after_the_other(source: Any, archives: Path) -> None:
    send(source, *months.month_lines())
    with psycopg.connect(_worker_address()) as other:
        other.execute("SELECT pg_advisory_lock(hashtext('portal archive'), 0)")
        with pytest.raises(UnableToArchive, match="Another month"):
            archive()


class TestFiles:
    @pytest.mark.parametrize("place", [0, 12, 200, -1])
    def test_one_flipped_bit_is_found(self, source: Any, archives: Path, place: int) -> None:
        send(source, *months.month_lines())
        archive()
        (file,) = archives.glob("*.csv.gz")
        data = bytearray(file.read_bytes())
        data[place] ^= 1
        file.write_bytes(data)

        for command in (["restore_month", "2024-06"], ["archive_month", "2024-06", "--drop-detached"]):
            with pytest.raises(CommandError, match=file.name):
                call_command(*command, stdout=StringIO())
        with pytest.raises(CommandError, match="2024-06"):
            call_command("list_months", "--check-files", stdout=StringIO())

    @pytest.mark.parametrize("damage", ["cut", "more", "gone"])
    def test_a_file_that_is_not_whole_is_found(self, source: Any, archives: Path, damage: str) -> None:
        send(source, *months.month_lines())
        row = archive()
        (file,) = archives.glob("*.csv.gz")
        if damage == "gone":
            file.unlink()
        else:
            data = file.read_bytes()
            file.write_bytes(data[:-9] if damage == "cut" else data + b"x")

        with as_worker(), pytest.raises(DamagedFile):
            drop_detached_month(JUNE, now=NOW)
        call_command("restore_month", "2024-06", from_detached=True, stdout=StringIO())

        assert len(records()) == 81
        assert row.records == 45
        assert_books_agree()

    def test_whole_files_are_said_to_be(self, source: Any, archives: Path) -> None:
        send(source, *months.month_lines())
        archive()
        said = StringIO()

        call_command("list_months", "--check-files", stdout=said)

        assert "2024-06,archived,45,counted," in said.getvalue()

    def test_the_same_records_give_the_same_file(self, source: Any, archives: Path) -> None:
        send(source, *months.month_lines())
        first = archive()
        call_command("restore_month", "2024-06", from_detached=True, stdout=StringIO())
        second = archive()

        assert (first.file_sha256, first.seal_sha256) == (second.file_sha256, second.seal_sha256)


class TestSeals:
    @pytest.mark.parametrize(
        "damage",
        [
            "UPDATE insights_usagerollup SET quantity = quantity + 0.000000001 WHERE day = '2024-06-15'",
            "UPDATE insights_usagerollup SET latest_quantity = 1 WHERE day = '2024-06-15'",
            "DELETE FROM insights_usagerollup WHERE day = '2024-06-15'",
            "DELETE FROM insights_rollupseal",
        ],
    )
    def test_a_broken_seal_is_named(self, source: Any, archives: Path, damage: str) -> None:
        send(source, *months.month_lines())
        archive()
        with as_owner(), transaction.atomic(using="owner"), connection().cursor() as cursor:
            cursor.execute(damage)

        said = verify()

        assert "month 2024-06: insights_usagerollup differs from it" in said
        assert "the books differ: 3 differences" in said
        assert "the books differ: 1 differences" in verify("--account", "brook")

    def test_lost_digests_are_named(self, source: Any, archives: Path) -> None:
        send(source, *months.month_lines())
        archive()
        with as_owner(), transaction.atomic(using="owner"), connection().cursor() as cursor:
            cursor.execute("UPDATE insights_archivedseries SET digests = digests[2:]")

        assert "month 2024-06: 36 of 45 archived records are known" in verify()


class TestReverts:
    @pytest.fixture
    def staff(self, archives: Path) -> User:
        return factories.make_user("staff@example.com", is_staff=True)

    def test_a_batch_in_an_archived_month_is_not_reverted_before_it_is_restored(
        self, source: Any, staff: User
    ) -> None:
        batch = send(source, *months.month_lines())
        archive()

        with pytest.raises(UnableToRevert, match="archived month: 2024-06"):
            self._revert(batch, staff)
        call_command("restore_month", "2024-06", stdout=StringIO())
        self._revert(batch, staff)

        assert records() == []
        assert_books_agree()

    def test_what_was_counted_before_the_month_was_archived_is_counted_again(
        self, source: Any, staff: User
    ) -> None:
        batch = send(source, *months.month_lines())
        self._prepare(batch, staff)
        with as_worker():
            archive_operations.archive_month(
                REQUEST, last_invoice_issued_at=None, now=BatchRevert.objects.get().prepared_at + timedelta(1)
            )

        with as_staff(), pytest.raises(UnableToRevert, match="count again"):
            confirm_revert(public_id=batch.public_id, actor=staff, reason="sent twice", now=NOW)

    def test_a_row_is_not_moved_back_into_an_archived_month(self, archives: Path, staff: User) -> None:
        source = months.make_world("row_id")
        send(source, line("2024-06-15T10:00", 5, row="r1"), line("2024-06-15T10:00", 5, row="r2"))
        moved = send(source, line("2024-08-15T10:00", 6, revision=2, row="r1"))
        archive()

        with pytest.raises(UnableToRevert, match="archived month: 2024-06"):
            self._revert(moved, staff)
        assert_books_agree()

    def test_a_batch_of_other_months_is_reverted(self, source: Any, staff: User) -> None:
        send(source, *months.month_lines())
        batch = send(source, line("2024-07-20T10:00", 6))
        archive()

        self._revert(batch, staff)

        assert len(records()) == 36
        assert_books_agree()

    def test_nothing_is_archived_while_a_batch_is_taken_out(self, source: Any, staff: User) -> None:
        batch = send(source, *months.month_lines())
        self._prepare(batch, staff)
        with as_staff():
            confirm_revert(public_id=batch.public_id, actor=staff, reason="sent twice", now=NOW)

        with pytest.raises(UnableToArchive, match="taken out of the books"):
            archive()

    def _prepare(self, batch: Any, staff: User) -> None:
        with as_staff():
            ask_revert(public_id=batch.public_id, actor=staff, now=NOW)
        ingest_batch(batch.pk)

    def _revert(self, batch: Any, staff: User) -> None:
        self._prepare(batch, staff)
        with as_staff():
            confirm_revert(public_id=batch.public_id, actor=staff, reason="sent twice", now=NOW)
        ingest_batch(batch.pk)


class TestCare:
    def test_detached_tables_are_dropped_after_a_week(self, source: Any, archives: Path) -> None:
        send(source, *months.month_lines())
        archive()
        with as_worker():
            UsageMonth.objects.update(archived_at=NOW - timedelta(days=30))
            assert care_operations.list_months_to_drop(now=NOW - timedelta(days=23, seconds=1)) == ()

        assert drop_detached_months() == 1
        assert drop_detached_months() == 0

        assert rows_of("SELECT to_regclass('insights_usagerecord_202406_detached') IS NULL") == [(True,)]
        with pytest.raises(CommandError, match="was dropped"):
            call_command("restore_month", "2024-06", from_detached=True)
        call_command("restore_month", "2024-06", stdout=StringIO())
        assert len(records()) == 81
        assert_books_agree()

    def test_a_damaged_file_keeps_its_table(self, source: Any, archives: Path) -> None:
        send(source, *months.month_lines())
        archive()
        with as_worker():
            UsageMonth.objects.update(archived_at=NOW - timedelta(days=30))
        (file,) = archives.glob("*.csv.gz")
        file.write_bytes(file.read_bytes()[:-1])

        assert drop_detached_months() == 0

        assert rows_of("SELECT to_regclass('insights_usagerecord_202406_detached') IS NOT NULL") == [(True,)]

    def test_making_months_waits_for_nobody_long(self, archives: Path, monkeypatch: Any) -> None:
        monkeypatch.setattr(care_operations, "LOCK_MILLISECONDS", 50)
        now = NOW.replace(year=2027, month=6)
        with as_owner(), transaction.atomic(using="owner"), connection().cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('portal_ensure_month'))")
            with as_worker():
                assert make_months_ahead(now=now) == ()

        with as_worker():
            made = make_months_ahead(now=now)
        with as_owner(), connection().cursor() as cursor:
            for month in made:
                cursor.execute(f"DROP TABLE insights_usagerecord_{month:%Y%m}")
        assert [f"{month:%Y-%m}" for month in made] == ["2027-06", "2027-07", "2027-08", "2027-09"]


class TestOwnerFunctions:
    """Whatever else goes wrong, the owner's functions take away no month that has no archive."""

    @pytest.mark.parametrize("function", ["detach", "reattach", "drop_detached"])
    def test_a_month_that_nobody_archived_stays(self, source: Any, archives: Path, function: str) -> None:
        send(source, *months.month_lines())

        with pytest.raises(DatabaseError, match="month 2024-06-01"):
            rows_of(f"SELECT portal_{function}_month('2024-06-01')")
        assert len(records()) == 81

    @pytest.mark.parametrize(
        ("change", "words"),
        [({"records": 44}, "its archive 44"), ({"month": "2026-09-01"}, "less than 13 months ago")],
    )
    def test_an_archive_that_is_not_the_month_detaches_nothing(
        self, source: Any, archives: Path, change: dict[str, Any], words: str
    ) -> None:
        send(source, *months.month_lines())
        archived = {
            "month": "2024-06-01", "state": "archived", "archived_at": NOW, "reason": "x", "file_name": "x",
            "file_sha256": "x", "records": 45, **change,
        }  # fmt: skip
        with as_worker():
            UsageMonth.objects.create(**archived)

        with pytest.raises(DatabaseError, match=words):
            rows_of(f"SELECT portal_detach_month('{archived['month']}')")

    @pytest.mark.parametrize("alias", ["default", "staff", "intake"])
    @pytest.mark.parametrize("function", ["detach", "reattach", "drop_detached"])
    def test_only_the_worker_may_call_them(self, archives: Path, alias: str, function: str) -> None:
        with connections[alias].cursor() as cursor, pytest.raises(DatabaseError, match="permission denied"):
            cursor.execute(f"SELECT portal_{function}_month('2024-06-01')")

    @pytest.mark.parametrize("alias", ["default", "staff", "intake", "worker"])
    def test_nobody_reads_a_detached_table(self, source: Any, archives: Path, alias: str) -> None:
        send(source, *months.month_lines())
        archive()

        with connections[alias].cursor() as cursor, pytest.raises(DatabaseError, match="permission denied"):
            cursor.execute("SELECT * FROM insights_usagerecord_202406_detached")


def test_no_partition_is_made_for_an_archived_month(source: Any, archives: Path) -> None:
    send(source, *months.month_lines())
    archive()

    send(source, line("2024-06-15T10:00", 77))

    assert rows_of("SELECT to_regclass('insights_usagerecord_202406') IS NULL") == [(True,)]
    with as_worker():
        assert RollupSeal.objects.count() == 3


def test_control_totals_say_which_months_they_leave_out(source: Any, archives: Path) -> None:
    send(source, *months.month_lines())
    archive()
    said, error = StringIO(), StringIO()

    call_command("control_totals", source="edge", by="month", stdout=said, stderr=error)

    assert "2024-06" in error.getvalue()
    assert "2024-06" not in said.getvalue()
