"""The app that knows what was used."""

from django.apps import AppConfig


class InsightsConfig(AppConfig):
    """Ingest, metering and the pages and endpoints over them."""

    name = "insights"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Show how an account's feeds do on the staff page of the account; load the checks of our settings."""
        from accounts.panels import register_panel
        from insights import checks  # noqa: F401 (registers itself)
        from insights.feeds.account_queries import feeds_panel

        register_panel(feeds_panel)
