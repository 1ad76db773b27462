"""A backfill: held batches change nothing, the close writes all of them at one position, a discard leaves no trace."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest

from accounts.models import Account, AuditEntry, User
from accounts.tenancy import account_scope, as_staff, as_worker
from insights.feeds.backfill_operations import UnableToBackfill, ask_preview
from insights.ingest import held_operations
from insights.ingest.operations import receive_batch
from insights.ingest.refusals import RequestRefused
from insights.metering.change_queries import list_changes
from insights.models import (
    Batch,
    BatchBytes,
    BatchPart,
    LedgerEntry,
    Series,
    SeriesDimension,
    UsageRecord,
    Watermark,
    WorkItem,
)
from insights.tasks import ingest_batch
from insights.upkeep import expire_kept_bytes
from tests import factories
from tests.factories import ingest_now
from tests.ingest.held import (
    body_of,
    books,
    close,
    confirm,
    discard,
    found,
    hold,
    line,
    opened,
    preview,
)
from tests.ingest.test_reverts import revert, verify

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("portal_db")]


@pytest.fixture(params=["window", "row_id"])
def source(request: Any) -> Any:
    """One source of either key kind, two accounts, an adding meter and one that takes the latest."""
    factories.make_meter("bytes_out")
    factories.make_meter("seats", aggregation="latest")
    factories.make_account("ansel", billing_zone="America/Havana")
    factories.make_account("brook")
    return factories.make_source("edge", clock_zone="", key_kind=request.param, max_age_days=35)


@pytest.fixture
def staff(portal_db: None) -> User:
    """Who may backfill."""
    return factories.make_user("staff@example.com", is_staff=True)


class TestHeld:
    def test_a_held_batch_is_kept_and_changes_nothing(self, source: Any, staff: User) -> None:
        ingest_now(source, body_of(source, line(1, 5)))
        before = books(without=frozenset({"batches"}))

        batch = hold(source, opened(source, staff), line(1, 50, revision=2), line(2, 6))
        ingest_batch(batch.pk)

        assert books(without=frozenset({"batches"})) == before
        with as_worker():
            assert Batch.objects.get(pk=batch.pk).state == "held"
            assert BatchBytes.objects.filter(batch=batch).exists()
            assert not BatchPart.objects.filter(batch=batch).exists()
            assert WorkItem.objects.get(batch=batch).state == "done"
        verify()

    @pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"nonsense\n1\n"])
    def test_a_delivery_that_cannot_be_read_is_refused_at_once(
        self, source: Any, staff: User, body: bytes
    ) -> None:
        backfill = opened(source, staff)

        with pytest.raises(RequestRefused):
            receive_batch(pieces=[body], source_id=source.pk, via="api", backfill=backfill)

        with as_worker():
            assert list(Batch.objects.values_list("state", "backfill__public_id")) == [("refused", backfill)]
        verify()

    def test_the_same_key_and_body_again_is_the_held_batch(self, source: Any, staff: User) -> None:
        backfill = opened(source, staff)
        said = {"pieces": [body_of(source, line(1, 5))], "source_id": source.pk, "via": "api"}

        first = receive_batch(**said, backfill=backfill, idempotency_key="k")
        again = receive_batch(**said, backfill=backfill, idempotency_key="k")

        assert (again.is_repeat, again.public_id) == (True, first.public_id)
        with pytest.raises(RequestRefused) as refusal:
            receive_batch(**said, idempotency_key="k")
        assert refusal.value.code == "idempotency_mismatch"

    def test_an_unknown_backfill_and_one_of_another_source_are_refused_alike(
        self, source: Any, staff: User
    ) -> None:
        other = factories.make_source("core", clock_zone="", key_kind=source.key_kind)
        said = []
        for backfill in (uuid4(), opened(other, staff)):
            with pytest.raises(RequestRefused) as refusal:
                hold(source, backfill, line(1, 5))
            said.append((refusal.value.code, refusal.value.status, refusal.value.detail))

        assert said == [("unknown_backfill", 422, "this source has no such backfill")] * 2

    @pytest.mark.parametrize("end", [close, discard])
    def test_an_ended_backfill_takes_nothing_more(self, source: Any, staff: User, end: Any) -> None:
        backfill = opened(source, staff)
        hold(source, backfill, line(1, 5))
        preview(backfill, staff)
        end(backfill, staff)

        with pytest.raises(RequestRefused) as refusal:
            hold(source, backfill, line(2, 5))

        assert (refusal.value.code, refusal.value.status) == ("backfill_not_open", 409)

    @pytest.mark.parametrize("limit", ["HELD_LINES_MAX", "HELD_BATCHES_MAX"])
    def test_a_full_backfill_refuses_what_is_too_much(self, source: Any, staff: User, limit: str) -> None:
        backfill = opened(source, staff)
        hold(source, backfill, line(1, 5))

        most = 1 if limit == "HELD_BATCHES_MAX" else 3
        with patch.object(held_operations, limit, most), pytest.raises(RequestRefused) as refusal:
            hold(source, backfill, line(2, 5))

        assert (refusal.value.code, refusal.value.status) == ("backfill_full", 413)
        with as_worker():
            assert sorted(Batch.objects.values_list("state", flat=True)) == ["held", "refused"]


class TestPreview:
    def test_it_counts_and_takes_everything_back(self, source: Any, staff: User) -> None:
        ingest_now(source, body_of(source, line(1, 5), line(2, 6)))
        backfill = opened(source, staff)
        batch = hold(
            source,
            backfill,
            line(1, 50, revision=2),
            line(2, 6),
            line(3, 7, account="brook", day="2024-02-29"),
            line(4, 8, account="nobody"),
        )
        before = books()

        counted = preview(backfill, staff)

        assert books() == before
        assert counted.state == "ready"
        assert counted.preview["totals"] == {
            "received": 4, "new": 1, "replaced": 1, "duplicate": 1, "stale": 0, "rejected": 1,
        }  # fmt: skip
        assert [
            (day["reference"], day["day"], day["before"], day["new"], day["replaced"], day["after"])
            for day in counted.preview["days"]
        ] == [("ansel", "2026-11-02", 2, 0, 1, 2), ("brook", "2024-02-29", 0, 1, 0, 1)]
        assert counted.preview["codes"] == [{"code": "unknown_account", "field": "account", "lines": 1}]
        assert [(reject["public_id"], reject["line"]) for reject in counted.preview["rejects"]] == [
            (str(batch.public_id), 5)
        ]
        verify()

    def test_an_account_to_be_made_is_counted_and_not_made(self, source: Any, staff: User) -> None:
        backfill = opened(source, staff)
        hold(source, backfill, line(1, 5, account="newcomer"), create_accounts=True)

        counted = preview(backfill, staff)

        assert counted.preview["by_account"][0]["reference"] == "newcomer"
        with as_worker():
            assert not Account.objects.filter(reference="newcomer").exists()
        close(backfill, staff)
        with as_worker():
            assert UsageRecord.objects.get().account.reference == "newcomer"
        verify()

    def test_it_makes_no_series_whose_dimensions_a_customer_could_see(self, source: Any, staff: User) -> None:
        backfill = opened(source, staff)
        hold(source, backfill, line(1, 5, day="2019-05-06"), line(2, 6, account="brook"))

        assert preview(backfill, staff).preview["totals"]["new"] == 2

        with as_worker():
            assert not Series.objects.exists()
            assert not SeriesDimension.objects.exists()
        close(backfill, staff)
        with as_worker():
            assert Series.objects.count() == 2

    def test_windows_of_any_age_are_taken_only_if_the_backfill_says_so(
        self, source: Any, staff: User
    ) -> None:
        for takes_any_age, verdict in ((False, "rejected"), (True, "new")):
            backfill = opened(source, staff, takes_any_age=takes_any_age)
            hold(source, backfill, line(1, 5, day="2021-03-04"))
            assert preview(backfill, staff).preview["totals"][verdict] == 1
            close(backfill, staff)

    def test_a_window_before_any_month_there_can_be_is_refused_by_line(
        self, source: Any, staff: User
    ) -> None:
        backfill = opened(source, staff)
        hold(source, backfill, line(1, 5, day="1999-12-31"), line(2, 6))

        assert preview(backfill, staff).preview["totals"] == {
            "received": 2, "new": 1, "replaced": 0, "duplicate": 0, "stale": 0, "rejected": 1,
        }  # fmt: skip

    def test_a_row_that_moves_leaves_its_day(self, staff: User) -> None:
        factories.make_meter("bytes_out")
        factories.make_account("ansel")
        source = factories.make_source("edge", clock_zone="", key_kind="row_id")
        ingest_now(source, body_of(source, line(1, 5, row="r1")))
        backfill = opened(source, staff)
        hold(source, backfill, line(1, 5, row="r1", revision=2, day="2026-11-05"))

        days = preview(backfill, staff).preview["days"]

        assert [(day["day"], day["before"], day["new"], day["leaves"], day["after"]) for day in days] == [
            ("2026-11-03", 1, 0, 1, 0),
            ("2026-11-05", 0, 1, 0, 1),
        ]

    def test_an_empty_backfill_has_nothing_to_preview(self, source: Any, staff: User) -> None:
        backfill = opened(source, staff)

        with as_staff(), pytest.raises(UnableToBackfill, match="holds no batch yet"):
            ask_preview(public_id=backfill, actor=staff)

    def test_bytes_that_the_source_no_longer_reads_fail_it_with_the_reason(
        self, source: Any, staff: User
    ) -> None:
        backfill = opened(source, staff)
        hold(source, backfill, line(1, 5))
        factories.change_source(source, format="ndjson")

        failed = preview(backfill, staff)

        assert failed.state == "failed"
        assert failed.problem
        factories.change_source(source, format="any")
        assert preview(backfill, staff).state == "ready"


class TestClose:
    def test_the_books_are_those_of_the_same_files_sent_plainly(self, source: Any, staff: User) -> None:
        files = {
            "one": [line(1, 5), line(2, 6), line(2, 6), line(3, 1, revision=3), line(9, 1, account="nobody")],
            "two": [line(1, 50, revision=2), line(3, 2, revision=2), line(1, 9, meter="seats"), line(2, 7)],
            "three": [line(1, 8, meter="seats", revision=2), line(4, 4, account="brook"), line(1, 500, revision=3)],
        }  # fmt: skip
        plain = factories.make_source("plain", clock_zone="", key_kind=source.key_kind)
        for each in (source, plain):
            ingest_now(each, body_of(each, line(1, 4), line(5, 5)), name="zero")
        for name, lines in files.items():
            ingest_now(plain, body_of(plain, *lines), name=name)
        backfill = opened(source, staff)
        for name, lines in files.items():
            hold(source, backfill, *lines, name=name)
        preview(backfill, staff)

        closed = close(backfill, staff)

        assert closed.state == "closed"
        assert books(source) == books(plain)
        verify()

    def test_one_entry_without_a_batch_holds_it_all(self, source: Any, staff: User) -> None:
        backfill = opened(source, staff)
        hold(source, backfill, line(1, 5))
        hold(source, backfill, line(2, 6))
        preview(backfill, staff)

        closed = close(backfill, staff)

        with as_worker():
            entry = LedgerEntry.objects.get()
            assert (entry.kind, entry.batch_id, entry.position) == ("backfill_close", None, 1)
            assert set(UsageRecord.objects.values_list("entry_id", flat=True)) == {entry.pk}
            assert (entry.backfill_id, closed.ended_by_id) == (closed.pk, staff.pk)
            assert set(Batch.objects.values_list("state", flat=True)) == {"done"}

    def test_it_needs_a_preview_of_exactly_these_batches_and_a_reason(self, source: Any, staff: User) -> None:
        backfill = opened(source, staff)
        hold(source, backfill, line(1, 5))
        with pytest.raises(UnableToBackfill, match="has not been counted"):
            confirm(backfill, staff)
        preview(backfill, staff)
        with pytest.raises(UnableToBackfill, match="needs a reason"):
            confirm(backfill, staff, reason="  ")
        hold(source, backfill, line(2, 5))
        with pytest.raises(UnableToBackfill, match="came in after the preview"):
            confirm(backfill, staff)
        preview(backfill, staff)

        assert close(backfill, staff).state == "closed"

    def test_what_would_do_something_else_than_previewed_does_nothing(self, source: Any, staff: User) -> None:
        backfill = opened(source, staff)
        hold(source, backfill, line(1, 5), line(2, 6))
        preview(backfill, staff)
        ingest_now(source, body_of(source, line(2, 6)))
        before = books()

        failed = close(backfill, staff)

        assert (failed.state, books()) == ("failed", before)
        assert "Preview again" in failed.problem
        preview(backfill, staff)
        assert close(backfill, staff).state == "closed"
        verify()

    def test_other_usage_of_the_source_in_between_changes_nothing(self, source: Any, staff: User) -> None:
        backfill = opened(source, staff)
        hold(source, backfill, line(1, 5))
        preview(backfill, staff)
        ingest_now(source, body_of(source, line(2, 6)))

        assert close(backfill, staff).state == "closed"

    def test_a_second_confirmation_is_refused(self, source: Any, staff: User) -> None:
        backfill = opened(source, staff)
        batch = hold(source, backfill, line(1, 5))
        preview(backfill, staff)
        confirm(backfill, staff)

        with pytest.raises(UnableToBackfill, match="has it in hand"):
            confirm(backfill, staff)
        with pytest.raises(UnableToBackfill, match="has it in hand"):
            discard(backfill, staff)
        ingest_batch(batch.pk)
        with pytest.raises(UnableToBackfill, match="is closed"):
            confirm(backfill, staff)

    def test_watermarks_rise_by_it_and_never_fall(self, source: Any, staff: User) -> None:
        ingest_now(source, body_of(source, line(5, 5)))
        backfill = opened(source, staff)
        hold(source, backfill, line(1, 5, day="2025-01-01"), line(9, 1, account="brook"))
        preview(backfill, staff)
        close(backfill, staff)

        with as_worker():
            marks = {mark.account.reference: mark for mark in Watermark.objects.select_related("account")}
        assert marks["ansel"].complete_to == datetime(2026, 11, 3, 6, tzinfo=UTC)
        assert marks["ansel"].counts_from == datetime(2025, 1, 1, 1, tzinfo=UTC)
        assert marks["brook"].complete_to == datetime(2026, 11, 3, 10, tzinfo=UTC)

    def test_each_batch_tells_what_it_changed_and_all_add_up(self, source: Any, staff: User) -> None:
        ingest_now(source, body_of(source, line(6, 5), line(7, 6)))
        backfill = opened(source, staff)
        first = hold(source, backfill, line(6, 50, revision=2), line(7, 60, revision=2), line(8, 1))
        second = hold(source, backfill, line(7, 600, revision=3), line(8, 10, revision=2))
        preview(backfill, staff)
        close(backfill, staff)

        assert [_changes(batch) for batch in (first, second)] == [
            [(1, 1, Decimal(5), Decimal(50))],
            [(1, 2, Decimal(6), Decimal(610))],
        ]

    def test_a_batch_of_it_can_be_reverted(self, source: Any, staff: User) -> None:
        ingest_now(source, body_of(source, line(1, 5)))
        backfill = opened(source, staff)
        hold(source, backfill, line(1, 50, revision=2), line(2, 6))
        second = hold(source, backfill, line(1, 500, revision=3), line(3, 7))
        preview(backfill, staff)
        close(backfill, staff)

        done = revert(second, staff)

        assert (done.records_out, done.records_back) == (2, 1)
        with as_worker():
            records = UsageRecord.objects.order_by("window_start").values_list("revision", "quantity")
            assert list(records) == [(2, Decimal(50)), (1, Decimal(6))]
        verify()

    def test_every_step_is_in_the_audit_trail(self, source: Any, staff: User) -> None:
        backfill = opened(source, staff)
        hold(source, backfill, line(1, 5))
        preview(backfill, staff)
        close(backfill, staff)
        discard(opened(source, staff), staff)

        with as_worker():
            entries = AuditEntry.objects.filter(act__startswith="backfill.").order_by("id")
            told = [(entry.act, entry.actor_name, entry.details["reason"]) for entry in entries]
        assert told == [
            ("backfill.open", "staff@example.com", "October was never sent"),
            ("backfill.close", "staff@example.com", "checked with the sender"),
            ("backfill.open", "staff@example.com", "October was never sent"),
            ("backfill.discard", "staff@example.com", "the wrong month"),
        ]


class TestDiscard:
    def test_it_leaves_no_trace_and_its_bytes_for_thirty_days(self, source: Any, staff: User) -> None:
        ingest_now(source, body_of(source, line(1, 5)))
        before = books(without=frozenset({"batches"}))
        backfill = opened(source, staff)
        batch = hold(source, backfill, line(1, 50, revision=2))
        preview(backfill, staff)

        discarded = discard(backfill, staff)

        assert discarded.state == "discarded"
        assert books(without=frozenset({"batches"})) == before
        with as_worker():
            assert Batch.objects.get(pk=batch.pk).state == "discarded"
            assert BatchBytes.objects.filter(batch=batch).exists()
            Batch.objects.filter(pk=batch.pk).update(finished_at=datetime.now(UTC) - timedelta(days=31))
        expire_kept_bytes()
        with as_worker():
            assert not BatchBytes.objects.filter(batch=batch).exists()
        verify()

    def test_another_one_can_be_opened_only_then(self, source: Any, staff: User) -> None:
        first = opened(source, staff)
        with pytest.raises(UnableToBackfill, match="has an open backfill already"):
            opened(source, staff)

        discard(first, staff)

        assert found(opened(source, staff)).state == "open"


def _changes(batch: Batch) -> list[Any]:
    with as_worker():
        part = BatchPart.objects.select_related("account").get(batch=batch)
    with account_scope(part.account_id):
        changes = list_changes(
            part.account,
            batch_id=batch.pk,
            first_window=part.first_window,
            last_window_end=part.last_window_end,
        )
    return [(change.records_before, change.records_after, change.before, change.after) for change in changes]
