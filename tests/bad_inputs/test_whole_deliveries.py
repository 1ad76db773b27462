"""Deliveries that cannot be taken at all: the same code by every way in, and nothing stored but the refusal."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.urls import reverse

from accounts.tenancy import as_worker
from insights.models import Batch, BatchState
from tests.bad_inputs.ways import WAYS, Answer, Doors, rows_by_table, worked
from tests.bad_inputs.whole import GOOD_CSV, REFUSED, ROW_COUNT, TAKEN, Whole
from tests.ingest.deliveries import NOW

BY_WAY = [(way, case) for case in REFUSED for way in case.ways]
TAKEN_BY_WAY = [(way, case) for case in TAKEN for way in case.ways]


def named(cases: list[tuple[str, Whole]]) -> list[str]:
    return [f"{way}: {case.number}" for way, case in cases]


def assert_refused(answer: Answer, *, way: str, code: str, status: int) -> None:
    """The code is the same everywhere; a command has an exit status in place of one of HTTP."""
    assert (answer.code, answer.status) == (code, 1 if way == "command" else status)
    assert set(rows_by_table().values()) == {0}
    with as_worker():
        assert list(Batch.objects.values_list("state", "error_code")) == [(BatchState.REFUSED, code)]


@pytest.mark.parametrize(("way", "case"), BY_WAY, ids=named(BY_WAY))
def test_a_delivery_at_fault_is_refused_whole(doors: Callable[[str], Doors], way: str, case: Whole) -> None:
    answer = WAYS[way](doors("edge"), "edge", case.body, case.form)

    assert_refused(answer, way=way, code=case.code, status=case.status)


@pytest.mark.parametrize(("way", "case"), TAKEN_BY_WAY, ids=named(TAKEN_BY_WAY))
def test_an_odd_delivery_that_leaves_no_doubt_is_taken(
    doors: Callable[[str], Doors], way: str, case: Whole
) -> None:
    receipt = worked(WAYS[way](doors("edge"), "edge", case.body, case.form), now=NOW)

    assert (receipt.counts.received, receipt.counts.new) == (case.received, case.received)


class TestRows:
    @pytest.mark.parametrize("way", ["api", "browser"])
    def test_too_many_refuse_the_delivery(
        self, doors: Callable[[str], Doors], settings: Any, way: str
    ) -> None:
        settings.UPLOAD_MAX_LINES = ROW_COUNT - 1

        answer = WAYS[way](doors("edge"), "edge", GOOD_CSV.encode(), "csv")

        assert_refused(answer, way=way, code="batch_too_many_rows", status=413)

    @pytest.mark.parametrize("way", ["api", "browser"])
    def test_too_many_bytes_refuse_the_delivery(
        self, doors: Callable[[str], Doors], settings: Any, way: str
    ) -> None:
        settings.UPLOAD_MAX_SENT_BYTES = 1_000

        answer = WAYS[way](doors("edge"), "edge", GOOD_CSV.encode(), "csv")

        assert (answer.code, answer.status) == ("body_too_large", 413)
        assert set(rows_by_table().values()) == {0}

    def test_the_command_splits_what_is_too_long(
        self, doors: Callable[[str], Doors], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("insights.ingest.splitting.PART_LINES", 10)

        path = doors("edge").directory / "long.csv"
        path.write_text(GOOD_CSV)

        call_command("ingest", "edge", str(path), no_wait=True, stdout=io.StringIO())

        with as_worker():
            parts = list(Batch.objects.order_by("upload_part"))
        assert [(batch.upload_part, batch.lines_total) for batch in parts] == [(1, 11), (2, 11), (3, 11)]
        assert len({batch.upload_id for batch in parts}) == 1
        receipts = [worked(Answer(batch.public_id), now=NOW) for batch in parts]
        assert [receipt.counts.new for receipt in receipts] == [10, 10, 10]

    def test_a_file_damaged_after_its_first_part_is_refused_from_there_on(
        self, doors: Callable[[str], Doors], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("insights.ingest.splitting.PART_LINES", 10)
        path = doors("edge").directory / "damaged.csv"
        path.write_bytes(GOOD_CSV.encode() + b"x" * 3_000_000)

        with pytest.raises(CommandError, match=r"damaged\.csv, part 4: field_too_long: line 32 is above"):
            call_command("ingest", "edge", str(path), no_wait=True, stdout=io.StringIO())

        with as_worker():
            states = list(Batch.objects.order_by("upload_part").values_list("state", flat=True))
        assert states == ["received"] * 3 + ["refused"]

    def test_a_file_cut_in_a_line_is_never_accepted_short(self, doors: Callable[[str], Doors]) -> None:
        for way, send in WAYS.items():
            body = GOOD_CSV[:-35].replace(",,,r", f",,,{way}-")

            receipt = worked(send(doors("edge"), "edge", body.encode(), "csv"), now=NOW)

            assert (receipt.counts.received, receipt.counts.rejected) == (ROW_COUNT, 1), way


class TestForms:
    """What only a browser can get wrong."""

    def post(self, doors: Doors, **files: Any) -> Any:
        return doors.staff.post(
            reverse("source-upload", args=["edge"]), {"token": str(uuid.uuid4()), **files}
        )

    def test_no_file(self, doors: Callable[[str], Doors]) -> None:
        response = self.post(doors("edge"))

        assert response.status_code == 422
        assert set(rows_by_table().values()) == {0}

    @pytest.mark.parametrize("field", ["file", "other"])
    def test_two_files(self, doors: Callable[[str], Doors], field: str) -> None:
        one, two = (SimpleUploadedFile(f"{number}.csv", GOOD_CSV.encode()) for number in (1, 2))

        response = self.post(
            doors("edge"), **({"file": [one, two]} if field == "file" else {"file": one, field: two})
        )

        assert (response.status_code, b"<code>shape</code>" in response.content) == (400, True)
        assert set(rows_by_table().values()) == {0}

    @pytest.mark.parametrize(
        ("file_name", "shown"),
        [
            ("../../etc/cron.d/x", "x"),
            ("n" * 300 + ".csv", ""),
            ("a\r\nb.csv", None),
            ("\u202egpj.csv", "gpj.csv"),
        ],
    )
    def test_a_file_name_is_a_label_and_never_a_path(
        self, doors: Callable[[str], Doors], file_name: str, shown: str | None
    ) -> None:
        response = self.post(doors("edge"), file=SimpleUploadedFile(file_name, GOOD_CSV.encode()))

        assert response.status_code == 302
        with as_worker():
            name = Batch.objects.get().name
        assert name.isprintable()
        assert "/" not in name
        assert shown in (None, name)
