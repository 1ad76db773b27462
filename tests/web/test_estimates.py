"""The page that says what something would cost: the figures of the API, an address to keep, and strict fields."""

from __future__ import annotations

import csv
import io
import json
import re
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
import time_machine
from django.urls import reverse

from accounts.tenancy import as_worker
from insights.models import Plan
from tests import factories
from tests.billing.estimates import NOW, make_asking, make_plans
from tests.billing.scene import bill, change_plan, complete, deliver, instant, make_profile, meters
from tests.conftest import Cast

pytestmark = pytest.mark.database


@pytest.fixture(autouse=True)
def at_noon() -> Any:
    with time_machine.travel(instant(NOW), tick=False):
        yield


def page(client: Any, cast: Cast, query: str = "", *, status: int = 200) -> str:
    response = client.get(reverse("estimate", args=[cast.ours.public_id]) + query)
    assert response.status_code == status, response.content[:500]
    text = " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())
    return re.sub(r" ([.,])", r"\1", text)


def test_periods_stand_side_by_side_with_steps(cast: Cast, signed_in: Any) -> None:
    make_asking(cast.ours, cast.other)

    text = page(signed_in(cast.viewer), cast, "?plan=growth&periods=3&prices=then")

    assert (
        "On Growth the last 3 closed periods come to 107.10 USD, 34.51 USD more than the 72.59 USD billed"
        in text
    )
    assert "Tier 2, above 100: 20 unit at 0.05 USD" in text
    assert "Lifted from 29.70 USD to the minimum of 30.00 USD" in text or "Up to the minimum" in text
    assert "Left out on both: credits" in text


def test_the_chart_and_the_tables_have_their_periods_in_one_order(cast: Cast, signed_in: Any) -> None:
    make_asking(cast.ours, cast.other)
    address = reverse("estimate", args=[cast.ours.public_id])

    html = unescape(signed_in(cast.viewer).get(f"{address}?plan=growth&periods=3").content.decode())

    drawn = json.loads(re.findall(r'<script id="estimate-figure"[^>]*>(.*?)</script>', html, re.S)[0])[
        "data"
    ][0]["x"]
    listed = re.findall(r'<tr><th scope="row">(\w+ 2026)</th><td class="nowrap" data-label="Bill">', html)
    headed = re.findall(r"<h2 id=\"period-[0-9]+\">(\w+ 2026) on Growth</h2>", html)
    assert listed == headed == drawn == ["January 2026", "February 2026", "March 2026"]


def test_what_the_bill_itself_came_to_stands_beside_where_it_is_another_amount(
    cast: Cast, signed_in: Any
) -> None:
    make_asking(cast.ours, cast.other, credit_minor=500)

    text = page(signed_in(cast.viewer), cast, "?plan=basic&periods=3&prices=then")

    assert text.count("the bill came to 29.75 USD") == text.count("the bill came to") == 1


def test_the_form_offers_what_the_account_may_have(cast: Cast, signed_in: Any) -> None:
    make_asking(cast.ours, cast.other)

    client = signed_in(cast.viewer)
    of_periods, of_quantities = page(client, cast), page(client, cast, "?from=quantities")

    # For closed periods those that could have billed them, for typed quantities those in other money and time too.
    assert _offered(of_periods) == ["Basic, USD", "Growth, USD", "Ours, USD", "Seats, USD"]
    assert _offered(of_quantities) == [
        *_offered(of_periods)[:1],
        "Euro, EUR",
        *_offered(of_periods)[1:],
        "Yearly, USD",
    ]


def _offered(text: str) -> list[str]:
    names = ("Basic", "Euro", "Growth", "Ours", "Retired", "Seats", "Theirs", "Yearly")
    return re.findall(rf"(?:{'|'.join(names)}), [A-Z]{{3}}", text)


def test_staff_are_offered_every_plan(cast: Cast, signed_in: Any) -> None:
    make_asking(cast.ours, cast.other)
    factories.open_support_access(cast.ours, cast.staff, started_at=instant(NOW))

    text = page(signed_in(cast.staff), cast, "?plan=theirs&periods=1")

    assert "On Theirs the last closed period comes to 2.38 USD" in text


def test_quantities_are_typed_into_a_field_for_each_part_of_a_price(cast: Cast, signed_in: Any) -> None:
    make_asking(cast.ours, cast.other)
    client = signed_in(cast.viewer)
    address = reverse("estimate", args=[cast.ours.public_id])

    fields = client.get(f"{address}?from=quantities&plan=growth").content.decode()
    assert 'name="quantity.bytes:region=eu"' in fields
    assert 'name="quantity.bytes"' in fields
    assert "Bytes, everything else" in fields
    text = page(
        client,
        cast,
        "?from=quantities&plan=growth&quantity.requests=120&quantity.bytes:region%3Deu=20"
        "&quantity.bytes%3Aregion%3Dus=10&quantity.bytes=10",
    )
    assert "On Growth these quantities come to 35.70 USD in a whole period." in text


@pytest.mark.parametrize(
    "query",
    [
        "?plan=theirs&periods=1",
        "?plan=growth&periods=99",
        "?plan=growth&periods=1&periods=2",
        "?plan=growth&periods=1&else=2",
        "?plan=%ff",
        "?from=quantities&plan=growth&quantity.requests=-1",
        "?from=quantities&plan=growth&quantity.requests=NaN",
        "?from=quantities&plan=growth&quantity.requests=" + "9" * 3000,
        "?from=quantities&plan=growth&quantity.doors=1",
        "?from=quantities&plan=growth&quantity.requests=1&prices=now",
        "?from=quantities&plan=growth&quantity.requests=1&periods=1",
        "?from=quantities&plan=growth&quantity.requests=1&subscription=00000000-0000-4000-8000-000000000000",
        "?plan=growth&periods=1&quantity.requests=1",
        "?from=quantities&plan=growth&quantity.bytes:colour%3Dred=1",
        "?from=quantities&plan=growth&" + "&".join(f"quantity.m{n}=1" for n in range(1500)),
        "?" + "&".join(f"a{n}=1" for n in range(3000)),
    ],
)
def test_a_question_without_an_answer_is_refused_in_words(cast: Cast, signed_in: Any, query: str) -> None:
    meters("requests")
    meters("bytes", dimensions=["region"])
    make_profile(cast.ours)
    make_plans(cast.ours, cast.other)
    client = signed_in(cast.viewer)

    assert "Nothing was estimated." in page(client, cast, query, status=400)
    answer = client.get(reverse("estimate-csv", args=[cast.ours.public_id]) + query)
    led_to = reverse("estimate", args=[cast.ours.public_id]) + (query if len(query) < 1500 else "")
    assert (answer.status_code, answer.url) == (302, led_to)


def test_closed_periods_have_a_field_for_each_counted_fee(cast: Cast, signed_in: Any) -> None:
    make_asking(cast.ours, cast.other)
    client = signed_in(cast.viewer)
    address = reverse("estimate", args=[cast.ours.public_id])

    empty = client.get(f"{address}?plan=seats&periods=1").content.decode()
    seven = page(client, cast, "?plan=seats&periods=1&count.seats=7")

    assert re.search(r'<input [^>]*name="count.seats" value="" placeholder="1"', empty)
    assert 'name="count.' not in client.get(f"{address}?plan=growth&periods=1").content.decode()
    assert "Fees that are counted: 1 \u00d7 Seats." in unescape(empty)
    assert "Fees that are counted: 7 \u00d7 Seats." in seven
    assert "58.31 USD" in seven, "7 times 7 USD with 19 % of tax"


def test_a_count_that_is_left_empty_is_the_one_that_was_billed(cast: Cast, signed_in: Any) -> None:
    asking = make_asking(cast.ours, cast.other)
    with as_worker():
        seats = Plan.objects.get(key="seats")
    change_plan(asking.subscription, seats, "2026-04-01", counts={"seats": "12"})
    deliver(factories.make_source("april"), cast.ours, [("bytes", "2026-04-02", "0")])
    complete(cast.ours, "2026-05-02")
    bill(asking.subscription, "2026-05-02")
    with time_machine.travel(instant("2026-05-02T12"), tick=False):
        html = (
            signed_in(cast.viewer)
            .get(reverse("estimate", args=[cast.ours.public_id]) + "?plan=seats&periods=1&prices=now")
            .content.decode()
        )

    assert re.findall(r'name="count.seats" value="[^"]*" placeholder="([^"]*)"', html) == ["12"]
    assert "Fees that are counted: 12 \u00d7 Seats." in unescape(html)


def test_a_change_of_plan_has_one_figure_and_each_page_leads_to_the_others(
    cast: Cast, signed_in: Any
) -> None:
    asking = make_asking(cast.ours, cast.other)
    with as_worker():
        growth = Plan.objects.get(key="growth")
    change_plan(asking.subscription, growth, "2026-04-15")
    deliver(
        factories.make_source("april"),
        cast.ours,
        [("bytes", "2026-04-02", "77"), ("bytes", "2026-04-20", "33")],
    )
    complete(cast.ours, "2026-05-02")
    april = bill(asking.subscription, "2026-05-02")[len(asking.invoices)]
    with time_machine.travel(instant("2026-05-02T12"), tick=False):
        client = signed_in(cast.viewer)
        of_bill = reverse("bill-detail", args=[cast.ours.public_id, april.public_id])
        html = unescape(client.get(of_bill).content.decode())
        difference = f"{of_bill}difference/"
        rows = csv.DictReader(io.StringIO(client.get(f"{of_bill}difference.csv").content.decode()))
        compared = unescape(client.get(difference).content.decode())
        [whole_bills] = re.findall(
            rf'href="({reverse("estimate", args=[cast.ours.public_id])}\?[^"]+)"', html
        )
        estimate = unescape(client.get(whole_bills).content.decode())

    [size, way] = re.findall(r"With the change these lines come to ([0-9.]+) USD (more|less)", html)[0]
    change = sum(Decimal(row["amount"]) for row in rows if row["effect"] == "plan_change")
    assert change == (Decimal(size) if way == "more" else -Decimal(size)) != 0
    assert f'href="{difference}"' in html
    assert f'href="{of_bill}#segments-heading"' in compared
    assert f'href="{whole_bills}"' in compared
    assert f'href="{of_bill}#segments-heading"' in estimate
    assert "on Basic the last closed period" in estimate or "On Basic the last closed period" in estimate


def test_without_plans_the_page_says_so(cast: Cast, signed_in: Any) -> None:
    assert "No plan to ask about" in page(signed_in(cast.viewer), cast)


def test_the_file_adds_up(cast: Cast, signed_in: Any) -> None:
    make_asking(cast.ours, cast.other)
    query = "?plan=growth&periods=3"

    response = signed_in(cast.viewer).get(reverse("estimate-csv", args=[cast.ours.public_id]) + query)

    rows = list(csv.DictReader(io.StringIO(response.content.decode())))
    lines = [row for row in rows if row["row"] == "line"]
    for side, total in (("billed", "72.59"), ("estimate", "107.10")):
        assert sum(Decimal(row["amount"]) for row in lines if row["side"] == side) == Decimal(total)
        assert [row["amount"] for row in rows if (row["row"], row["side"]) == ("total", side)] == [total]
    assert [row["amount"] for row in rows if (row["row"], row["side"]) == ("total", "difference")] == [
        "34.51"
    ]
