"""Sending to an open backfill over HTTP: held and answered with a receipt, refused once it takes nothing more."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from accounts.models import User
from insights.models import Source
from tests import factories
from tests.api.conftest import Caller, line, lines, problem_of
from tests.ingest.held import close, discard, opened, preview

pytestmark = pytest.mark.database


@pytest.fixture
def staff(cast: Any) -> User:
    """Who opens backfills."""
    who: User = cast.staff
    return who


def test_a_batch_is_held_until_the_close(source: Source, sender: Caller, staff: User) -> None:
    backfill = opened(source, staff)

    answer = sender.send(lines(line(), line(account="nobody")), Usage_Backfill=str(backfill))

    receipt = answer.json()
    assert answer.status_code == 202
    assert (receipt["state"], receipt["backfill"], receipt["finished_at"]) == ("held", str(backfill), None)
    assert receipt["counts"]["received"] == receipt["lines_done"] == 0
    preview(backfill, staff)
    assert sender.get(receipt["url"]).json() == receipt
    close(backfill, staff)
    done = sender.get(receipt["url"]).json()
    assert (done["state"], done["counts"]["new"], done["counts"]["rejected"]) == ("done", 1, 1)


def test_the_same_again_is_the_first_receipt(source: Source, sender: Caller, staff: User) -> None:
    said = {"Usage_Backfill": str(opened(source, staff)), "Idempotency_Key": "k"}

    first, again = sender.send(lines(line()), **said), sender.send(lines(line()), **said)

    assert (first.status_code, again.status_code) == (202, 202)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json() == first.json()


@pytest.mark.parametrize("end", [close, discard])
def test_an_ended_one_is_409(source: Source, sender: Caller, staff: User, end: Any) -> None:
    backfill = opened(source, staff)
    sender.send(lines(line()), Usage_Backfill=str(backfill))
    preview(backfill, staff)
    end(backfill, staff)

    problem_of(sender.send(lines(line()), Usage_Backfill=str(backfill)), status=409, code="backfill_not_open")


def test_another_sources_backfill_is_one_that_is_not_there(
    source: Source, sender: Caller, staff: User
) -> None:
    theirs = opened(factories.make_source("core"), staff)

    answers = [
        problem_of(sender.send(lines(line()), Usage_Backfill=str(name)), status=422, code="unknown_backfill")
        for name in (theirs, uuid.uuid4())
    ]

    assert answers[0]["detail"] == answers[1]["detail"]


@pytest.mark.parametrize(
    "text", ["", "7", "{}", "x" * 400, "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a\u00e9"]
)
def test_what_is_no_number_of_a_backfill_is_400(source: Source, sender: Caller, text: str) -> None:
    answer = sender.send(lines(line()), Usage_Backfill=text)

    assert problem_of(answer, status=400, code="field_format")["field"] == "Usage-Backfill"
