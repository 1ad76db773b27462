"""The connection to the broker, and how long it waits between two tries to get it back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery.app.amqp import AMQP
from kombu import Connection

# Kombu waits longer and longer, up to half a minute, so that workers stood still for that long after Redis was back.
RETRY_SECONDS = 1.0


class SteadyConnection(Connection):
    """A connection that is tried for at even intervals, however long the broker has been away."""

    def ensure_connection(
        self, errback: Callable[..., Any] | None = None, max_retries: int | None = None, **options: Any
    ) -> Connection:
        """Connect, and try again every `RETRY_SECONDS`; see `kombu.Connection.ensure_connection`."""
        steady = {"interval_start": RETRY_SECONDS, "interval_step": 0.0, "interval_max": RETRY_SECONDS}
        return super().ensure_connection(errback, max_retries, **(options | steady))


class SteadyAMQP(AMQP):
    """What Celery takes its connections from."""

    Connection = SteadyConnection
