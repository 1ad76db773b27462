"""A key's requests are counted in one place for all processes, and by process when that place is away."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import pytest

from accounts import rate_limit
from accounts.rate_limit import take


def bucket() -> str:
    """A name no other test has used."""
    return f"test:{uuid.uuid4()}"


@pytest.fixture(params=["shared", "by process"])
def _place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """Both places give the same answers."""
    monkeypatch.setattr(rate_limit._local, "redis_rests_until", 0.0)
    if request.param == "by process":
        settings.REDIS_URL = ""


@pytest.mark.usefixtures("_place")
class TestTake:
    def test_a_bucket_gives_what_it_holds_and_then_says_when_to_come_back(self) -> None:
        name = bucket()

        answers = [take(name, size=5) for _ in range(7)]

        assert [answer.is_allowed for answer in answers] == [True] * 5 + [False] * 2
        assert [answer.remaining for answer in answers[:5]] == [4, 3, 2, 1, 0]
        assert answers[-1].retry_after_seconds == 12

    def test_buckets_are_apart(self) -> None:
        first, second = bucket(), bucket()
        while take(first, size=3).is_allowed:
            pass

        assert take(second, size=3).is_allowed

    def test_concurrent_requests_get_no_more_than_there_is(self) -> None:
        name, allowed = bucket(), []

        def ask() -> None:
            allowed.extend(take(name, size=10).is_allowed for _ in range(20))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sum(allowed) == 10


def test_without_redis_the_limit_stays_and_redis_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Any
) -> None:
    settings.REDIS_URL = f"unix://{tmp_path}/nothing.sock"
    rate_limit._script.cache_clear()
    monkeypatch.setattr(rate_limit._local, "redis_rests_until", 0.0)
    name = bucket()
    try:
        answers = [take(name, size=4).is_allowed for _ in range(6)]
    finally:
        rate_limit._script.cache_clear()

    assert answers == [True] * 4 + [False] * 2
    assert rate_limit._local.redis_rests_until > 0
