"""Damaged files and odd requests, by the hundred: never a 5xx, always a known code, and the counts add up.

SEED=<number> tries one run again, COUNT=<number> tries more of them.
"""

from __future__ import annotations

import os
import random
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts.tenancy import as_worker, connection
from tests import factories
from tests.bad_inputs.judging import fault_in
from tests.bad_inputs.mutations import Request, damaged_file, odd_request
from tests.bad_inputs.ways import Doors, assert_lines_add_up, work_as_of
from tests.conftest import Cast
from tests.ingest.deliveries import NOW

SEED = int(os.environ.get("SEED", "20261123"))
COUNT = int(os.environ.get("COUNT", "500"))


@pytest.fixture
def keys(doors: Callable[[str], Doors], cast: Cast) -> dict[str, str]:
    return {
        "source": doors("edge").key,
        "account": factories.make_api_key(cast.ours, created_by=cast.owner)[1],
        "broken": "up_live_0123456789_nothing",
        "none": "",
    }


def ask(client: Client, request: Request, keys: dict[str, str]) -> Any:
    headers = dict(request.headers)
    if key := keys[request.key]:
        headers["Authorization"] = f"Bearer {key}"
    return client.generic(
        request.method,
        request.path,
        request.body,
        headers=headers,
        # A server hands over bytes as Latin-1, whatever they are.
        QUERY_STRING=request.query.encode().decode("latin-1"),
        CONTENT_TYPE=request.content_type,
    )


def content_of(response: Any) -> bytes:
    return b"".join(response.streaming_content) if response.streaming else bytes(response.content)


def fault_of(request: Request, response: Any) -> str | None:
    """What is wrong with an answer, whatever was asked; None when nothing is."""
    return fault_in(
        method=request.method,
        status=response.status_code,
        content_type=response.headers.get("Content-Type", ""),
        content=content_of(response),
        sent=request.body,
    )


def test_no_damaged_file_breaks_the_api_or_the_books(keys: dict[str, str]) -> None:
    chance = random.Random(SEED)
    client = Client(raise_request_exception=False)
    faults, kept = [], 0
    for number in range(COUNT):
        request = damaged_file(chance)
        response = ask(client, request, keys)
        if fault := fault_of(request, response):
            faults.append((number, fault, request))
        if response.status_code != 202:
            continue
        receipt = work_as_of(uuid.UUID(response.json()["id"]), now=NOW)
        kept += 1
        if receipt.state != "done":
            faults.append((number, receipt.fault, request))
        else:
            assert_lines_add_up(receipt)

    print(f"seed {SEED}: {COUNT} files, {kept} taken, {len(faults)} faults")
    assert faults == [], f"SEED={SEED}"
    assert COUNT // 10 < kept < COUNT
    assert_books_agree()


def assert_books_agree() -> None:
    """Rollups, read from pages, are the sums of the records; counts of batches are those of their parts."""
    with as_worker(), connection().cursor() as cursor:
        cursor.execute("SELECT count(*), sum(quantity) FROM insights_usagerecord")
        records = cursor.fetchone()
        cursor.execute("SELECT sum(records), sum(quantity) FROM insights_usagerollup")
        assert cursor.fetchone() == records
        cursor.execute("SELECT sum(received - rejected) FROM insights_batch")
        taken = cursor.fetchone()
        cursor.execute("SELECT sum(new + replaced + duplicate + stale) FROM insights_batchpart")
        assert cursor.fetchone() == taken


def test_no_odd_request_breaks_the_api(keys: dict[str, str]) -> None:
    chance = random.Random(SEED)
    client = Client(raise_request_exception=False)
    faults = []
    statuses: Counter[int] = Counter()
    for number in range(COUNT):
        request = odd_request(chance)
        response = ask(client, request, keys)
        statuses[response.status_code] += 1
        if fault := fault_of(request, response):
            faults.append((number, fault, request))

    print(f"seed {SEED}: {COUNT} requests, {len(faults)} faults, {dict(statuses)}")
    assert faults == [], f"SEED={SEED}"
    # Requests that are all turned away at the door would try nothing.
    assert statuses[200] > COUNT // 50
    assert statuses[400] > COUNT // 10
