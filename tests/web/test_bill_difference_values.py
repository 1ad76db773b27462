"""Bills made of delivered usage, through a change of plan: the difference adds up, and its usage by every value too."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
import time_machine
from django.urls import reverse

from insights.models import Invoice
from insights.rating.charges import Graduated, PerUnit, Tier
from tests.billing import scene
from tests.conftest import Cast
from tests.factories import make_source

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("portal_db")]
NOW = datetime(2026, 5, 10, tzinfo=UTC)
TIERS = Graduated(
    tiers=(
        Tier(above=Decimal(0), up_to=Decimal(200), unit_amount=Decimal("0.013")),
        Tier(above=Decimal(200), up_to=None, unit_amount=Decimal("0.007")),
    )
)


@pytest.fixture(autouse=True)
def at_noon() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def bills(cast: Cast) -> list[Invoice]:
    """March on one plan, April with a change to another inside it and usage of other endpoints; May runs."""
    scene.make_profile(cast.ours)
    scene.meters("calls", dimensions=["endpoint", "region"])
    first = scene.make_plan(
        "first", [scene.usage_price("calls", TIERS, included=Decimal(7)), scene.fee("base", "20")]
    )
    second = scene.make_plan(
        "second",
        [scene.usage_price("calls", PerUnit(unit_amount=Decimal("0.0333"))), scene.fee("base", "50")],
    )
    subscription = scene.subscribe(cast.ours, first, "2026-03-01")
    scene.change_plan(subscription, second, "2026-04-11T15")
    source = make_source()
    for month, endpoints in (
        ("03", {"a": "1.5", "b": "2"}),
        ("04", {"b": "3", "c": "0.25"}),
        ("05", {"c": "7"}),
    ):
        for endpoint, quantity in endpoints.items():
            rows = [("calls", hour, quantity) for hour in scene.hours(f"2026-{month}-05T07", 100)]
            scene.deliver(source, cast.ours, rows, endpoint=endpoint, region="eu")
    scene.deliver(source, cast.ours, [("calls", "2026-04-20T10", "40")], endpoint="a", region="us")
    scene.complete(cast.ours, "2026-05-10")
    return scene.bill(subscription, "2026-05-10")


def open_page(client: Any, cast: Cast, name: str, invoice: Invoice, **query: str) -> Any:
    return client.get(reverse(name, args=[cast.ours.public_id, invoice.public_id]), query)


def rows_of(response: Any) -> list[dict[str, str]]:
    assert response.status_code == 200
    return list(csv.DictReader(io.StringIO(response.content.decode())))


def text_of(response: Any) -> str:
    assert response.status_code == 200, response.content[:300]
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", response.content.decode())).split())


def test_values_add_to_the_usage_part_and_parts_to_the_bills(
    cast: Cast, signed_in: Any, bills: list[Invoice]
) -> None:
    march, april, may = bills
    client = signed_in(cast.viewer)

    for before, after in ((march, april), (april, may)):
        parts = rows_of(open_page(client, cast, "bill-difference-csv", after))
        values = rows_of(open_page(client, cast, "bill-difference-values-csv", after))

        change = Decimal(int(after.total_minor) - int(before.total_minor)) / 100
        assert sum(Decimal(part["amount"]) for part in parts) == change
        [usage] = [part for part in parts if part["effect"] == "usage"]
        for dimension in ("endpoint", "region"):
            of_dimension = [row for row in values if row["dimension"] == dimension]
            assert sum(Decimal(row["amount"]) for row in of_dimension) == Decimal(usage["amount"])
    by_endpoint = {row["value"]: row for row in values if row["dimension"] == "endpoint"}
    assert (by_endpoint["c"]["before"], by_endpoint["c"]["after"]) == ("25", "700")
    assert (by_endpoint["a"]["change"], by_endpoint["b"]["change"]) == ("-40", "-300")


def test_the_page_leads_from_the_difference_to_values_and_on_to_usage(
    cast: Cast, signed_in: Any, bills: list[Invoice]
) -> None:
    client = signed_in(cast.viewer)
    html = unescape(open_page(client, cast, "bill-difference", bills[1]).content.decode())
    [path] = set(re.findall(r'href="([^"]+/difference/values/[^"]+)"', html))

    response = client.get(path)

    text = text_of(response)
    assert "Calls, by value" in text
    assert "By endpoint" in text
    assert "meter=calls&from=2026-04-01&to=2026-04-30&dimension.endpoint=c" in unescape(
        response.content.decode()
    )
    assert text_of(open_page(client, cast, "bill-difference-values", bills[1])) == text
    assert "No usage changed" in text_of(open_page(client, cast, "bill-difference-values", bills[0]))


def test_a_meter_that_is_not_there_is_not_found(cast: Cast, signed_in: Any, bills: list[Invoice]) -> None:
    client = signed_in(cast.viewer)

    for query in ({"meter": "x"}, {"meter": "calls", "dimension.region": "eu"}, {"with": "x"}, {"meter": ""}):
        response = client.get(
            reverse("bill-difference-values", args=[cast.ours.public_id, bills[1].public_id]), query
        )
        assert response.status_code == 404, query


def test_the_change_of_plan_is_ruled(cast: Cast, signed_in: Any, bills: list[Invoice]) -> None:
    text = text_of(open_page(signed_in(cast.viewer), cast, "bill-detail", bills[1]))

    assert "255 of 720 hours" in text
    assert "17/48" in text
    assert "begin anew" in text
    assert "On First throughout" in text
    assert "20.00 USD" in text
    assert "more than on First throughout, with the same usage" in text
