"""Usage in money: page, CSV and API say what the bills say, and why there is nothing where there is nothing."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, timedelta
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
import time_machine
from django.test import Client

from accounts.tenancy import account_scope
from insights.api.cost_serializers import CostSerializer
from insights.api.explain_serializers import NextUnitPricesSerializer
from insights.notebook.operations import add_note
from insights.rating.charges import Graduated, PerUnit, Tier, Volume
from insights.rating.matrix import Cell, Matrix
from insights.rating.sheet import SheetPrice
from insights.rating.terms import PriceTerms
from insights.values.money import Money
from insights.web.cost_before import cost_before
from tests.api.test_bills import assert_shape
from tests.billing import scene
from tests.conftest import Cast
from tests.explain.cost_scene import NOW, CostWorld, lines_for, make_cost_world
from tests.factories import make_api_key, make_source, open_support_access

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("portal_db")]
PERIODS = (("2026-03-01", "2026-03-31"), ("2026-05-01", "2026-05-31"))
TIERS = (
    Tier(above=Decimal(0), up_to=Decimal(100), unit_amount=Decimal(1)),
    Tier(above=Decimal(100), up_to=None, unit_amount=Decimal("0.8")),
)


@pytest.fixture(autouse=True)
def _clock() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


def page(client: Client, cast: Cast, query: str, **options: Any) -> Any:
    return client.get(f"/a/{cast.ours.public_id}/usage/?meter=calls&measure=cost{query}", **options)


def minor_of(text: str) -> int:
    number = text.replace("\u2212", "-").replace(",", "").removesuffix(" USD")
    return int(Decimal(number) * 100)


def table_in(html: str, label: str) -> dict[str, int]:
    """The first amount of each row of a table, by the words at its head."""
    body = re.search(rf'aria-label="{label}".*?<tbody>(.*?)</tfoot>', html, re.S)
    assert body, label
    rows = re.findall(r'<th scope="row"[^>]*>(.*?)</th><td class="num">(.*?)</td>', body[1], re.S)
    return {
        " ".join(re.sub(r"<[^>]+>", " ", name).split()): minor_of(amount)
        for name, amount in rows
        if amount != "—"
    }


def sum_rows(rows: list[dict[str, str]], kind: str) -> int:
    return sum(minor_of(row["amount"]) for row in rows if row["row"] == kind and row["amount"])


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_page_csv_and_api_say_what_the_bills_say(cast: Cast, signed_in: Any, seed: int) -> None:
    world = make_cost_world(cast, seed)
    client = signed_in(cast.viewer)
    _, key = make_api_key(cast.ours, created_by=cast.owner, scopes=["usage:read", "bills:read"])

    for first, last in PERIODS:
        end = (date.fromisoformat(last) + timedelta(days=1)).isoformat()
        billed = sum(int(line.amount_minor) for line in lines_for(world, starts=first, before=end))
        for step, group in (("day", "region"), ("month", "endpoint"), ("day", "")):
            query = f"&from={first}&to={last}&granularity={step}" + (f"&group_by={group}" if group else "")
            html = page(client, cast, query).content.decode()
            check_page(html, billed, step, group)
            [link] = re.findall(r'href="([^"]+/aggregates\.csv[^"]+)"', html)
            check_csv(client.get(unescape(link)).getvalue().decode(), billed, group)
            check_api(key, f"meter=calls&measure=cost{query}", billed, group)


def check_page(html: str, billed: int, step: str, group: str) -> None:
    times = table_in(html, f"Cost by {step} in USD")
    total = times.pop("So far", None) if "So far" in times else times.pop("All together")
    assert sum(times.values()) == total == billed
    if group:
        values = table_in(html, f"Cost by {group} in USD")
        assert values.pop("All together") == sum(values.values()) == billed


def check_csv(text: str, billed: int, group: str) -> None:
    rows = list(csv.DictReader(io.StringIO(text)))
    assert sum_rows(rows, "time") == sum_rows(rows, "total") == sum_rows(rows, "shown") == billed
    if group:
        assert sum_rows(rows, "value") == billed
    parts = sum_rows(rows, "time_and_value")
    assert parts in (
        0,
        sum(minor_of(r["amount"]) for r in rows if r["row"] == "value" and r["part"] != "no_single"),
    )


def check_api(key: str, query: str, billed: int, group: str) -> None:
    response = Client().get(f"/api/v1/usage?{query}", headers={"Authorization": f"Bearer {key}"})
    assert response.status_code == 200, response.content
    [cost] = response.json()["costs"]
    assert_shape(CostSerializer(), cost)
    points = sum(minor_of(point["amount"]) for point in cost["points"] if point["amount"] is not None)
    assert minor_of(cost["amount"]) == points + minor_of(cost["no_single_point"]) == billed
    if group:
        groups = sum(minor_of(one["amount"]) for one in cost["groups"])
        assert groups + minor_of(cost["no_single_group"]) == billed
    for invoice in cost["invoices"]:
        rest = sum(minor_of(part["amount"]) for part in invoice["besides"])
        assert minor_of(invoice["shown"]) + rest == minor_of(invoice["total"])


def test_every_bill_is_linked_with_what_is_not_from_usage_in_words(cast: Cast, signed_in: Any) -> None:
    world = make_cost_world(cast, 3)

    html = page(signed_in(cast.viewer), cast, "&from=2026-03-01&to=2026-03-31").content.decode()

    assert "Fees (not from usage)" in html
    assert f"/bills/{world.invoices[0].public_id}/" in html
    assert "meter=other&amp;measure=cost" in html


def test_a_key_without_bills_sees_no_money(cast: Cast) -> None:
    scene.meters("calls", dimensions=["region"])
    _, key = make_api_key(cast.ours, created_by=cast.owner, scopes=["usage:read"])

    for path in ("usage?kind=aggregates&", "usage.csv?kind=aggregates&", "next-unit-prices?"):
        response = Client().get(
            f"/api/v1/{path}{'' if path.startswith('next') else 'meter=calls&measure=cost'}",
            headers={"Authorization": f"Bearer {key}"},
        )
        assert (response.status_code, response.json()["code"]) == (403, "permission_denied")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("measure=cost&granularity=hour", "granularity"),
        ("measure=money", "measure"),
        ("measure=cost&position=0", "position"),
        ("measure=cost&known_at=2026-05-01T00:00:00Z", "known_at"),
        ("measure=cost&kind=records", "measure"),
        ("measure=cost&measure=cost", "measure"),
    ],
)
def test_what_has_no_cost_is_refused_at_its_field(cast: Cast, signed_in: Any, query: str, field: str) -> None:
    scene.meters("calls", dimensions=["region"])
    scene.deliver(make_source(), cast.ours, [("calls", "2026-05-01", "3")], region="eu")
    _, key = make_api_key(cast.ours, created_by=cast.owner, scopes=["usage:read", "bills:read"])

    response = Client().get(f"/api/v1/usage?meter=calls&{query}", headers={"Authorization": f"Bearer {key}"})

    assert (response.status_code, response.json()["field"]) == (400, field)
    if "kind" not in query:
        html = signed_in(cast.owner).get(f"/a/{cast.ours.public_id}/usage/?meter=calls&{query}")
        assert html.status_code == 400


class TestNothing:
    def test_an_account_without_a_subscription_says_so(self, cast: Cast, signed_in: Any) -> None:
        scene.meters("calls", dimensions=["region"])
        scene.deliver(make_source(), cast.ours, [("calls", "2026-05-01", "3")], region="eu")

        html = page(signed_in(cast.viewer), cast, "").content.decode()

        assert "has no subscription, so its usage has no price" in html

    def test_a_meter_without_a_price_says_so(self, cast: Cast, signed_in: Any) -> None:
        scene.meters("calls", "other", dimensions=["region"])
        scene.make_profile(cast.ours)
        plan = scene.make_plan("plan", [scene.usage_price("other", Volume(tiers=TIERS))])
        subscription = scene.subscribe(cast.ours, plan, "2026-05-01")
        scene.deliver(make_source(), cast.ours, [("calls", "2026-05-01", "3")], region="eu")
        scene.bill(subscription, "2026-05-20")

        html = page(signed_in(cast.viewer), cast, "").content.decode()

        assert "Calls has no price in" in html

    def test_a_period_to_come_has_not_begun(self, cast: Cast, signed_in: Any) -> None:
        scene.meters("calls", dimensions=["region"])
        scene.deliver(make_source(), cast.ours, [("calls", "2026-05-01", "3")], region="eu")

        html = page(signed_in(cast.viewer), cast, "&from=2026-07-01&to=2026-07-03").content.decode()

        assert "has not begun yet" in html


class TestNextUnit:
    @pytest.fixture
    def priced(self, cast: Cast) -> Cast:
        """Sixty calls by volume and ninety others in graduated tiers, in the running period."""
        scene.meters("calls", "other", dimensions=["region"])
        scene.make_profile(cast.ours)
        prices = [
            scene.usage_price("calls", Volume(tiers=TIERS)),
            scene.usage_price("other", Graduated(tiers=TIERS), included=Decimal(10)),
        ]
        subscription = scene.subscribe(cast.ours, scene.make_plan("plan", prices), "2026-05-01")
        rows = [("calls", "2026-05-02", "60"), ("other", "2026-05-02", "90")]
        scene.deliver(make_source(), cast.ours, rows, region="eu")
        scene.bill(subscription, NOW.strftime("%Y-%m-%dT%H"))
        return cast

    def test_the_explorer_counts_down_and_warns_where_all_is_priced_anew(
        self, priced: Cast, signed_in: Any
    ) -> None:
        html = page(signed_in(priced.viewer), priced, "").content.decode()

        assert "1.00 USD for the next unit" in html
        assert "40 more unit until 0.80 USD per unit" in html
        assert "Going over it prices all 100 unit anew" in html
        assert "The next unit then changes the line by \u221219.20 USD" in html

    def test_the_overview_says_it_of_each_meter(self, priced: Cast, signed_in: Any) -> None:
        html = signed_in(priced.viewer).get(f"/a/{priced.ours.public_id}/").content.decode()

        assert "40 more unit until 0.80 USD per unit" in html
        assert "20 more unit until 0.80 USD per unit" in html

    def test_support_sees_the_same(self, priced: Cast, signed_in: Any) -> None:
        open_support_access(priced.ours, priced.staff, started_at=NOW)

        html = page(signed_in(priced.staff), priced, "").content.decode()

        assert "40 more unit until 0.80 USD per unit" in html

    def test_the_api_gives_figures_and_words(self, priced: Cast) -> None:
        _, key = make_api_key(priced.ours, created_by=priced.owner, scopes=["bills:read"])

        answer = Client().get("/api/v1/next-unit-prices", headers={"Authorization": f"Bearer {key}"}).json()

        assert_shape(NextUnitPricesSerializer(), answer)
        calls, other = answer["prices"]
        assert (calls["amount"], calls["edge"]["left"], calls["edge"]["reprices"]) == ("1", "40", "100")
        assert calls["edge"]["amount"] == "-19.2"
        assert (other["amount"], other["place"], other["edge"]["kind"], other["edge"]["tier"]) == (
            "1", 1, "tier", 2,
        )  # fmt: skip


def test_records_have_no_cost_as_a_file_either(cast: Cast, signed_in: Any) -> None:
    scene.meters("calls", dimensions=["region"])

    response = signed_in(cast.owner).get(
        f"/a/{cast.ours.public_id}/usage/records.csv?meter=calls&measure=cost"
    )

    assert response.status_code == 400
    assert "archived" not in response.content.decode()


def test_support_and_customer_see_the_same_cost(cast: Cast, signed_in: Any) -> None:
    world: CostWorld = make_cost_world(cast, 4)
    open_support_access(world.account, cast.staff, started_at=NOW)
    query = "&from=2026-03-01&to=2026-03-31&granularity=day"

    theirs, ours = (page(signed_in(one), cast, query).content.decode() for one in (cast.viewer, cast.staff))

    assert table_in(theirs, "Cost by day in USD") == table_in(ours, "Cost by day in USD")


def test_a_stranger_gets_what_an_absent_account_gets(cast: Cast, signed_in: Any) -> None:
    client = signed_in(cast.stranger)
    absent = client.get("/a/00000000-0000-4000-8000-000000000000/usage/?measure=cost")

    assert page(client, cast, "").content == absent.content


class TestBeside:
    """What stands in the chart of cost beside the cost: the period before, notes, and parts of a day."""

    @pytest.fixture
    def priced(self, cast: Cast) -> Cast:
        """Ten calls a day at a price by region, in April and until the twentieth of May; twice as many in May."""
        scene.meters("calls", dimensions=["region"])
        scene.make_profile(cast.ours)
        terms = {
            amount: PriceTerms(currency="USD", charge=PerUnit(unit_amount=Decimal(amount)), unit="unit")
            for amount in ("0.10", "0.20")
        }
        cells = tuple(
            Cell(values=(region,), terms=terms[amount]) for region, amount in (("eu", "0.10"), ("us", "0.20"))
        )
        matrix = Matrix(dimensions=("region",), cells=cells)
        price = SheetPrice(key="calls", name="Calls", meter_key="calls", matrix=matrix)
        subscription = scene.subscribe(cast.ours, scene.make_plan("plan", [price]), "2026-04-01")
        source = make_source()
        for region in ("eu", "us"):
            rows = [("calls", f"2026-04-{day:02}", "10") for day in range(1, 31)]
            rows += [("calls", f"2026-05-{day:02}", "20") for day in range(1, 20)]
            scene.deliver(source, cast.ours, rows, region=region)
        scene.complete(cast.ours, "2026-05-20T12")
        scene.bill(subscription, NOW.strftime("%Y-%m-%dT%H"))
        return cast

    def figure(self, html: str) -> dict[str, Any]:
        found = re.search(r'<script id="cost-figure-USD"[^>]*>(.*?)</script>', html, re.S)
        assert found
        return dict(json.loads(found[1]))

    def test_days_are_compared_with_those_of_the_period_before(self, priced: Cast, signed_in: Any) -> None:
        client = signed_in(priced.viewer)
        query = "&from=2026-05-01&to=2026-05-31&granularity=day"

        html = page(client, priced, query).content.decode()
        alone = page(client, priced, f"{query}&compare=none").content.decode()

        assert "its 19 complete days are 100.0\u202f% above 1 to 19 Apr 2026." in unescape(html)
        trace = self.figure(html)["data"][-1]
        assert (trace["name"], trace["y"][:2], trace["customdata"][0][:2]) == (
            "Period before",
            ["3.00", "3.00"],
            ["3.00 USD", "1 Apr 2026"],
        )
        assert "Period before" in html.partition("<table")[2]
        assert re.search(r"<tfoot>.*?>60\.00\sUSD</td>.*?</tfoot>", html)
        legend = re.findall(r"<ul class=\"legend\">.*?</ul>", html, re.S)[0]
        assert [text.strip() for text in re.findall(r"<b[^>]*>([^<]*)</b>", legend)] == [
            "This period: bars", "Period before: dotted line",
        ]  # fmt: skip
        assert "Period before" not in alone
        assert "This period: bars" not in alone

    def test_what_is_over_is_compared_as_a_whole_though_the_period_before_is_shorter(
        self, priced: Cast, signed_in: Any
    ) -> None:
        """October against September is all 31 days against all 30, as in units."""
        client, query = signed_in(priced.viewer), "&from=2026-05-01&to=2026-05-10&granularity=day"
        html = page(client, priced, query).content.decode()
        answer = page(client, priced, f"{query}&compare=none").context["cost"]["answer"]
        [one] = answer.currencies
        shorter = replace(answer, currencies=(replace(one, buckets=one.buckets[:8]),))

        found = cost_before(one, shorter, zone=UTC, now=NOW)

        assert "100.0\u202f% more than 21 to 30 Apr 2026." in unescape(html)
        assert found is not None
        assert found.change == Decimal("0.25")
        assert found.words == "25.0\u202f% more than 1 to 8 May 2026"

    @pytest.mark.parametrize("side", ["shown", "before"])
    def test_what_has_no_day_is_not_compared_with_days(self, priced: Cast, signed_in: Any, side: str) -> None:
        query = "&from=2026-05-01&to=2026-05-31&granularity=day&compare=none"
        answer = page(signed_in(priced.viewer), priced, query).context["cost"]["answer"]
        [one] = answer.currencies
        without_days = replace(one, undated=Money(100, "USD"))
        parts = (without_days, one) if side == "shown" else (one, without_days)

        compared = cost_before(one, answer, zone=UTC, now=NOW)
        found = cost_before(parts[0], replace(answer, currencies=(parts[1],)), zone=UTC, now=NOW)

        assert compared is not None
        assert compared.words.startswith("its 19 complete days are level with")
        assert found is not None
        assert (found.change, found.words) == (None, "")

    def test_days_are_stacked_where_each_line_is_for_one_value(self, priced: Cast, signed_in: Any) -> None:
        query = "&from=2026-05-01&to=2026-05-31&granularity=day&group_by=region&compare=none"

        figure = self.figure(page(signed_in(priced.viewer), priced, query).content.decode())

        assert figure["layout"]["barmode"] == "stack"
        assert {trace["name"]: trace["y"][0] for trace in figure["data"]} == {"us": "4.00", "eu": "2.00"}

    def test_notes_stand_in_the_chart_and_under_it(self, priced: Cast, signed_in: Any) -> None:
        with account_scope(priced.ours.pk, user_id=priced.viewer.pk):
            add_note(
                account=priced.ours,
                at=scene.instant("2026-05-04T10"),
                text="released v2",
                author=priced.viewer,
            )

        html = page(signed_in(priced.viewer), priced, "&from=2026-05-01&to=2026-05-31").content.decode()

        marks = [trace for trace in self.figure(html)["data"] if trace["name"] == "Note"]
        assert [trace["customdata"] for trace in marks] == [[["released v2"]]]
        assert "released v2" in html.partition('id="notes"')[2]

    def test_the_overview_says_where_no_bill_runs(self, cast: Cast, signed_in: Any) -> None:
        scene.meters("calls", dimensions=["region"])
        scene.deliver(make_source(), cast.ours, [("calls", "2026-05-02", "1")], region="eu")

        html = signed_in(cast.viewer).get(f"/a/{cast.ours.public_id}/").content.decode()

        assert "No bill runs, so this usage has no amount and none is expected." in html
