"""Bad input that only the stored rows can tell: repeats, conflicts, foreign accounts, full dimensions, later mends."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from accounts.tenancy import as_worker, connection
from insights.ingest import series_operations
from insights.ingest.queries import Receipt
from insights.ingest.replay_operations import NothingToReplay, replay_rejects
from tests import factories
from tests.bad_inputs.ways import WAYS, Answer, Doors, rejects_of, source_of, worked
from tests.ingest.deliveries import NOW, body, row

Send = Callable[..., Receipt]


@pytest.fixture(params=WAYS)
def send(request: pytest.FixtureRequest, doors: Callable[[str], Doors]) -> Send:
    """Deliver rows to a source by one of the ways in, and do the worker's task."""
    kept: dict[str, Doors] = {}

    def deliver(*rows: dict[str, object], slug: str = "edge", form: str = "csv") -> Receipt:
        at = kept.setdefault(slug, doors(slug))
        return worked(WAYS[request.param](at, slug, body(form, rows), form), now=NOW)

    return deliver


def quantities() -> dict[str, str]:
    """Every current record's quantity by row id."""
    with as_worker(), connection().cursor() as cursor:
        cursor.execute("SELECT row_id, trim_scale(quantity)::text FROM insights_usagerecord")
        return dict(cursor.fetchall())


class TestIdentity:
    def test_d11_a_line_twice_in_one_file_counts_once(self, send: Send) -> None:
        receipt = send(row(), row())

        assert (receipt.counts.new, receipt.counts.duplicate) == (1, 1)
        assert quantities() == {"r1": "5"}

    def test_d12_of_two_contents_of_one_line_in_one_file_the_first_stays(self, send: Send) -> None:
        receipt = send(row(), row(quantity="6"), row(row_id="r2"))

        assert rejects_of(receipt) == [(3, "id_conflict", "quantity")]
        assert quantities() == {"r1": "5", "r2": "5"}

    def test_d13_another_content_at_the_same_revision_is_a_conflict(self, send: Send) -> None:
        send(row())

        receipt = send(row(quantity="6"))

        assert rejects_of(receipt) == [(2, "id_conflict", "quantity")]
        assert quantities() == {"r1": "5"}

    def test_d14_an_older_revision_is_stale(self, send: Send) -> None:
        send(row(revision="3", quantity="3"))

        receipt = send(row(revision="2", quantity="2"))

        assert receipt.counts.stale == 1
        assert quantities() == {"r1": "3"}

    def test_d17_two_spellings_of_one_id_meet(self, send: Send) -> None:
        send(row(row_id="caf\u00e9"))

        receipt = send(row(row_id="cafe\u0301"))

        assert receipt.counts.duplicate == 1

    @pytest.mark.parametrize(
        "moved", [{"meter": "corrections"}, {"region": "eu"}, {"window_start": "2026-11-23T09:00:00Z"}]
    )
    def test_d20_a_line_cannot_move_at_the_same_revision(self, send: Send, moved: dict[str, object]) -> None:
        send(row())

        receipt = send(row(**moved))

        assert rejects_of(receipt) == [(2, "id_conflict", "quantity")]
        assert quantities() == {"r1": "5"}

    def test_d20_a_row_id_belongs_to_one_account(self, send: Send) -> None:
        send(row())

        assert send(row(account="brook")).counts.new == 1

    def test_e24_a_file_sent_again_is_told_to_be_the_first_one(self, send: Send) -> None:
        first = send(row(), row(row_id="r2"))

        again = send(row(), row(row_id="r2"))

        assert (again.counts.duplicate, again.counts.received) == (2, 2)
        assert again.duplicate_of == first.public_id
        assert quantities() == {"r1": "5", "r2": "5"}

    def test_e24_a_file_that_was_not_all_taken_is_read_again(self, send: Send) -> None:
        send(row(account="later"), row(row_id="r2"))
        factories.make_account("later")

        again = send(row(account="later"), row(row_id="r2"))

        assert (again.counts.new, again.counts.duplicate) == (1, 1)


class TestAccounts:
    def test_d4_d5_a_bound_source_cannot_tell_a_foreign_account_from_an_absent_one(self, send: Send) -> None:
        receipt = send(row(account="brook"), row(account="absent"), row(row_id="r2"), slug="bound")

        assert rejects_of(receipt) == [
            (2, "forbidden_account", "account"),
            (3, "forbidden_account", "account"),
        ]
        with as_worker(), connection().cursor() as cursor:
            cursor.execute(
                "SELECT code, field, message, account_id FROM insights_rejectedline ORDER BY line_no"
            )
            foreign, absent = cursor.fetchall()
            cursor.execute("SELECT count(*) FROM insights_unattributedreject")
            assert cursor.fetchone() == (0,)
        assert foreign == absent

    @pytest.mark.parametrize("form", ["csv", "ndjson", "json"])
    def test_d6_an_unknown_account_is_tried_again_once_it_exists(self, send: Send, form: str) -> None:
        first = send(row(account="later"), row(row_id="r2"), row(row_id="r3", meter="absent"), form=form)
        start = 2 if form == "csv" else 1
        assert rejects_of(first) == [
            (start, "unknown_account", "account"),
            (start + 2, "unknown_meter", "meter"),
        ]
        factories.make_account("later")
        factories.make_meter("absent", unit="B", dimensions=[])

        replayed = replay_rejects(batch_public_id=first.public_id, submitted_by_id=None)
        receipt = worked(Answer(replayed.public_id), now=NOW)

        assert (receipt.counts.received, receipt.counts.new) == (2, 2)
        assert quantities() == {"r1": "5", "r2": "5", "r3": "5"}
        with pytest.raises(NothingToReplay):
            replay_rejects(batch_public_id=first.public_id, submitted_by_id=None)

    def test_a_replay_before_the_mend_refuses_again_and_loses_nothing(self, send: Send) -> None:
        first = send(row(account="later"))

        replayed = replay_rejects(batch_public_id=first.public_id, submitted_by_id=None)
        second = worked(Answer(replayed.public_id), now=NOW)
        factories.make_account("later")
        again = replay_rejects(batch_public_id=second.public_id, submitted_by_id=None)
        third = worked(Answer(again.public_id), now=NOW)

        assert (second.counts.rejected, third.counts.new) == (1, 1)

    def test_d7_d8_closing_an_account_ends_its_windows(self, send: Send) -> None:
        receipt = send(
            row(account="closed", window_start="2026-11-09T23:00:00Z"),
            row(account="closed", window_start="2026-11-10T00:00:00Z", row_id="r2"),
        )

        assert rejects_of(receipt) == [(3, "account_closed", "window_start")]

    def test_d2_retiring_a_meter_ends_its_windows(self, send: Send) -> None:
        receipt = send(
            row(meter="retired", window_start="2026-11-09T23:00:00Z"),
            row(meter="retired", window_start="2026-11-10T00:00:00Z", row_id="r2"),
        )

        assert rejects_of(receipt) == [(3, "meter_retired", "window_start")]


class TestDimensions:
    def test_d22_a_full_dimension_takes_known_values_and_no_new_ones(
        self, send: Send, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(series_operations, "DIMENSION_VALUES_MAX", 3)
        send(*(row(row_id=f"r{number}", region=f"region {number}") for number in range(3)))

        receipt = send(row(row_id="new", region="region 3"), row(row_id="known", region="region 2"))

        assert rejects_of(receipt) == [(2, "dimension_limit", "region")]
        assert "known" in quantities()


class TestOldLines:
    def test_c17_an_old_line_is_taken_once_the_limit_is_raised(self, send: Send) -> None:
        old = row(window_start="2026-09-01T10:00:00Z")
        refused = send(old)
        assert rejects_of(refused) == [(2, "timestamp_too_old", "window_start")]
        factories.change_source(source_of(refused.source_slug), max_age_days=None)

        assert send(old).counts.new == 1

    def test_c17_a_known_line_stays_a_duplicate_however_old(self, send: Send) -> None:
        old = row(window_start="2026-10-19T12:00:00Z")
        first = send(old)
        factories.change_source(source_of(first.source_slug), max_age_days=10)

        assert send(old).counts.duplicate == 1
