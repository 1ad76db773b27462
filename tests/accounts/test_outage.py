"""What a page answers while the database is away."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.db import OperationalError

from tests.conftest import Cast

pytestmark = pytest.mark.database


@pytest.fixture
def lost_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lose the database where middleware reads the session, before any view is reached."""

    def fails(*_: Any) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(SessionStore, "load", fails)


def test_a_signed_in_page_answers_that_the_service_is_away(
    cast: Cast, signed_in: Any, lost_session: None
) -> None:
    browser = signed_in(None, raise_request_exception=False)
    browser.cookies["sessionid"] = "some-session-key"

    answer = browser.get(f"/a/{cast.ours.public_id}/")

    assert answer.status_code == 503
    assert answer["Retry-After"] == "5"
    assert answer["Cache-Control"] == "no-store"
    assert b"Traceback" not in answer.content


def test_another_fault_stays_a_fault_of_ours(
    cast: Cast, signed_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise ValueError("a mistake")

    monkeypatch.setattr(SessionStore, "load", fails)
    browser = signed_in(None, raise_request_exception=False)
    browser.cookies["sessionid"] = "some-session-key"

    assert browser.get(f"/a/{cast.ours.public_id}/").status_code == 500
