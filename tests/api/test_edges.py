"""The edges of an invoice over the API: every page once, in the shape the schema names, for its account alone."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import pytest
import time_machine

from accounts.models import ApiKey
from accounts.tenancy import as_owner
from insights.api.bill_edges import KeyEnded
from insights.api.then_and_now_serializers import EdgesSerializer
from tests import factories
from tests.api.conftest import Caller, problem_of
from tests.api.test_bills import assert_shape
from tests.api.test_then_and_now import full_reader
from tests.billing.bills import make_invoice
from tests.conftest import Cast
from tests.explain.test_edges import edges_scene
from tests.explain.test_line_proof import NOW, world

__all__ = ["full_reader", "world"]
pytestmark = pytest.mark.database


@pytest.fixture(autouse=True)
def at_noon() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


def test_pages_through_every_record(world: Cast, full_reader: Caller) -> None:
    _, march = edges_scene(world)
    query, records, counted = "?within=15&limit=4", [], 0
    while query:
        page = full_reader.get(f"/api/v1/invoices/{march.public_id}/edges{query}").json()
        assert_shape(EdgesSerializer(), page)
        records += page["records"]
        counted = sum(edge["records_before"] + edge["records_after"] for edge in page["edges"])
        query = f"?within=15&limit=4&cursor={page['next_cursor']}" if page["next_cursor"] else ""

    assert len(records) == counted == 15
    assert {record["outcome"] for record in records} == {
        "billed", "no_price", "not_charged", "corrected", "waits",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("query", "code"),
    [("?within=7", "within"), ("?within=", "within"), ("?cursor=x", "cursor"), ("?limit=0", "limit")],
)
def test_refuses_what_was_not_offered(cast: Cast, full_reader: Caller, query: str, code: str) -> None:
    invoice = make_invoice(cast.ours)

    problem_of(full_reader.get(f"/api/v1/invoices/{invoice.public_id}/edges{query}"), status=400, code=code)


def test_needs_a_key_for_both_and_its_own_account(
    cast: Cast, full_reader: Caller, caller: Callable[[str], Caller]
) -> None:
    invoice, other = make_invoice(cast.ours), make_invoice(cast.other)
    bills = caller(factories.make_api_key(cast.ours, created_by=cast.owner, scopes=["bills:read"])[1])

    for end in ("edges", "edges.csv"):
        mine, theirs = (f"/api/v1/invoices/{one.public_id}/{end}" for one in (invoice, other))
        problem_of(bills.get(mine), status=403, code="permission_denied")
        problem_of(full_reader.get(theirs), status=404, code="not_found")


def test_as_csv_it_is_every_record_of_the_pages(
    world: Cast, full_reader: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, march = edges_scene(world)
    monkeypatch.setattr("insights.explain.edge_queries.ROWS_AT_ONCE", 4)
    path = f"/api/v1/invoices/{march.public_id}/edges"

    answer = full_reader.get(f"{path}.csv?within=15")
    rows = list(csv.DictReader(io.StringIO(answer.getvalue().decode())))

    records = full_reader.get(f"{path}?within=15&limit=1000").json()["records"]
    assert len(rows) == len(records) == 15
    assert [(row["window_start"], row["row_id"], row["outcome"]) for row in rows] == [
        (record["window_start"], record["row_id"] or "", record["outcome"]) for record in records
    ]
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    problem_of(full_reader.get(f"{path}.csv?limit=4"), status=400, code="unknown_parameter")


def test_a_key_that_ends_on_the_way_gets_no_whole_file(
    world: Cast, full_reader: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, march = edges_scene(world)
    answer = full_reader.get(f"/api/v1/invoices/{march.public_id}/edges.csv?within=15")
    with as_owner():
        ApiKey.objects.filter(account=world.ours).update(revoked_at=NOW)

    with pytest.raises(KeyEnded):
        answer.getvalue()
