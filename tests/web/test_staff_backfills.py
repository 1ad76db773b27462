"""Staff fill a backfill on its page, read in numbers what closing will do, and close or discard it with a reason."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from accounts.tenancy import as_worker
from insights.models import Backfill, Batch, Source
from insights.tasks import ingest_batch
from tests import factories
from tests.factories import ingest_now

pytestmark = pytest.mark.database

HEADER = "account,meter,window_start,quantity,endpoint,revision\n"
SECRET_QUANTITY = "8317"
LINE = "{},bytes_out,2026-11-03T0{}:00:00Z,{},a,{}\n"
FILE = HEADER + LINE.format("ansel", 1, SECRET_QUANTITY, 2) + LINE.format("ansel", 2, 7, 1)
ACTS = ["backfill-upload", "backfill-preview", "backfill-close", "backfill-discard"]


@pytest.fixture
def source(cast: Any) -> Source:
    """A source that has sent one line."""
    factories.make_meter()
    edge: Source = factories.make_source("edge", clock_zone="")
    ingest_now(edge, HEADER + LINE.format("ansel", 1, 5, 1))
    return edge


@pytest.fixture
def browser(cast: Any, source: Source, signed_in: Any) -> Any:
    """Staff, signed in."""
    return signed_in(cast.staff)


def only() -> Backfill:
    """The one backfill there is."""
    with as_worker():
        return Backfill.objects.get()


def work() -> None:
    """Do what the work list has for the backfill's first batch."""
    with as_worker():
        batch_id = Batch.objects.filter(backfill__isnull=False).order_by("id").values_list("pk", flat=True)[0]
    ingest_batch(batch_id)


def page(browser: Any) -> str:
    return browser.get(reverse("staff-backfill", args=[only().public_id])).content.decode()


def press(browser: Any, act: str, **fields: Any) -> str:
    """Send a form of the page and return the page it leads to, before any worker."""
    answer = browser.post(reverse(act, args=[only().public_id]), fields, follow=True)
    return answer.content.decode()


def open_one(browser: Any, **fields: Any) -> Any:
    said = {"reason": "October was never sent", "takes_any_age": "on", **fields}
    return browser.post(reverse("source-backfill-open", args=["edge"]), said, follow=True)


def upload(browser: Any, body: str = FILE, **fields: Any) -> str:
    file = SimpleUploadedFile("october.csv", body.encode())
    return press(browser, "backfill-upload", file=file, token=uuid.uuid4(), **fields)


def test_a_backfill_is_opened_filled_previewed_and_closed(cast: Any, browser: Any, signed_in: Any) -> None:
    assert "Nothing is held yet" in open_one(browser).content.decode()
    held = upload(browser)
    assert "The file is held" in held
    assert "october.csv" in held
    assert "1 batch with 3 lines are held" in held

    counting = press(browser, "backfill-preview")
    assert "A worker is counting" in counting
    assert "data-poll" in counting
    work()
    counted = page(browser)
    assert "data-poll" not in counted
    assert "1 new line comes into the books and 1 line replaces lower revisions, for 1 account" in counted
    assert "Write 3 lines of 1 batch into the books" in counted
    assert "3 Nov 2026" in counted
    assert SECRET_QUANTITY not in counted

    usage = reverse("batch-list", args=[cast.ours.public_id])
    assert "october.csv" not in signed_in(cast.owner).get(usage).content.decode()
    assert "is writing" in press(browser, "backfill-close", reason="checked with the sender")
    work()

    done = page(browser)
    assert "Closed: everything came into the books at once, at position 2" in done
    assert "checked with the sender" in done
    assert "data-poll" not in done
    assert "Send a file to it" not in done
    assert "october.csv" in signed_in(cast.owner).get(usage).content.decode()


def test_it_is_discarded_with_a_reason(browser: Any) -> None:
    open_one(browser)
    upload(browser)

    assert "Please mend this first" in press(browser, "backfill-discard", reason=" ")
    ending = press(browser, "backfill-discard", reason="the wrong month")
    assert "data-poll" in ending
    work()

    done = page(browser)
    assert "Discarded; nothing of it was counted" in done
    assert "the wrong month" in done
    assert "data-poll" not in done


def test_an_empty_one_is_discarded_at_once(browser: Any) -> None:
    open_one(browser)

    assert "Discarded; nothing of it was counted" in press(browser, "backfill-discard", reason="a mistake")


def test_without_a_preview_of_these_batches_or_a_reason_nothing_is_closed(browser: Any) -> None:
    open_one(browser)
    assert "It holds no batch yet" in press(browser, "backfill-preview")
    upload(browser)
    assert "has not been counted yet" in press(browser, "backfill-close", reason="x")
    press(browser, "backfill-preview")
    work()
    assert "Please mend this first" in press(browser, "backfill-close", reason="")
    assert "Please mend this first" in press(browser, "backfill-close", reason="x" * 201)
    assert "Batches came in after this preview" in upload(browser, FILE + LINE.format("ansel", 3, 1, 1))
    assert "came in after the preview" in press(browser, "backfill-close", reason="x")

    assert only().state == "ready"


@pytest.mark.parametrize("reason", ["", " \t", "x" * 201, "two\x00parts", "two\u200bparts"])
def test_opening_needs_a_reason_and_keeps_what_was_typed(browser: Any, reason: str) -> None:
    answer = open_one(browser, reason=reason)

    assert answer.status_code == 422
    assert b"Please mend this first" in answer.content
    with as_worker():
        assert not Backfill.objects.exists()


def test_a_second_one_is_refused_while_one_is_open(browser: Any) -> None:
    open_one(browser)

    answer = open_one(browser, reason="and November")

    assert "The source has an open backfill already" in answer.content.decode()
    assert only().reason == "October was never sent"


def test_a_file_that_cannot_be_read_is_refused_on_the_page_and_listed(browser: Any) -> None:
    open_one(browser)

    shown = upload(browser, "no,such,columns\n1,2,3\n")

    assert "The file cannot be taken" in shown
    assert "<code>header</code>" in shown
    assert "are held" not in shown


def test_what_would_be_rejected_is_told_by_line_and_code(browser: Any) -> None:
    open_one(browser)
    upload(browser, FILE + LINE.format("nobody", 3, "1", 1) + LINE.format("ansel", 4, "1_000", 1))
    press(browser, "backfill-preview")
    work()

    shown = page(browser)

    assert "unknown_account" in shown
    assert "number_format" in shown
    assert "1_000" not in shown


def test_each_table_of_the_preview_is_a_file(browser: Any) -> None:
    open_one(browser)
    upload(browser, FILE + LINE.format("=nobody", 3, "1", 1), name="=1+1")
    press(browser, "backfill-preview")
    work()

    def rows(table: str) -> list[str]:
        answer = browser.get(reverse("backfill-csv", args=[only().public_id, table]))
        assert answer.headers["Content-Type"].startswith("text/csv")
        return answer.content.decode().splitlines()

    assert rows("days") == [
        "account,name,meter,day,records_before,records_new,records_replaced,records_leaves,records_after",
        "ansel,Ansel Ltd,Bytes out,2026-11-03,1,1,1,0,2",
    ]
    assert rows("meters")[1] == "Bytes out,1,1,1,1,0,2"
    assert rows("accounts")[1] == "ansel,Ansel Ltd,2,1,1,0,0,0"
    assert rows("batches")[1].endswith(",'=1+1,3,1,1,0,0,1")
    assert rows("rejected-lines")[1].endswith(",'=1+1,4,unknown_account,account,")
    assert browser.get(reverse("backfill-csv", args=[only().public_id, "nothing"])).status_code == 404


@pytest.mark.parametrize("name", [*ACTS, "staff-backfill"])
def test_only_staff_and_only_known_backfills(cast: Any, browser: Any, signed_in: Any, name: str) -> None:
    open_one(browser)
    method = "get" if name == "staff-backfill" else "post"
    path = reverse(name, args=[only().public_id])

    for who in (cast.owner, cast.stranger):
        assert getattr(signed_in(who), method)(path, {"reason": "x"}).status_code == 404
    unknown = reverse(name, args=[uuid.uuid4()])
    assert getattr(signed_in(cast.staff), method)(unknown, {"reason": "x"}).status_code == 404
    assert only().state == "open"


def test_a_held_batch_says_so_on_its_own_page(browser: Any) -> None:
    open_one(browser)
    upload(browser)
    with as_worker():
        batch = Batch.objects.get(backfill__isnull=False)

    shown = browser.get(reverse("staff-batch", args=[batch.public_id])).content.decode()

    assert "Held for a backfill" in shown
    assert reverse("staff-backfill", args=[only().public_id]) in shown
    assert "Count what a revert would do" not in shown
