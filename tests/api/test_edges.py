"""The edges of an invoice over the API: every page once, in the shape the schema names, for its account alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import time_machine

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

    problem_of(bills.get(f"/api/v1/invoices/{invoice.public_id}/edges"), status=403, code="permission_denied")
    problem_of(full_reader.get(f"/api/v1/invoices/{other.public_id}/edges"), status=404, code="not_found")
