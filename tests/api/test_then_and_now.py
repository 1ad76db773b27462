"""An invoice then and now over the API: it adds up, in the shape the schema names, for its account alone."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import time_machine

from insights.api.then_and_now_serializers import MovedRecordsSerializer, ThenAndNowSerializer
from insights.models import Invoice
from tests import factories
from tests.api.conftest import Caller, problem_of
from tests.api.test_bills import assert_shape
from tests.billing.bills import make_invoice
from tests.conftest import Cast
from tests.explain.test_line_proof import NOW, world
from tests.explain.test_then_and_now import late_scene

__all__ = ["world"]
pytestmark = pytest.mark.database


@pytest.fixture(autouse=True)
def at_noon() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def full_reader(cast: Cast, caller: Callable[[str], Caller]) -> Caller:
    scopes = ["bills:read", "usage:read"]
    return caller(factories.make_api_key(cast.ours, created_by=cast.owner, scopes=scopes)[1])


def path(invoice: Invoice, rest: str = "") -> str:
    return f"/api/v1/invoices/{invoice.public_id}/then-and-now{rest}"


def test_lines_add_to_totals_and_records_to_quantities(world: Cast, full_reader: Caller) -> None:
    march, _, positions = late_scene(world)

    document = full_reader.get(path(march, f"?position={positions[0]}")).json()

    assert_shape(ThenAndNowSerializer(), document)
    assert document["is_accounted_for"]
    lines = document["lines"]
    assert sum(Decimal(line["change"]) for line in lines) == Decimal(document["change"])
    assert document["total_then"] == document["total_of_invoice"]
    [usage] = [line for line in lines if line["meter"]]
    records: list[dict[str, Any]] = []
    query = f"?position={positions[0]}&limit=9"
    cursor = ""
    while cursor is not None:
        more = f"&cursor={cursor}" if cursor else ""
        page = full_reader.get(path(march, f"/records{query}{more}")).json()
        assert_shape(MovedRecordsSerializer(), page)
        records += page["records"]
        cursor = page["next_cursor"]
    signs = {"came": 1, "went": -1}
    moved = sum(signs[record["change"]] * Decimal(record["quantity"]) for record in records)
    assert moved == Decimal(usage["quantity_now"]) - Decimal(usage["quantity_then"])
    assert len(records) == document["records_came"] + document["records_went"] == 32
    assert {record["bill_line"] for record in records} == {usage["position"]}


def test_the_file_has_the_same_records(world: Cast, full_reader: Caller) -> None:
    march, _, _ = late_scene(world)

    response = full_reader.get(path(march, "/records.csv"))
    rows = list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode())))

    page = full_reader.get(path(march, "/records")).json()
    assert [(row["change"], row["window_start"], row["batch"]) for row in rows] == [
        (record["change"], record["window_start"], record["batch"]) for record in page["records"]
    ]
    assert full_reader.head(path(march, "/records.csv")).status_code == 200


@pytest.mark.parametrize("rest", ["", "/records", "/records.csv"])
@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ("?known_at=2026-04-01", "timestamp_format", "known_at"),
        ("?known_at=", "missing_field", "known_at"),
        ("?known_at=2026-05-01T00:00:00Z", "timestamp_future", "known_at"),
        ("?position=12&known_at=2026-04-01T00:00:00Z", "parameter", "position"),
        ("?position=999999", "position_future", "position"),
        ("?position=-1", "position", "position"),
        ("?limits=1", "unknown_parameter", "limits"),
    ],
)
def test_what_is_not_a_moment_is_refused(
    cast: Cast, full_reader: Caller, rest: str, query: str, code: str, field: str
) -> None:
    invoice = make_invoice(cast.ours)

    problem = problem_of(full_reader.get(path(invoice, rest + query)), status=400, code=code)

    assert problem["field"] == field


def test_a_cursor_is_for_its_question(world: Cast, full_reader: Caller) -> None:
    march, _, positions = late_scene(world)
    cursor = full_reader.get(path(march, "/records?limit=1")).json()["next_cursor"]

    other = full_reader.get(path(march, f"/records?position={positions[1]}&cursor={cursor}"))

    problem_of(other, status=400, code="cursor")
    problem_of(full_reader.get(path(march, "/records?cursor=x")), status=400, code="cursor")


@pytest.mark.parametrize("rest", ["/records", "/records.csv"])
def test_records_need_a_key_for_usage_too(cast: Cast, caller: Callable[[str], Caller], rest: str) -> None:
    invoice = make_invoice(cast.ours)
    reader = caller(factories.make_api_key(cast.ours, created_by=cast.owner, scopes=["bills:read"])[1])

    problem_of(reader.get(path(invoice, rest)), status=403, code="permission_denied")
    assert reader.get(path(invoice)).status_code == 200


@pytest.mark.parametrize("rest", ["", "/records", "/records.csv"])
def test_anothers_answers_like_an_absent_one(cast: Cast, full_reader: Caller, rest: str) -> None:
    problem_of(full_reader.get(path(make_invoice(cast.other), rest)), status=404, code="not_found")
