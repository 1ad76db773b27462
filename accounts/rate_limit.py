"""How many requests a key may make: a token bucket per key, kept in Redis so that all web processes share it.

One script decides and counts in one step; two steps would let a burst of concurrent requests through. Without Redis
each process limits by itself for a while: a limiter that is away must not be no limiter.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from functools import cache
from typing import Any

import redis
import structlog
from django.conf import settings

logger = structlog.get_logger(__name__)

REDIS_SECONDS_MAX = 0.2
# After Redis failed it is left alone for this long, so that not every request waits for it.
REDIS_PAUSE_SECONDS = 5.0
BUCKETS_MAX = 10_000

_TAKE = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local size, rate = tonumber(ARGV[1]), tonumber(ARGV[2])
local kept = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = tonumber(kept[1] or size)
tokens = math.min(size, tokens + math.max(0, now - tonumber(kept[2] or now)) * rate)
local allowed = 0
if tokens >= 1 then
    tokens, allowed = tokens - 1, 1
end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', tostring(now))
redis.call('PEXPIRE', KEYS[1], math.ceil(size / rate * 1000) + 1000)
return {allowed, tostring(tokens)}
"""


@dataclass(frozen=True, slots=True)
class Allowance:
    """Whether a request may pass, out of `size` that are refilled over a minute, and when the next one may."""

    is_allowed: bool
    size: int
    remaining: int
    retry_after_seconds: int


def take(name: str, *, size: int) -> Allowance:
    """Take one request out of the bucket `name`, which holds `size` and is refilled evenly over a minute."""
    rate = size / 60
    tokens = _take_shared(name, size, rate)
    if tokens is None:
        tokens = _local.take(name, size, rate)
    is_allowed = tokens >= 0
    missing = 1 - (tokens if is_allowed else tokens + 1)
    return Allowance(
        is_allowed=is_allowed,
        size=size,
        remaining=max(0, math.floor(tokens)),
        retry_after_seconds=0 if is_allowed else max(1, math.ceil(missing / rate)),
    )


def _take_shared(name: str, size: int, rate: float) -> float | None:
    """Return the tokens left, one less than nothing when refused, or None without Redis."""
    if not settings.REDIS_URL or time.monotonic() < _local.redis_rests_until:
        return None
    try:
        allowed, tokens = _script()(keys=[f"rate:{name}"], args=[size, rate])
    except redis.RedisError as error:
        logger.warning("rate limits are kept by process", error=type(error).__name__)
        _local.redis_rests_until = time.monotonic() + REDIS_PAUSE_SECONDS
        return None
    return float(tokens) if allowed else float(tokens) - 1


@cache
def _script() -> Any:
    client = redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=REDIS_SECONDS_MAX, socket_connect_timeout=REDIS_SECONDS_MAX
    )
    return client.register_script(_TAKE)


class _LocalBuckets:
    """The same buckets in this process alone."""

    def __init__(self) -> None:
        self.redis_rests_until = 0.0
        self._lock = threading.Lock()
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, name: str, size: int, rate: float) -> float:
        """Return the tokens left, one less than nothing when refused."""
        now = time.monotonic()
        with self._lock:
            if name not in self._buckets and len(self._buckets) >= BUCKETS_MAX:
                self._buckets.clear()
            tokens, at = self._buckets.get(name, (float(size), now))
            tokens = min(size, tokens + (now - at) * rate)
            left = tokens - 1
            self._buckets[name] = (left if left >= 0 else tokens, now)
        return left if left >= 0 else tokens - 1


_local = _LocalBuckets()
