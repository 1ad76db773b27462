"""Queue depth and lag for Prometheus; names sources and never accounts."""

from __future__ import annotations

from datetime import datetime

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import generate_latest

from accounts.tenancy import as_staff, connection
from insights.feeds.lag import Punctuality
from insights.feeds.queries import list_feeds

# What sends no more falls behind without anything being wrong.
_AT_REST = (Punctuality.OFF, Punctuality.ENDED)


def read_feed_metrics(*, now: datetime) -> bytes:
    """Return batches by state of work, the age of the oldest waiting one, and each source's lag, as exposition text."""
    registry = CollectorRegistry()
    batches = Gauge("portal_batches", "Batches on the work list", ["source", "state"], registry=registry)
    lag = Gauge(
        "portal_feed_lag_seconds", "Now less the lowest watermark of a source", ["source"], registry=registry
    )
    oldest = Gauge(
        "portal_oldest_waiting_seconds", "Age of the oldest batch nobody works on", registry=registry
    )
    with as_staff():
        for feed in list_feeds(now=now):
            for state in ("waiting", "leased", "quarantined"):
                batches.labels(feed.slug, state).set(getattr(feed, state))
            if feed.complete_to is not None and feed.punctuality not in _AT_REST:
                lag.labels(feed.slug).set((now - feed.complete_to).total_seconds())
        oldest.set(_oldest_waiting_seconds(now))
    return generate_latest(registry)


def _oldest_waiting_seconds(now: datetime) -> float:
    with connection().cursor() as cursor:
        cursor.execute("SELECT min(created_at) FROM insights_workitem WHERE state = 'waiting'")
        created_at = cursor.fetchone()[0]
    return 0 if created_at is None else max(0, (now - created_at).total_seconds())
