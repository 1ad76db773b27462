"""Estimates over the API: in the shape the schema names, and every hostile question is refused with field and code."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
import time_machine

from accounts.tenancy import as_worker
from insights.api.estimate_schema import EstimateSerializer
from insights.models import Invoice, LineItem
from tests import factories
from tests.api.conftest import Caller, problem_of
from tests.api.test_bills import assert_shape
from tests.billing.estimates import NOW, make_asking, make_plans
from tests.billing.scene import instant, make_profile, meters
from tests.conftest import Cast

pytestmark = pytest.mark.database
PATH = "/api/v1/estimates"
JSON_TYPE = "application/json"


@pytest.fixture(autouse=True)
def at_noon() -> Any:
    with time_machine.travel(instant(NOW), tick=False):
        yield


@pytest.fixture
def reader(cast: Cast, caller: Callable[[str], Caller]) -> Caller:
    return caller(factories.make_api_key(cast.ours, created_by=cast.owner, scopes=["bills:read"])[1])


@pytest.fixture
def plans(cast: Cast) -> None:
    meters("requests")
    meters("bytes", dimensions=["region"])
    make_profile(cast.ours)
    make_plans(cast.ours, cast.other)


def ask(reader: Caller, body: Any, content_type: str = JSON_TYPE, path: str = PATH) -> Any:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return reader.client.generic(
        "POST", path, text, headers={"Authorization": f"Bearer {reader.key}"}, CONTENT_TYPE=content_type
    )


def test_periods_stand_beside_what_was_billed(cast: Cast, reader: Caller) -> None:
    asking = make_asking(cast.ours, cast.other)

    answer = ask(reader, {"plan": "growth", "periods": 2})

    assert answer.status_code == 200
    document = answer.json()
    assert_shape(EstimateSerializer(), document)
    assert (document["billed"], document["estimated"], document["difference"]) == ("36.89", "71.40", "34.51")
    assert [period["invoice"] for period in document["periods"]] == [
        str(invoice.public_id) for invoice in reversed(asking.invoices[1:])
    ]
    steps = [step["words"] for line in document["periods"][0]["lines"] for step in line["steps"]]
    assert "Tier 1, 0 to 100: 20 unit at 0.00 USD" in steps or any(
        words.startswith("Tier 1") for words in steps
    )


def test_quantities_are_taken_exactly(plans: None, reader: Caller) -> None:
    quantities = [
        {"meter": "requests", "quantity": "1000000000000000000.000000001"},
        {"meter": "bytes", "quantity": "3", "values": {"region": "eu"}},
    ]

    document = ask(reader, {"plan": "growth", "quantities": quantities, "currency": "USD"}).json()

    assert_shape(EstimateSerializer(), document)
    [period] = document["periods"]
    assert [line["metered_quantity"] for line in period["lines"] if line["meter"] == "requests"] == [
        "1000000000000000000.000000001"
    ]
    assert (document["billed"], period["invoice"]) == (None, None)


def _one(quantity: Any, **more: Any) -> dict[str, Any]:
    return {"plan": "growth", "quantities": [{"meter": "requests", "quantity": quantity, **more}]}


HOSTILE: list[tuple[Any, str, str]] = [
    (_one("1e400"), "precision_exceeded", "quantities[0].quantity"),
    (_one("1" + "0" * 19), "precision_exceeded", "quantities[0].quantity"),
    (_one("0.0000000001"), "scale_exceeded", "quantities[0].quantity"),
    (_one("-1"), "negative_not_allowed", "quantities[0].quantity"),
    (_one("NaN"), "number_not_finite", "quantities[0].quantity"),
    (_one("Infinity"), "number_not_finite", "quantities[0].quantity"),
    (_one("\u0661"), "number_format", "quantities[0].quantity"),
    (_one(" 1"), "number_format", "quantities[0].quantity"),
    (_one("1\u0000"), "control_char", "quantities[0].quantity"),
    (_one("9" * 2000), "number_format", "quantities[0].quantity"),
    (_one(12), "shape", "quantities[0].quantity"),
    (_one(True), "shape", "quantities[0].quantity"),
    (_one(None), "missing_field", "quantities[0].quantity"),
    (_one(["1"]), "shape", "quantities[0].quantity"),
    (_one("1", values=[]), "shape", "quantities[0].values"),
    (_one("1", values={"region": 3}), "shape", "quantities[0].values.region"),
    (_one("1", values={"region": "eu"}), "unknown_values", "quantities[0].quantity"),
    (_one("1", colour="red"), "unknown_field", "quantities[0].colour"),
    (
        {"plan": "growth", "quantities": [{"meter": "doors", "quantity": "1"}]},
        "unknown_meter",
        "quantities[0].quantity",
    ),
    ({"plan": "growth", "quantities": [{"meter": 4, "quantity": "1"}]}, "shape", "quantities[0].meter"),
    ({"plan": "growth", "quantities": ["1"]}, "shape", "quantities[0]"),
    ({"plan": "growth", "quantities": {}}, "shape", "quantities"),
    (
        {"plan": "growth", "quantities": [{"meter": "requests", "quantity": "1"}] * 101},
        "too_many_quantities",
        "quantities",
    ),
    ({"plan": "growth"}, "periods", "periods"),
    ({"plan": "growth", "periods": 1, "quantities": []}, "periods", "periods"),
    ({"plan": "growth", "periods": 0}, "periods", "periods"),
    ({"plan": "growth", "periods": 13}, "periods", "periods"),
    ({"plan": "growth", "periods": 10**30}, "periods", "periods"),
    ({"plan": "growth", "periods": 1.5}, "periods", "periods"),
    ({"plan": "growth", "periods": None}, "periods", "periods"),
    ({"plan": "growth", "periods": [1]}, "periods", "periods"),
    ({"plan": "growth", "periods": 1}, "no_closed_period", "periods"),
    ({"plan": "growth", "periods": 1, "prices": "later"}, "prices", "prices"),
    ({"plan": "growth", "periods": 1, "prices": {}}, "prices", "prices"),
    ({"plan": "growth", "quantities": [], "prices": "now"}, "only_of_periods", "prices"),
    ({"plan": "growth", "quantities": [], "subscription": None}, "only_of_periods", "subscription"),
    ({"plan": "growth", "periods": 1, "subscription": "1"}, "unknown_subscription", "subscription"),
    (
        {"plan": "growth", "periods": 1, "subscription": "00000000-0000-4000-8000-000000000000"},
        "unknown_subscription",
        "subscription",
    ),
    ({"plan": "absent", "periods": 1}, "unknown_plan", "plan"),
    ({"plan": "theirs", "quantities": []}, "unknown_plan", "plan"),
    ({"plan": "retired", "quantities": []}, "unknown_plan", "plan"),
    ({"plan": "x" * 5000, "quantities": []}, "unknown_plan", "plan"),
    ({"plan": "\u202egrowth", "quantities": []}, "unknown_plan", "plan"),
    ({"plan": 7, "periods": 1}, "shape", "plan"),
    ({"plan": None, "periods": 1}, "unknown_plan", "plan"),
    ({"periods": 1}, "unknown_plan", "plan"),
    ({"plan": "growth", "quantities": [], "currency": "XXQ"}, "unknown_currency", "currency"),
    ({"plan": "growth", "quantities": [], "currency": "dollars"}, "unknown_currency", "currency"),
    ({"plan": "growth", "quantities": [], "currency": "EUR"}, "different_currencies", "currency"),
    ({"plan": "growth", "quantities": [], "currency": 5}, "unknown_currency", "currency"),
    ({"plan": "growth", "quantities": [], "counts": {"doors": "1"}}, "unknown_fee", "counts.doors"),
    ({"plan": "seats", "quantities": [], "counts": {"seats": "-1"}}, "negative_not_allowed", "counts.seats"),
    ({"plan": "seats", "quantities": [], "counts": {"seats": 3}}, "shape", "counts.seats"),
    ({"plan": "seats", "quantities": [], "counts": []}, "shape", "counts"),
    ({"plan": "growth", "periods": 1, "store": "yes"}, "unknown_field", "store"),
]


@pytest.mark.usefixtures("plans")
def test_every_hostile_question_is_refused_by_field_and_code(reader: Caller) -> None:
    for body, code, field in HOSTILE:
        answer = ask(reader, body)
        assert problem_of(answer, status=400, code=code).get("field") == field, body
    with as_worker():
        assert (Invoice.objects.count(), LineItem.objects.count()) == (0, 0)


BODIES: list[tuple[bytes, str, int]] = [
    (b"", "malformed_json", 400),
    (b"[]", "shape", 400),
    (b"null", "shape", 400),
    (b'{"plan":"growth","plan":"growth"}', "duplicate_key", 400),
    (b'{"plan":NaN}', "malformed_json", 400),
    (b'{"plan":"\xff"}', "encoding", 400),
    (b'{"a":' * 200 + b"1" + b"}" * 200, "too_deep", 400),
    (b'{"plan":"growth","x":"' + b"a" * 70_000 + b'"}', "body_too_large", 413),
    (b'{"plan":' + b"1" * 60_000 + b"}", "periods", 400),
    (b'{"plan":"growth","quantities":[],"\\ud800":1}', "unknown_field", 400),
    (b'{"plan":"growth","quantities":[],"\\ud800":1,"\\ud800":1}', "duplicate_key", 400),
    (b'{"plan":"growth","quantities":[],"counts":{"\\ud800":"1"}}', "unknown_fee", 400),
    (b'{"plan":"growth","quantities":[{"meter":"requests","\\ud800":"1"}]}', "unknown_field", 400),
    (b'{"plan":"growth","quantities":[{"values":{"\\ud800":1}}]}', "missing_field", 400),
    (
        b'{"plan":"growth","quantities":[{"meter":"requests","quantity":"1","values":{"\\ud800":1}}]}',
        "shape",
        400,
    ),
]


@pytest.mark.usefixtures("plans")
@pytest.mark.parametrize(("body", "code", "status"), BODIES, ids=range(len(BODIES)))
def test_bodies_that_are_no_question_are_refused(reader: Caller, body: bytes, code: str, status: int) -> None:
    answer = ask(reader, body)

    problem_of(answer, status=status, code=code)


@pytest.mark.usefixtures("plans")
def test_other_types_and_ways_are_refused(
    cast: Cast, reader: Caller, caller: Callable[[str], Caller]
) -> None:
    problem_of(ask(reader, {}, "text/plain"), status=415, code="unsupported_media_type")
    problem_of(reader.get(PATH), status=405, code="method_not_allowed")
    usage_only = caller(factories.make_api_key(cast.ours, created_by=cast.owner, scopes=["usage:read"])[1])
    assert ask(usage_only, {"plan": "growth", "quantities": []}).status_code == 403


@pytest.mark.usefixtures("plans")
def test_it_is_rate_limited_as_other_requests_are(reader: Caller, settings: Any) -> None:
    settings.API_REQUESTS_PER_MINUTE = 3
    statuses = [ask(reader, {"plan": "growth", "quantities": []}).status_code for _ in range(4)]

    assert statuses == [200, 200, 200, 429]


def test_another_account_sees_neither_our_plan_nor_our_periods(
    cast: Cast, caller: Callable[[str], Caller]
) -> None:
    asking = make_asking(cast.ours, cast.other)
    theirs = caller(factories.make_api_key(cast.other, created_by=cast.stranger, scopes=["bills:read"])[1])

    problem_of(ask(theirs, {"plan": "ours", "periods": 1}), status=400, code="unknown_plan")
    problem_of(ask(theirs, {"plan": "growth", "periods": 1}), status=400, code="no_closed_period")
    named = {"plan": "growth", "periods": 1, "subscription": str(asking.subscription.public_id)}
    problem_of(ask(theirs, named), status=400, code="unknown_subscription")


def test_as_csv_it_is_the_same_answer_and_the_same_refusals(cast: Cast, reader: Caller) -> None:
    make_asking(cast.ours, cast.other)
    asked = {"plan": "growth", "periods": 2}

    answer = ask(reader, asked, path=f"{PATH}.csv")
    refused = ask(reader, {"plan": "growth", "periods": 99}, path=f"{PATH}.csv")

    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    totals = {row["side"]: row["amount"] for row in rows if row["row"] == "total"}
    document = ask(reader, asked).json()
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert totals == {
        "billed": document["billed"],
        "estimate": document["estimated"],
        "difference": document["difference"],
    }
    problem_of(refused, status=400, code="periods")
