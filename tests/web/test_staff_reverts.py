"""Staff take a batch back on its page: counted first, told in records and never in quantities, done with a reason."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.urls import reverse

from accounts.models import AuditEntry
from accounts.tenancy import as_worker
from insights.models import Batch, BatchRevert, Source
from insights.tasks import ingest_batch
from tests import factories
from tests.factories import ingest_now

pytestmark = pytest.mark.database

HEADER = "account,meter,window_start,quantity,endpoint,revision\n"
SECRET_QUANTITY = "8317"


@pytest.fixture
def batch(cast: Any) -> Batch:
    """A batch of two lines, one of them in the place of a lower revision."""
    factories.make_meter()
    edge: Source = factories.make_source("edge", clock_zone="")
    line = "ansel,bytes_out,2026-11-03T0{}:00:00Z,{},a,{}\n"
    ingest_now(edge, HEADER + line.format(1, 5, 1))
    return ingest_now(edge, HEADER + line.format(1, SECRET_QUANTITY, 2) + line.format(2, 7, 1))


def page(browser: Any, batch: Batch) -> str:
    """The batch's page."""
    return browser.get(reverse("staff-batch", args=[batch.public_id])).content.decode()


def press(browser: Any, name: str, batch: Batch, **fields: str) -> str:
    """Send a form of the page and return the page it leads to, before any worker."""
    answer = browser.post(reverse(name, args=[batch.public_id]), fields, follow=True)
    return answer.content.decode()


def test_a_batch_is_counted_confirmed_and_reverted(cast: Any, batch: Batch, signed_in: Any) -> None:
    browser = signed_in(cast.staff)
    assert "Count what a revert would do" in page(browser, batch)

    counting = press(browser, "batch-revert-prepare", batch)
    assert "A worker is counting" in counting
    assert "data-poll" in counting
    ingest_batch(batch.pk)
    counted = page(browser, batch)
    assert "<strong>2</strong> records would leave" in counted
    assert "<strong>1</strong> earlier revision would be current again" in counted
    assert "3 Nov 2026" in counted
    assert "Take 2 records out of the books" in counted
    assert "data-poll" not in counted
    assert SECRET_QUANTITY not in counted

    running = press(browser, "batch-revert", batch, reason="sent to the wrong account")
    assert "Being reverted: 0 of 2 records" in running
    ingest_batch(batch.pk)

    done = page(browser, batch)
    assert "Taken out of the books: 2 revisions of it are retracted" in done
    assert "sent to the wrong account" in done
    assert "2 records left the books; 1 earlier revision is current again" in done
    assert "data-poll" not in done
    with as_worker():
        entry = AuditEntry.objects.get(act="batch.revert")
    assert (entry.actor_name, entry.details["records_out"]) == (cast.staff.email, 2)


def test_without_a_count_or_a_reason_nothing_is_done(cast: Any, batch: Batch, signed_in: Any) -> None:
    browser = signed_in(cast.staff)

    assert "has not been counted yet" in press(browser, "batch-revert", batch, reason="x")
    press(browser, "batch-revert-prepare", batch)
    ingest_batch(batch.pk)
    assert "A revert needs a reason" in press(browser, "batch-revert", batch, reason=" ")

    with as_worker():
        assert BatchRevert.objects.get().confirmed_at is None


@pytest.mark.parametrize("name", ["batch-revert", "batch-revert-prepare"])
def test_only_staff_and_only_known_batches(cast: Any, batch: Batch, signed_in: Any, name: str) -> None:
    for who in (cast.owner, cast.stranger):
        assert signed_in(who).post(reverse(name, args=[batch.public_id]), {"reason": "x"}).status_code == 404
    assert signed_in(cast.staff).post(reverse(name, args=[uuid.uuid4()]), {"reason": "x"}).status_code == 404
    with as_worker():
        assert not BatchRevert.objects.exists()
