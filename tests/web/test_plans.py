"""Every statement of the pages of a large account reads large tables by the account's keys. Shapes, never times."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
import time_machine
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.tenancy import as_owner, connection
from insights.models import BatchPart, Invoice, InvoiceState
from tests.conftest import Cast
from tests.factories import make_meter, make_source
from tests.metering.facts import hour
from tests.web.bill_rows import fill_bills
from tests.web.plans import LARGE, breaches, fill

pytestmark = pytest.mark.database
NOW = hour("2026-11-05T12")
YEAR = {"meter": "requests", "period": "last-12-months"}
QUARTER = {"meter": "requests", "from": "2026-08-10", "to": "2026-11-05", "granularity": "hour"}
PAGES = {
    "overview": "",
    "a year by day": f"usage/?{urlencode({**YEAR, 'granularity': 'day'})}",
    "a year by day in groups": f"usage/?{urlencode({**YEAR, 'granularity': 'day', 'group_by': 'endpoint'})}",
    "a year by month in groups": f"usage/?{urlencode({**YEAR, 'granularity': 'month', 'group_by': 'region'})}",
    "a quarter by hour": f"usage/?{urlencode(QUARTER)}",
    "a quarter by hour in groups": f"usage/?{urlencode({**QUARTER, 'group_by': 'endpoint'})}",
    "one value in groups": f"usage/?{urlencode({**YEAR, 'dimension.endpoint': 'e1', 'group_by': 'region'})}",
    "one value by hour": f"usage/?{urlencode({**QUARTER, 'dimension.endpoint': 'e1', 'group_by': 'region'})}",
    "batches": "batches/",
    "older batches": "batches/?source=edge&older={batch}",
    "bills": "bills/",
    "older bills": "bills/?older={bill}",
    "bill": "bills/{bill}/",
    "prices": "prices/",
    "credits": "credits/",
}


@pytest.fixture
def large(cast: Cast) -> Iterator[Cast]:
    """Ansel is the large account of a portal with many."""
    meter = make_meter("requests", unit="requests", dimensions=["endpoint", "region"])
    fill(cast.ours, meter=meter, source=make_source())
    fill_bills(cast.ours)
    with time_machine.travel(NOW, tick=False):
        yield cast


def statements_of(client: Client, cast: Cast, page: str) -> list[str]:
    """What a page asks the database, as it was sent."""
    with as_owner():
        batch = BatchPart.objects.filter(account=cast.ours).order_by("id")[500].batch_public_id
        bill = (
            Invoice.objects.filter(account=cast.ours, state=InvoiceState.ISSUED).order_by("id")[0].public_id
        )
    with CaptureQueriesContext(connections["default"]) as captured:
        response = client.get(f"/a/{cast.ours.public_id}/{PAGES[page].format(batch=batch, bill=bill)}")
    assert response.status_code == 200, page
    return [query["sql"] for query in captured if query["sql"].lstrip().startswith(("SELECT", "WITH"))]


def test_every_page_reads_by_the_keys_of_the_account(large: Cast, signed_in: Any) -> None:
    client = signed_in(large.owner)
    read: set[str] = set()

    for page in PAGES:
        statements = statements_of(client, large, page)
        assert list(breaches(large.ours, statements)) == [], page
        read |= {table for table in LARGE for statement in statements if table in statement}

    assert read == LARGE


def test_a_key_that_is_gone_shows(large: Cast, signed_in: Any) -> None:
    statements = statements_of(signed_in(large.owner), large, "a year by day in groups")

    for table in ("insights_usagesum", "insights_usagerollup"):
        assert any(f"on {table} " in breach for breach in breaches_without_key(large, table, statements))


def breaches_without_key(cast: Cast, table: str, statements: list[str]) -> list[str]:
    """What the same statements come to while the table has no primary key."""
    key = f"{table}_pkey"
    with as_owner(), connection().cursor() as cursor:
        cursor.execute("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s", [key])
        [definition] = cursor.fetchone()
        cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {key}")
        try:
            return list(breaches(cast.ours, statements))
        finally:
            cursor.execute(f"ALTER TABLE {table} ADD CONSTRAINT {key} {definition}")
