"""A revert and a chunk of the same source never look at each other's unfinished work."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any
from unittest.mock import patch

import pytest
from django.db import connections

from accounts.models import User
from accounts.tenancy import as_staff, as_worker, connection
from insights.feeds.revert_operations import confirm_revert
from insights.tasks import chunks, ingest_batch
from tests import factories
from tests.ingest.test_reverts import NOW, current, line, prepare, send, verify

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("portal_db")]


@pytest.fixture(params=["window", "row_id"])
def source(request: Any) -> Any:
    """One source of either key kind."""
    factories.make_meter("bytes_out")
    factories.make_account("ansel")
    return factories.make_source("edge", clock_zone="", key_kind=request.param)


@pytest.fixture
def staff(portal_db: None) -> User:
    """Who reverts."""
    return factories.make_user("staff@example.com", is_staff=True)


def test_a_line_that_comes_while_its_record_is_retracted_is_a_duplicate(source: Any, staff: User) -> None:
    lines = [line(1, 5), line(2, 6)]
    batch = send(source, *lines)
    prepare(batch, staff)
    with as_staff():
        confirm_revert(public_id=batch.public_id, actor=staff, reason="sent twice", now=NOW)
    retracted, may_commit = Event(), Event()

    def take_position(entry_id: int) -> None:
        if not retracted.is_set():
            retracted.set()
            assert may_commit.wait(20)
        real(entry_id)

    real = chunks.take_position
    with patch.object(chunks, "take_position", take_position), ThreadPoolExecutor(2) as workers:
        reverting = workers.submit(_in_thread, ingest_batch, batch.pk)
        assert retracted.wait(20)
        sending = workers.submit(_in_thread, send, source, *lines)
        wait_for_lock()
        may_commit.set()
        reverting.result(20)
        again = sending.result(20)

    assert (again.duplicate, again.new, current()) == (2, 0, [])
    verify()


def _in_thread(act: Any, *arguments: Any) -> Any:
    try:
        return act(*arguments)
    finally:
        connections.close_all()


def wait_for_lock() -> None:
    """Return when a session of this database waits for another one."""
    deadline = time.monotonic() + 20
    with as_worker(), connection().cursor() as cursor:
        while time.monotonic() < deadline:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                return
            time.sleep(0.02)
    raise AssertionError("nobody waits")
