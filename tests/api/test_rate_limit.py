"""The API tells every key how much of its minute is left, and refuses the one that asks too often."""

from __future__ import annotations

from typing import Any

import pytest

from tests import factories

pytestmark = pytest.mark.database


def test_a_key_that_asks_too_often_is_told_when_to_come_back(cast: Any, client: Any, settings: Any) -> None:
    settings.API_REQUESTS_PER_MINUTE = 3
    _row, plain = factories.make_api_key(cast.ours, created_by=cast.owner)
    headers = {"HTTP_AUTHORIZATION": f"Bearer {plain}"}

    answers = [client.get("/api/v1/account", **headers) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[0]["RateLimit"] == '"requests";r=2;t=0'
    assert answers[0]["RateLimit-Policy"] == '"requests";q=3;w=60'
    assert answers[3].json()["code"] == "too_many_requests"
    assert answers[3]["Retry-After"] == "20"

    _row, other = factories.make_api_key(cast.ours, created_by=cast.owner)
    assert client.get("/api/v1/account", HTTP_AUTHORIZATION=f"Bearer {other}").status_code == 200
