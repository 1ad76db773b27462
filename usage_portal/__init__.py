"""The project: wiring only. Loading it makes the Celery app the one that tasks register with."""

from usage_portal.celery import app as celery_app

__all__ = ["celery_app"]
