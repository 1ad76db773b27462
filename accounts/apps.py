"""The app that knows who is looking."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AccountsConfig(AppConfig):
    """Accounts, people, keys and support access."""

    name = "accounts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Apply the declared grants whenever the owner has migrated."""
        from accounts.row_security import apply_grants

        # Sent once per app; the grants are applied when the last of them is through, and are idempotent before.
        post_migrate.connect(apply_grants, dispatch_uid="portal grants")
