"""Failed sign-ins hold addresses and are not kept for long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from axes.models import AccessAttempt, AccessLog
from django.urls import reverse

from accounts.tenancy import as_worker
from insights.upkeep import expire_sign_in_failures

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("portal_db")]


def test_failures_are_dropped_after_thirty_days_and_successes_never_kept(cast: Any, client: Any) -> None:
    client.post(reverse("account_login"), {"login": cast.owner.email, "password": "wrong"})
    with as_worker():
        assert AccessAttempt.objects.count() == 1
        assert not AccessLog.objects.exists()

    assert expire_sign_in_failures() == 0
    with time_machine.travel(datetime.now(UTC) + timedelta(days=31)):
        assert expire_sign_in_failures() == 1
