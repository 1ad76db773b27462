"""Sources as staff make and change them: by form, as TOML, with a preview, keys and uploads."""

from __future__ import annotations

import gzip
import re
import uuid
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from accounts.models import AuditEntry
from accounts.tenancy import as_staff, as_worker
from insights import tasks
from insights.models import Batch, Source, SourceKey, UsageRecord
from tests import factories

pytestmark = pytest.mark.database

HEADER = "account,meter,window_start,quantity\n"
GOOD = HEADER + "ansel,bytes_out,2026-11-03T01:00:00Z,1500\n"
FORM = {
    "slug": "meters",
    "name": "Meters",
    "enabled": "on",
    "billable": "on",
    "format": "csv",
    "key_kind": "window",
    "window": "hour",
    "columns": "account = who\nmeter = what\nwindow_start = at\nquantity = much",
    "ignored": "note",
    "constants": "",
    "conversions": "bytes_out = kB 1000",
    "default_revision": "1",
    "max_age_days": "",
    "max_ahead_seconds": "300",
    "lateness_seconds": "0",
    "cadence_seconds": "3600",
    "ended_at": "2026-08-21T00:00:00Z",
}


@pytest.fixture
def edge(cast: Any) -> Source:
    """An hourly source whose lines carry their offsets."""
    factories.make_meter()
    return factories.make_source("edge", clock_zone="")


@pytest.fixture
def staff(cast: Any, signed_in: Any) -> Any:
    """A browser of support staff."""
    return signed_in(cast.staff)


@pytest.fixture(autouse=True)
def _work_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "ring", tasks.ingest_batch)


def upload(staff: Any, body: bytes, *, name: str = "monday.csv", **fields: Any) -> Any:
    """Send a file through the upload form."""
    file = SimpleUploadedFile(name, body)
    return staff.post(
        reverse("source-upload", args=["edge"]), {"token": str(uuid.uuid4()), "file": file, **fields}
    )


def stored(slug: str) -> Source:
    with as_staff():
        return Source.objects.get(slug=slug)


def audited() -> list[tuple[str, str]]:
    with as_staff():
        return list(AuditEntry.objects.order_by("id").values_list("act", "actor_name"))


def test_a_source_is_made_by_form(edge: Source, staff: Any) -> None:
    answer = staff.post(reverse("staff-source-new"), FORM)

    assert answer["Location"] == reverse("staff-source", args=["meters"])
    made = stored("meters")
    assert made.columns == {"account": "who", "meter": "what", "window_start": "at", "quantity": "much"}
    assert made.conversions == {"bytes_out": {"unit": "kB", "factor": "1000"}}
    assert (made.ignored, made.max_age_days, made.clock_zone) == (["note"], None, "")
    assert audited() == [("source.create", "staff@example.com")]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("slug", "edge", "is taken by another source"),
        ("clock_zone", "Mars/Base", "is not a known time zone"),
        ("columns", "account", "Line 1 must be written as name = value."),
        ("columns", "account = who\naccount = whom", "Line 2 names account a second time."),
        ("columns", "colour = c", "columns.colour is not a field of usage data"),
        ("conversions", "bytes_out = kB many", "must be a plain decimal number"),
        ("conversions", "nothing = kB 1", "is not in the catalogue"),
        ("account_reference", "nobody", "No account has this reference."),
        ("cadence_seconds", "0", "greater than or equal to 1"),
        ("window", "week", "Select a valid choice"),
    ],
)
def test_a_fault_stands_at_its_field_and_nothing_is_stored(
    edge: Source, staff: Any, field: str, value: str, words: str
) -> None:
    answer = staff.post(reverse("staff-source-new"), {**FORM, field: value})

    assert answer.status_code == 422
    form = answer.context["form"]
    assert any(words in error for error in form.errors[field])
    assert 'aria-invalid="true"' in answer.content.decode()
    with as_staff():
        assert Source.objects.count() == 1


def test_the_edit_form_gives_back_what_is_stored(edge: Source, staff: Any) -> None:
    staff.post(reverse("staff-source-new"), FORM)
    address = reverse("source-edit", args=["meters"])
    initial = staff.get(address).context["form"].initial
    posted = {name: value for name, value in initial.items() if value is not None and value is not False}

    answer = staff.post(address, {**posted, "max_age_days": ""}, follow=True)

    assert "Nothing was different" in answer.content.decode()
    assert audited() == [("source.create", "staff@example.com")]


def test_an_edit_is_audited(edge: Source, staff: Any) -> None:
    staff.post(reverse("staff-source-new"), FORM)

    staff.post(reverse("source-edit", args=["meters"]), {**FORM, "name": "Meters of Ansel"})

    assert stored("meters").name == "Meters of Ansel"
    assert audited()[-1] == ("source.change", "staff@example.com")


def test_toml_goes_out_and_comes_back(edge: Source, staff: Any) -> None:
    staff.post(reverse("staff-source-new"), FORM)
    before = stored("meters")

    download = staff.get(reverse("source-toml", args=["meters"]))
    file = SimpleUploadedFile("meters.toml", download.content)
    answer = staff.post(reverse("source-import", args=["meters"]), {"file": file}, follow=True)

    assert download["Content-Disposition"] == 'attachment; filename="meters.toml"'
    assert "Nothing was different" in answer.content.decode()
    assert stored("meters") == before


def test_toml_makes_a_source(edge: Source, staff: Any) -> None:
    text = 'slug = "toml"\nname = "Toml"\nkey_kind = "row_id"\nwindow = "30min"\n'

    answer = staff.post(reverse("source-new-toml"), {"text": text})

    assert answer["Location"] == reverse("staff-source", args=["toml"])
    assert stored("toml").key_kind == "row_id"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Paste the TOML or choose a file."),
        ("slug =", "is not TOML"),
        ('slug = "x"\ncolour = 1\n', "colour is not a setting of a source"),
        ('slug = "other"\nname = "x"\nkey_kind = "window"\nwindow = "hour"\n', "the source of this page"),
    ],
)
def test_wrong_toml_is_refused_with_every_fault(edge: Source, staff: Any, text: str, words: str) -> None:
    answer = staff.post(reverse("source-import", args=["edge"]), {"text": text})

    assert answer.status_code == 422
    assert any(words in error for error in answer.context["toml_form"].errors["text"])


def test_toml_that_is_not_utf8_is_refused(edge: Source, staff: Any) -> None:
    file = SimpleUploadedFile("x.toml", b'name = "\xe9"')

    answer = staff.post(reverse("source-import", args=["edge"]), {"file": file})

    assert answer.context["toml_form"].errors["file"] == ["The file is not UTF-8."]


def test_a_preview_shows_codes_and_records_and_stores_nothing(edge: Source, staff: Any) -> None:
    lines = GOOD + "nobody,bytes_out,2026-11-03T01:00:00Z,1\nansel,bytes_out,2026-11-03T01:07:00Z,1\n"

    page = staff.post(reverse("source-preview", args=["edge"]), {"lines": lines}).content.decode()

    assert "1 would be counted, 2 rejected" in page
    assert "1,500\u202fbyte" in page
    assert "unknown_account" in page
    assert "window_misaligned" in page
    with as_worker():
        assert not Batch.objects.exists()
        assert not UsageRecord.objects.exists()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "header"),
        (b"account;meter;window_start;quantity\n", "header"),
        (GOOD.encode("utf-16"), "encoding"),
        (b"PK\x03\x04....", "unsupported_media_type"),
        (gzip.compress(GOOD.encode(), mtime=0)[:-9], "truncated_body"),
        (GOOD.encode() + b"\xff", "encoding"),
    ],
)
def test_preview_and_upload_refuse_alike(edge: Source, staff: Any, body: bytes, code: str) -> None:
    previewed = staff.post(
        reverse("source-preview", args=["edge"]), {"file": SimpleUploadedFile("a.csv", body)}
    )
    uploaded = upload(staff, body)

    for answer in (previewed, uploaded):
        assert 400 <= answer.status_code < 500
        assert f"<code>{code}</code>" in answer.content.decode()
    with as_worker():
        assert list(Batch.objects.values_list("state", "error_code")) == [("refused", code)]


@pytest.mark.parametrize("text", ["\ud800", "\x00", "a\u202eb", "<script>alert(1)</script>"])
def test_hostile_text_is_answered_and_never_run(edge: Source, staff: Any, text: str) -> None:
    lines = HEADER + f"{text},bytes_out,2026-11-03T01:00:00Z,1\n"
    file = SimpleUploadedFile("a.csv", lines.encode("utf-8", "surrogatepass"))

    answer = staff.post(reverse("source-preview", args=["edge"]), {"file": file})

    assert answer.status_code < 500
    assert "<script>alert" not in answer.content.decode()


def test_htmx_gets_the_preview_alone(edge: Source, staff: Any) -> None:
    answer = staff.post(
        reverse("source-preview", args=["edge"]), {"lines": GOOD}, headers={"HX-Request": "true"}
    )

    assert answer.content.decode().lstrip().startswith('<div id="source-preview"')


def test_an_upload_is_counted_and_its_page_says_so(edge: Source, staff: Any) -> None:
    answer = upload(staff, GOOD.encode())

    with as_worker():
        batch = Batch.objects.get()
    assert answer["Location"] == reverse("staff-batch", args=[batch.public_id])
    assert (batch.via, batch.name, batch.state, batch.new) == ("browser", "monday.csv", "done", 1)
    page = staff.get(answer["Location"]).content.decode()
    assert "1 line received, all accounted for, none rejected." in page


def test_an_upload_takes_gzip_revision_and_new_accounts(edge: Source, staff: Any) -> None:
    body = gzip.compress(GOOD.replace("ansel", "newcomer").encode())

    upload(
        staff, body, name="a.csv.gz", revision="7", complete_to="2026-11-03T02:00:00Z", create_accounts="on"
    )

    with as_worker():
        batch = Batch.objects.get()
        assert (batch.new, batch.revision, batch.rejected) == (1, 7, 0)
        assert batch.complete_to is not None
        assert batch.complete_to.isoformat() == "2026-11-03T02:00:00+00:00"


def test_a_second_press_of_upload_is_the_same_batch(edge: Source, staff: Any) -> None:
    token = str(uuid.uuid4())

    places = [upload(staff, GOOD.encode(), token=token)["Location"] for _ in range(2)]

    assert places[0] == places[1]
    with as_worker():
        assert Batch.objects.count() == 1


def test_a_second_press_before_the_worker_is_done_is_the_same_batch(
    edge: Source, staff: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "ring", lambda batch_id: None)
    token = str(uuid.uuid4())

    places = [upload(staff, GOOD.encode(), token=token)["Location"] for _ in range(2)]

    assert places[0] == places[1]


def test_another_file_under_the_same_form_is_refused_and_gets_a_new_token(edge: Source, staff: Any) -> None:
    token = str(uuid.uuid4())
    upload(staff, GOOD.encode(), token=token)

    answer = upload(staff, HEADER.encode(), token=token)

    page = answer.content.decode()
    assert answer.status_code == 422
    assert "idempotency_mismatch" in page
    assert token not in page


@pytest.mark.parametrize("name", ["../../etc/cron.d/x", "a\r\nb.csv", "x" * 300 + ".csv", "\u202e.csv"])
def test_a_file_name_is_never_more_than_a_label(edge: Source, staff: Any, name: str) -> None:
    answer = upload(staff, GOOD.encode(), name=name)

    assert answer.status_code < 500
    with as_worker():
        assert "/" not in Batch.objects.get().name


def test_a_file_above_the_limit_is_refused_before_it_is_read(edge: Source, staff: Any) -> None:
    answer = staff.generic(
        "POST",
        reverse("source-upload", args=["edge"]),
        b"x",
        content_type="multipart/form-data; boundary=x",
        CONTENT_LENGTH=str(66 * 1024 * 1024 + 1),
    )

    assert answer.status_code == 413
    assert "body_too_large" in answer.content.decode()


@pytest.mark.parametrize("name", ["source-upload", "source-preview"])
def test_forms_that_carry_files_need_the_forgery_token(
    cast: Any, edge: Source, signed_in: Any, name: str
) -> None:
    strict = signed_in(cast.staff, enforce_csrf_checks=True)

    answer = strict.post(
        reverse(name, args=["edge"]),
        {"token": str(uuid.uuid4()), "lines": GOOD, "file": SimpleUploadedFile("a.csv", GOOD.encode())},
    )

    assert answer.status_code == 403
    with as_worker():
        assert not Batch.objects.exists()


def test_a_wrong_instant_in_the_upload_form_is_named(edge: Source, staff: Any) -> None:
    answer = upload(staff, GOOD.encode(), complete_to="tomorrow", revision="0")

    assert answer.status_code == 422
    assert set(answer.context["upload_form"].errors) == {"complete_to", "revision"}


def test_a_source_that_is_switched_off_takes_nothing(edge: Source, staff: Any) -> None:
    staff.post(reverse("source-state", args=["edge"]), {"enabled": "0"})

    answer = upload(staff, GOOD.encode())

    assert answer.status_code == 403
    assert "source_disabled" in answer.content.decode()
    assert audited() == [("source.disable", "staff@example.com")]


def test_a_key_is_shown_once(edge: Source, staff: Any) -> None:
    answer = staff.post(reverse("source-key-issue", args=["edge"]), {"name": "nightly export"})

    page = answer.content.decode()
    (plain,) = re.findall(r"up_live_[0-9A-Z]+_[0-9A-Z]+", page)
    again = staff.get(reverse("staff-source", args=["edge"])).content.decode()
    assert plain not in again
    assert "nightly export" in again
    assert answer["Cache-Control"] == "no-store"
    assert audited() == [("source_key.issue", "staff@example.com")]


def test_a_revoked_key_stays_revoked(edge: Source, staff: Any) -> None:
    staff.post(reverse("source-key-issue", args=["edge"]), {"name": "nightly"})
    with as_staff():
        key = SourceKey.objects.get()
    address = reverse("source-key-revoke", args=["edge", key.public_id])

    for _ in range(2):
        assert staff.post(address)["Location"] == reverse("staff-source", args=["edge"])

    with as_staff():
        assert SourceKey.objects.get().revoked_at is not None
    assert [act for act, _ in audited()].count("source_key.revoke") == 1


def test_a_key_is_revoked_only_under_its_own_source(edge: Source, staff: Any) -> None:
    factories.make_source("other")
    staff.post(reverse("source-key-issue", args=["edge"]), {"name": "nightly"})
    with as_staff():
        key = SourceKey.objects.get()

    answer = staff.post(reverse("source-key-revoke", args=["other", key.public_id]))

    assert answer.status_code == 404


def test_the_lists_show_every_source(edge: Source, staff: Any) -> None:
    factories.make_source("other", enabled=False)

    page = staff.get(reverse("staff-sources")).content.decode()

    assert "1 source may send, 1 is switched off." in page
    assert page.count("mono") >= 2


def test_an_unknown_source_is_not_there(edge: Source, staff: Any) -> None:
    assert staff.get(reverse("staff-source", args=["nothing"])).status_code == 404
