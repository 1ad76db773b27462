"""A month is kept for the invoices made of it, whatever an operator asks."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
import time_machine
from django.core.management import CommandError, call_command

from insights.rating.charges import PerUnit
from tests.billing.scene import (
    bill,
    complete,
    deliver,
    make_plan,
    make_profile,
    meters,
    subscribe,
    usage_price,
)
from tests.factories import make_account, make_source

pytestmark = pytest.mark.database
JUNE = "2025-06"


@pytest.fixture
def billed(portal_db: None) -> None:
    """June 2025 is billed on 1 July, as every month since."""
    meters("requests")
    account = make_account("ansel", currency="USD")
    make_profile(account)
    plan = make_plan("plain", [usage_price("requests", PerUnit(unit_amount=Decimal("0.10")))])
    subscription = subscribe(account, plan, "2025-06-01")
    deliver(make_source(), account, [("requests", "2025-06-02", "10")])
    complete(account, "2025-07-01")
    bill(subscription, "2025-07-01T01")


def archive() -> None:
    call_command("archive_month", JUNE, reason="older than we bill", by="ops@example.com")


@pytest.mark.parametrize("now", [datetime(2026, 7, 20, tzinfo=UTC), datetime(2026, 8, 1, 0, 59, tzinfo=UTC)])
def test_a_month_is_kept_until_its_last_invoice_is_old_enough(billed: None, now: datetime) -> None:
    with time_machine.travel(now, tick=False), pytest.raises(CommandError, match="2026-08-01 01:00 UTC"):
        archive()


def test_it_is_archived_thirteen_months_after_that(billed: None) -> None:
    with time_machine.travel(datetime(2026, 8, 1, 1, tzinfo=UTC), tick=False):
        archive()


def test_a_month_is_kept_while_an_invoice_is_still_to_be_made_of_it(portal_db: None) -> None:
    meters("requests")
    account = make_account("brook", currency="USD")
    make_profile(account)
    plan = make_plan("plain", [usage_price("requests", PerUnit(unit_amount=Decimal("0.10")))])
    subscription = subscribe(account, plan, "2025-06-01")
    deliver(make_source(), account, [("requests", "2025-06-02", "10")])
    bill(subscription, "2025-06-20")

    with (
        time_machine.travel(datetime(2026, 8, 20, tzinfo=UTC), tick=False),
        pytest.raises(CommandError, match="kept"),
    ):
        archive()
