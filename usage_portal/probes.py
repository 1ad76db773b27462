"""What load balancers and Prometheus ask: alive, ready, figures. No answer names an account."""

from __future__ import annotations

import redis
import structlog
from django.conf import settings
from django.db import DatabaseError, connections
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe
from django_prometheus.exports import ExportToDjangoView

from accounts.access import public_page
from insights.feeds.metrics_queries import read_feed_metrics

logger = structlog.get_logger(__name__)

BROKER_TIMEOUT_SECONDS = 1.0


@public_page
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """Answer that the process serves."""
    return HttpResponse("ok\n", content_type="text/plain; charset=utf-8")


@public_page
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """Answer whether pages can be served. Without the broker uploads still are taken, so it is told, not refused."""
    database, broker = _database_answers(), _broker_answers()
    text = f"database {'ok' if database else 'unavailable'}\nbroker {'ok' if broker else 'unavailable'}\n"
    return HttpResponse(text, status=200 if database else 503, content_type="text/plain; charset=utf-8")


@public_page
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Give Prometheus the process's counters, and the work list's while the database answers."""
    response = ExportToDjangoView(request)
    try:
        response.content += read_feed_metrics(now=timezone.now())
    except DatabaseError:
        logger.warning("no figures of feeds")
    return response


def _database_answers() -> bool:
    try:
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT 1 FROM django_migrations LIMIT 1")
            return cursor.fetchone() is not None
    except DatabaseError:
        return False


def _broker_answers() -> bool:
    if not settings.REDIS_URL:
        return False
    client = redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=BROKER_TIMEOUT_SECONDS,
        socket_connect_timeout=BROKER_TIMEOUT_SECONDS,
    )
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()
