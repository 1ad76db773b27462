"""The overview answers in its first line and leads to the usage page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
import time_machine
from django.db import connections
from django.test.utils import CaptureQueriesContext

from accounts.tenancy import as_staff, as_worker
from insights.feeds.operations import create_source, set_source_enabled
from insights.ingest.source_definition import SourceDefinition
from insights.models import BatchPart
from tests import factories
from tests.conftest import Cast
from tests.factories import make_meter, make_source
from tests.metering.facts import deliver, hour

pytestmark = pytest.mark.database
NOW = hour("2026-11-05T12")


@pytest.fixture(autouse=True)
def _clock() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def used(cast: Cast) -> Cast:
    """Ansel has two meters of which one grew, and one silent source."""
    source = make_source(cadence_seconds=3600)
    for position, (key, grown) in enumerate((("requests", 10), ("bytes_out", 20))):
        make_meter(key, unit=key, dimensions=["region"], position=position)
        for reference in ("ansel", "brook-CANARY"):
            rows = [
                {
                    "at": hour("2026-10-01T10") + timedelta(days=day),
                    "quantity": 10 if day < 31 else grown,
                    "region": reference,
                }
                for day in range(36)
            ]
            deliver(source, rows, account=reference, meter=key, complete_to=hour("2026-11-05T00"))
    return cast


def text_of(response: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def make_open_part(account: Any) -> None:
    """A batch of which a first chunk is counted for the account."""
    source = factories.make_source("slow")
    received = factories.receive_batch(
        pieces=[b"account,meter,window_start,quantity\n"], source_id=source.pk, via="api"
    )
    with as_worker():
        BatchPart.objects.create(
            account=account,
            batch_id=received.batch_id,
            batch_public_id=received.public_id,
            source_slug="slow",
            source_name="Slow",
            via="api",
            received_at=datetime.now(UTC),
            received=1200,
            new=1200,
        )


class TestAccountOverview:
    def test_the_first_line_answers(self, used: Cast, signed_in: Any) -> None:
        text = text_of(signed_in(used.owner).get(f"/a/{used.ours.public_id}/"))

        assert "So far in November, Ansel Ltd used 50" in text
        assert "its 4 complete days are level with the same days of October" in text
        assert "Largest change besides: Bytes out , its 4 complete days are 100.0" in text

    def test_each_card_leads_to_its_meter(self, used: Cast, signed_in: Any) -> None:
        client = signed_in(used.owner)
        html = client.get(f"/a/{used.ours.public_id}/").content.decode()

        links = [unescape(link) for link in re.findall(r'<h2><a href="([^"]+/usage/[^"]+)"', html)]

        assert len(links) == 2
        assert all(client.get(link).status_code == 200 for link in links)

    def test_the_other_account_is_not_in_it(self, used: Cast, signed_in: Any) -> None:
        assert "CANARY" not in signed_in(used.viewer).get(f"/a/{used.ours.public_id}/").content.decode()

    def test_a_source_that_never_reported_is_named(self, used: Cast, signed_in: Any) -> None:
        definition = SourceDefinition(
            slug="own", name="Own meter", key_kind="window", window="hour", account_id=used.ours.pk
        )
        with as_staff():
            create_source(definition=definition, actor=used.staff)

        text = text_of(signed_in(used.owner).get(f"/a/{used.ours.public_id}/"))

        assert "1 of 2 sources report on time; Own meter has not reported yet." in text

    def test_a_source_that_ended_is_not_waited_for(self, used: Cast, signed_in: Any) -> None:
        rows = [{"at": hour("2026-10-02T10"), "quantity": 1, "region": "ansel"}]
        deliver(make_source("past"), rows, account="ansel", meter="requests")
        url = f"/a/{used.ours.public_id}/"
        held_up = text_of(signed_in(used.owner).get(url))
        with as_staff():
            set_source_enabled(slug="past", is_enabled=False, actor=used.staff)

        text = text_of(signed_in(used.owner).get(url))

        assert "its 4 complete days are" not in held_up.partition("Largest")[0]
        assert "All 2 sources report on time." in held_up
        assert "Its source reports on time." in text
        assert "its 4 complete days are" in text.partition("Largest")[0]

    def test_a_silent_source_is_named(self, used: Cast, signed_in: Any) -> None:
        # Rows are received at the database's own time, which does not travel.
        with time_machine.travel(datetime.now(UTC) + timedelta(days=9000), tick=False):
            text = text_of(signed_in(used.owner).get(f"/a/{used.ours.public_id}/"))

        assert "0 of 1 sources report on time; nothing from Edge" in text
        assert "1 source missing" in text

    def test_an_account_without_usage_says_what_happens_next(self, cast: Cast, signed_in: Any) -> None:
        text = text_of(signed_in(cast.owner).get(f"/a/{cast.ours.public_id}/"))

        assert "No usage has arrived for Ansel Ltd yet." in text

    def test_takes_few_statements(self, used: Cast, signed_in: Any) -> None:
        client = signed_in(used.owner)

        with CaptureQueriesContext(connections["default"]) as captured:
            client.get(f"/a/{used.ours.public_id}/")

        usage = [query for query in captured if "insights_" in query["sql"]]
        # The last four ask what the running bill comes to so far, what its next units cost, by which units prices are,
        # and for notes.
        assert len(usage) == 10

    def test_says_that_usage_is_being_read(self, used: Cast, signed_in: Any) -> None:
        client = signed_in(used.owner)
        address = f"/a/{used.ours.public_id}/"
        assert "being read" not in text_of(client.get(address))
        make_open_part(used.ours)

        for page in (address, f"{address}usage/"):
            text = text_of(client.get(page))
            assert "Usage is being read." in text
            assert "1 batch in progress, 1,200 lines of it counted so far" in text
