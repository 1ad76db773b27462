"""The app that knows what was used."""

from django.apps import AppConfig


class InsightsConfig(AppConfig):
    """Ingest, metering and the pages and endpoints over them."""

    name = "insights"
    default_auto_field = "django.db.models.BigAutoField"
