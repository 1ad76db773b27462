"""A disk without room is told as a failure of the database, to senders and to the worker, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import DataError
from django.test import Client

from accounts.tenancy import as_owner, as_worker, connection
from insights.ingest import stage_operations
from insights.models import Batch
from tests import factories
from tests.api.conftest import HEADER, SEND_TO, line, make_source_key, problem_of
from tests.conftest import Cast

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("portal_db")]


NO_ROOM = """
    CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'; END $$;
    CREATE TRIGGER no_room BEFORE INSERT ON insights_batchbytes FOR EACH ROW EXECUTE FUNCTION no_room()
"""


@contextmanager
def full_disk() -> Iterator[None]:
    """Let the server say of each piece of an upload that there is no room for it."""
    with as_owner(), connection().cursor() as cursor:
        cursor.execute(NO_ROOM)
    try:
        yield
    finally:
        with as_owner(), connection().cursor() as cursor:
            cursor.execute("DROP TRIGGER no_room ON insights_batchbytes")
            cursor.execute("DROP FUNCTION no_room()")


def test_an_upload_without_room_is_asked_to_come_again(cast: Cast, settings: Any) -> None:
    settings.UPLOAD_WAIT_SECONDS = 0
    factories.make_meter("bytes_out")
    key = make_source_key(factories.make_source("edge"))

    def send() -> Any:
        return Client(raise_request_exception=False).post(
            SEND_TO, HEADER + line(), content_type="text/csv", headers={"Authorization": f"Bearer {key}"}
        )

    with full_disk():
        response = send()

    problem_of(response, status=503, code="unavailable")
    assert response.headers["Retry-After"]
    with as_worker():
        assert Batch.objects.count() == 0
    assert send().status_code == 202


def test_what_fails_in_a_copy_is_known_to_whoever_decides_about_trying_again() -> None:
    with as_worker(), connection().cursor() as cursor:
        stage_operations.open_stage()
        with pytest.raises(DataError):
            stage_operations._copy("ingest_taken", ["no number\n"])
        cursor.execute("SELECT 1")
