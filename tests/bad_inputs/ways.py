"""The three ways in, each as its sender uses it, with one kind of answer, so that the answers can be compared."""

from __future__ import annotations

import io
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from accounts.tenancy import as_worker, connection
from insights import tasks
from insights.ingest.queries import Receipt, get_receipt, list_receipt_rejects
from insights.models import Batch, Source

SEND_TO = "/api/v1/usage/batches"
MEDIA_TYPES = {"csv": "text/csv", "ndjson": "application/x-ndjson", "json": "application/json"}
USAGE_TABLES = (
    "insights_batchbytes", "insights_workitem", "insights_ledgerentry", "insights_series", "insights_usagerecord",
    "insights_usagerevision", "insights_usageidentity", "insights_usagerollup", "insights_batchpart",
    "insights_lineverdict", "insights_rejectedline", "insights_unattributedreject", "insights_watermark",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Doors:
    """What senders have: a key for the API, a browser of staff, and a directory for files."""

    key: str
    staff: Client
    directory: Path


@dataclass(frozen=True, slots=True)
class Answer:
    """A batch that was kept, or the code and status with which all of it was refused."""

    public_id: uuid.UUID | None
    code: str = ""
    status: int = 0


Way = Callable[[Doors, str, bytes, str], Answer]


def by_api(doors: Doors, slug: str, body: bytes, form: str) -> Answer:
    """POST it with the source's key."""
    response = Client(raise_request_exception=False).generic(
        "POST",
        SEND_TO,
        body,
        headers={"Authorization": f"Bearer {doors.key}"},
        CONTENT_TYPE=MEDIA_TYPES[form],
    )
    document = response.json()
    if response.status_code < 400:
        return Answer(uuid.UUID(document["id"]))
    assert response.headers["Content-Type"] == "application/problem+json"
    assert {"type", "code", "title", "detail", "status"} <= set(document)
    return Answer(None, document["code"], response.status_code)


def by_command(doors: Doors, slug: str, body: bytes, form: str) -> Answer:
    """Write it to a file and call the command; a refusal names its code and ends it with status 1."""
    path = doors.directory / f"{uuid.uuid4()}.{form}"
    path.write_bytes(body)
    with as_worker():
        newest = Batch.objects.order_by("-id").values_list("id", flat=True).first() or 0
    refusal = None
    try:
        call_command("ingest", slug, str(path), no_wait=True, stdout=io.StringIO())
    except CommandError as error:
        refusal = error
    if refusal is not None:
        found = re.search(r"part 1: ([a-z_]+): ", str(refusal))
        assert found, refusal
        return Answer(None, found[1], refusal.returncode)
    with as_worker():
        return Answer(Batch.objects.get(id__gt=newest).public_id)


def by_browser(doors: Doors, slug: str, body: bytes, form: str) -> Answer:
    """Send it with the upload form; a refusal is the page again, with the code on it."""
    file = SimpleUploadedFile(f"monday.{form}", body)
    response = doors.staff.post(
        reverse("source-upload", args=[slug]), {"token": str(uuid.uuid4()), "file": file}
    )
    if response.status_code == 302:
        return Answer(uuid.UUID(response.headers["Location"].rstrip("/").rpartition("/")[2]))
    found = re.search(r"cannot be taken: <code>([a-z_]+)</code>", response.content.decode())
    assert found, (response.status_code, response.content[-3000:])
    return Answer(None, found[1], response.status_code)


WAYS: dict[str, Way] = {"api": by_api, "command": by_command, "browser": by_browser}


def worked(answer: Answer, *, now: datetime) -> Receipt:
    """Do the worker's task for a kept batch, as if it had come at a given time, and return its receipt."""
    assert answer.public_id is not None, answer
    receipt = work_as_of(answer.public_id, now=now)
    assert receipt.state == "done", receipt.fault
    assert_lines_add_up(receipt)
    return receipt


def work_as_of(public_id: uuid.UUID, *, now: datetime) -> Receipt:
    """Do the worker's task. How old and how far ahead a line is goes by when its batch was received."""
    with as_worker():
        Batch.objects.filter(public_id=public_id).update(received_at=now)
        batch_id = Batch.objects.values_list("id", flat=True).get(public_id=public_id)
    tasks.ingest_batch(batch_id)
    receipt = get_receipt(public_id=public_id)
    assert receipt is not None
    return receipt


def assert_lines_add_up(receipt: Receipt) -> None:
    """Every received line has exactly one verdict, and every physical line is accounted for."""
    counts = receipt.counts
    verdicts = (counts.new, counts.replaced, counts.duplicate, counts.stale, counts.rejected)
    assert counts.received == sum(verdicts)
    assert receipt.lines_done == receipt.lines_total or counts.received == 0


def rejects_of(receipt: Receipt) -> list[tuple[int, str, str]]:
    """The refused lines of a batch as (line, code, field)."""
    lines = list_receipt_rejects(batch_id=receipt.batch_id, limit=10_000)
    return [(line.line_no, line.code, line.field) for line in lines]


def source_of(slug: str) -> Source:
    with as_worker():
        return Source.objects.get(slug=slug)


def rows_by_table() -> dict[str, int]:
    """How many rows each table of usage has."""
    with as_worker(), connection().cursor() as cursor:
        counts = ", ".join(f"(SELECT count(*) FROM {table})" for table in USAGE_TABLES)
        cursor.execute(f"SELECT {counts}")
        return dict(zip(USAGE_TABLES, cursor.fetchone(), strict=True))
