"""What Prometheus is told about feeds."""

from __future__ import annotations

from typing import Any

import pytest

from tests import factories

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("portal_db")]


def test_the_queue_and_the_lag_of_each_source_are_told(client: Any) -> None:
    factories.make_meter("bytes_out")
    factories.make_account("ansel-SECRET")
    source = factories.make_source("edge")
    body = "account,meter,window_start,quantity\nansel-SECRET,bytes_out,2026-11-03T01:00:00,5\n"
    factories.ingest_now(source, body)
    factories.receive_batch(pieces=[body.encode()], source_id=source.pk, via="api")

    text = client.get("/metrics").content.decode()

    assert 'portal_batches{source="edge",state="waiting"} 1.0' in text
    assert 'portal_feed_lag_seconds{source="edge"}' in text
    assert "portal_oldest_waiting_seconds" in text
    assert "SECRET" not in text
