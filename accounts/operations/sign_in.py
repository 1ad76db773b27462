"""What is kept of failed sign-ins, and for how long."""

from __future__ import annotations

from datetime import datetime

from axes.models import AccessAttempt


def drop_sign_in_failures(*, before: datetime) -> int:
    """Delete failed sign-ins older than an instant, with the addresses they came from; return how many."""
    deleted, _by_model = AccessAttempt.objects.filter(attempt_time__lt=before).delete()
    return deleted
