"""The Celery app and the beat timetable.

The broker is a doorbell: the work list is a PostgreSQL table. So publishing fails fast when Redis is away,
and what is lost there is rung again by `ring_waiting_work`.
"""

import gc
import os
from datetime import timedelta
from importlib import import_module
from typing import Any

from celery import Celery
from celery.schedules import crontab
from celery.signals import setup_logging, worker_process_init
from django_structlog.celery.steps import DjangoStructLogInitStep

from usage_portal.broker import SteadyAMQP
from usage_portal.environment import env_count

TASK_SECONDS_MAX = 600
# Longer than the longest task, or a second worker would start what the first still does.
VISIBILITY_SECONDS = TASK_SECONDS_MAX + 300
BROKER_SECONDS_MAX = 1.0
BILLING_PARTS_MAX = 64
# A pass is bound by one processor; two keep to the bounds of speed, and leave the third process of a worker to usage.
BILLING_PARTS = 2

# A chunk is some hundred thousand tuples without a cycle among them.
OBJECTS_BETWEEN_COLLECTIONS = 200_000

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "usage_portal.settings")


def configuration() -> dict[str, Any]:
    """Read when first needed, since the launcher sets the environment after this module is imported."""
    return {
        "broker_url": os.environ.get("CELERY_BROKER_URL") or os.environ.get("REDIS_URL"),
        "broker_connection_timeout": BROKER_SECONDS_MAX,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": {
            "visibility_timeout": VISIBILITY_SECONDS,
            # kombu looks for unacknowledged messages at every interval times throttle: here every 10 s.
            "unacked_restore_interval": 10,
            "unacked_restore_throttle": 1,
            "socket_timeout": BROKER_SECONDS_MAX,
            "socket_connect_timeout": BROKER_SECONDS_MAX,
            "health_check_interval": 10,
            "max_retries": 0,
        },
        "task_publish_retry": False,
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_ignore_result": True,
        "task_time_limit": TASK_SECONDS_MAX,
        "task_serializer": "json",
        "accept_content": ["json"],
        "worker_prefetch_multiplier": 1,
        # What runs may finish without a broker: it commits under its lease in PostgreSQL.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "timezone": "UTC",
        "enable_utc": True,
        "beat_schedule": timetable(),
    }


def timetable() -> dict[str, dict[str, Any]]:
    return {
        "ring_waiting_work": {
            "task": "insights.tasks.ring_waiting_work",
            "schedule": timedelta(seconds=10),
            # A ring that nobody answered within the next one is worth nothing any more.
            "options": {"expires": 10},
        },
        "sum_named_days": {
            "task": "insights.upkeep.sum_named_days",
            "schedule": timedelta(seconds=30),
            "options": {"expires": 30},
        },
        **_passes("draft_invoices", every=timedelta(seconds=60)),
        **_passes("issue_invoices", every=timedelta(minutes=5)),
        "find_uncovered_usage": {
            "task": "insights.invoicing.find_uncovered_usage",
            "schedule": timedelta(minutes=30),
            "options": {"expires": 1_800},
        },
        "send_invoices": {
            "task": "insights.invoicing.send_invoices",
            "schedule": timedelta(seconds=60),
            "options": {"expires": 60},
        },
        "make_months_ahead": {
            "task": "insights.upkeep.make_months_ahead",
            "schedule": crontab(hour="2", minute="50"),
        },
        "drop_detached_months": {
            "task": "insights.upkeep.drop_detached_months",
            "schedule": crontab(hour="3", minute="0"),
        },
        "verify_books": {
            "task": "insights.upkeep.verify_books",
            "schedule": crontab(hour="3", minute="40"),
        },
        "expire_kept_bytes": {
            "task": "insights.upkeep.expire_kept_bytes",
            "schedule": crontab(hour="3", minute="10"),
        },
        "expire_sign_in_failures": {
            "task": "insights.upkeep.expire_sign_in_failures",
            "schedule": crontab(hour="3", minute="30"),
        },
        "expire_rejected_lines": {
            "task": "insights.upkeep.expire_rejected_lines",
            "schedule": crontab(hour="3", minute="20"),
        },
    }


def _passes(name: str, *, every: timedelta) -> dict[str, dict[str, Any]]:
    """A pass over the accounts in as many parts as workers are to share it."""
    parts = env_count("BILLING_PARTS", default=BILLING_PARTS, most=BILLING_PARTS_MAX)
    return {
        f"{name} {number + 1} of {parts}": {
            "task": f"insights.invoicing.{name}",
            "args": [number, parts],
            "schedule": every,
            "options": {"expires": every.total_seconds()},
        }
        for number in range(parts)
    }


@setup_logging.connect
def keep_django_logging(**_: Any) -> None:
    """Being connected stops Celery from replacing the logging that the settings have set up."""


@worker_process_init.connect
def prepare_worker(**_: Any) -> None:
    """Load the library of columns before the first batch waits for it, and collect garbage seldom.

    Each process loads it for itself, since its threads would not survive a fork. Cycles are looked for once a chunk
    and never among what was imported: it took a third of the time in Python.
    """
    import_module("insights.ingest.staged_columns")
    gc.collect()
    gc.freeze()
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS, 10, 10)


app = Celery("usage_portal", amqp=SteadyAMQP)
app.add_defaults(configuration)
app.steps["worker"].add(DjangoStructLogInitStep)
app.autodiscover_tasks(["insights"])
app.autodiscover_tasks(["insights"], related_name="upkeep")
app.autodiscover_tasks(["insights"], related_name="invoicing")
