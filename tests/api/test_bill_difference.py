"""The difference of two invoices over the API: it adds up, in the shape the schema names, for its account alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
import time_machine

from insights.api.difference_serializers import DifferenceSerializer
from tests import factories
from tests.api.conftest import Caller, problem_of
from tests.api.test_bills import assert_shape
from tests.billing.bills import NOVEMBER, make_grant, make_invoice
from tests.conftest import Cast

pytestmark = pytest.mark.database
NOW = datetime(2026, 12, 10, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def at_noon() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def bill_reader(cast: Cast, caller: Callable[[str], Caller]) -> Caller:
    return caller(factories.make_api_key(cast.ours, created_by=cast.owner, scopes=["bills:read"])[1])


def path(invoice: Any, query: str = "") -> str:
    public_id = getattr(invoice, "public_id", invoice)
    return f"/api/v1/invoices/{public_id}/difference{query}"


def test_the_parts_add_to_the_change_from_the_invoice_before(cast: Cast, bill_reader: Caller) -> None:
    first = make_invoice(cast.ours)
    second = make_invoice(cast.ours, period=NOVEMBER, granted=[make_grant(cast.ours, minor=1234)])

    document = bill_reader.get(path(second)).json()

    assert_shape(DifferenceSerializer(), document)
    assert (document["before"]["id"], document["after"]["id"]) == (
        str(first.public_id),
        str(second.public_id),
    )
    change = Decimal(int(second.total_minor) - int(first.total_minor)) / 100
    assert Decimal(document["change"]) == change
    assert sum(Decimal(part["amount"]) for part in document["parts"]) == change
    assert sum(Decimal(effect["amount"]) for effect in document["effects"]) == change
    assert {part["effect"] for part in document["parts"]} == {"credits", "tax"}
    assert document["sentence"].startswith(
        f"{abs(change)} EUR less than invoice {first.number}: 12.34 less for credits"
    )


def test_any_other_invoice_may_be_named(cast: Cast, bill_reader: Caller) -> None:
    first = make_invoice(cast.ours)
    second = make_invoice(cast.ours, period=NOVEMBER, granted=[make_grant(cast.ours, minor=1234)])

    there = bill_reader.get(path(second, f"?with={first.public_id}")).json()
    back = bill_reader.get(path(first, f"?with={second.public_id}")).json()

    assert Decimal(there["change"]) == -Decimal(back["change"]) != 0


def test_refuses_what_cannot_be_compared(
    cast: Cast, bill_reader: Caller, caller: Callable[[str], Caller]
) -> None:
    invoice, theirs = make_invoice(cast.ours), make_invoice(cast.other)
    dollars = make_invoice(cast.ours, currency="USD", operation="2")
    without = caller(factories.make_api_key(cast.ours, created_by=cast.owner, scopes=["usage:read"])[1])

    def refused(address: str, code: str, *, status: int = 400, by: Caller = bill_reader) -> None:
        problem_of(by.get(address), status=status, code=code)

    refused(path(invoice), "nothing_to_compare", status=404)
    refused(path(invoice, f"?with={invoice.public_id}"), "same_invoice")
    refused(path(invoice, f"?with={dollars.public_id}"), "different_currencies")
    for wrong in ("", "x", "1" * 32, f"%7B{invoice.public_id}%7D", "%27"):
        refused(path(invoice, f"?with={wrong}"), "with")
    refused(path(invoice, "?with=a&with=b"), "duplicate_parameter")
    refused(path(invoice, "?other=1"), "unknown_parameter")
    absent = (path(uuid4()), path(invoice, f"?with={uuid4()}"))
    for address in (*absent, path(theirs), path(invoice, f"?with={theirs.public_id}")):
        refused(address, "not_found", status=404)
    refused(path(invoice), "permission_denied", status=403, by=without)
