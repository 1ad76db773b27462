"""A line proves itself: its days, values and records add to it, and it comes out the same again."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
import time_machine
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import Account
from accounts.tenancy import account_scope, as_owner, as_worker
from insights.billing.bill import Bill
from insights.billing.bill_queries import get_bill
from insights.billing.override_operations import set_override
from insights.explain.day_stack import DayStack
from insights.explain.line_proof import LineProof, Verdict
from insights.explain.line_queries import prove_line, prove_line_by_value
from insights.explain.tier_bars import tier_bars
from insights.models import Invoice, LineItem, Meter, Source
from insights.rating.charges import Graduated, Percentage, PerUnit, Tier
from insights.rating.invoice import LineKind
from insights.rating.matrix import Cell, Matrix
from insights.rating.sheet import SheetPrice
from insights.rating.terms import Conversion, PriceTerms
from insights.values.money import sum_money
from insights.values.step import StepKind
from tests.billing import scene
from tests.conftest import Cast
from tests.factories import make_source

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("portal_db")]
NOW = datetime(2026, 4, 20, tzinfo=UTC)
TIERS = Graduated(
    tiers=(
        Tier(above=Decimal(0), up_to=Decimal(50), unit_amount=Decimal("0.013")),
        Tier(above=Decimal(50), up_to=Decimal(120), unit_amount=Decimal("0.007")),
        Tier(above=Decimal(120), up_to=None, unit_amount=Decimal("0.0011"), flat_amount=Decimal("0.5")),
    )
)


@pytest.fixture
def world(cast: Cast) -> Cast:
    """Ansel is billed by the month for meters of every aggregation, in Berlin's days."""
    with as_owner():
        Account.objects.filter(pk=cast.ours.pk).update(billing_zone="Europe/Berlin")
    cast.ours.billing_zone = "Europe/Berlin"
    scene.make_profile(cast.ours)
    return cast


def proofs_of(account: Account, invoice: Invoice) -> tuple[Bill, list[LineProof]]:
    with account_scope(account.pk, read_only=True):
        bill = get_bill(account, public_id=invoice.public_id, now=NOW)
        assert bill is not None
        found = [prove_line(account, bill, position=line.position, now=NOW) for line in bill.lines]
    return bill, [proof for proof in found if proof is not None]


def stacks_of(account: Account, invoice: Invoice) -> list[tuple[LineProof, DayStack | None]]:
    with account_scope(account.pk, read_only=True):
        bill = get_bill(account, public_id=invoice.public_id, now=NOW)
        assert bill is not None
        found = [prove_line_by_value(account, bill, position=line.position, now=NOW) for line in bill.lines]
    return [one for one in found if one is not None and one[0].line.meter_key]


def check(proof: LineProof) -> None:
    """What every line for usage keeps."""
    line = proof.line
    assert proof.recheck is not None
    assert proof.recheck.verdict is Verdict.EQUAL, line.name
    assert proof.recheck.records == proof.records
    if proof.adds_over_time:
        amounts = [day.amount for day in proof.days if day.amount is not None]
        assert sum_money(amounts, line.amount.currency) == line.amount, line.name
        assert sum(day.quantity or 0 for day in proof.days) == line.metered_quantity
        assert not proof.days or proof.days[-1].running == line.amount
    for dimension in proof.dimensions:
        shown = dimension.shown()
        if all(part.amount is not None for part in shown) and shown:
            assert sum_money([part.amount for part in shown if part.amount], "USD") == line.amount
        if proof.adds_over_time:
            assert sum(part.records for part in dimension.values) == proof.records


def usage_rows(start: str, count: int, meter: str, quantity: str = "1.25") -> list[tuple[str, str, str]]:
    return [(meter, hour, quantity) for hour in scene.hours(start, count)]


@pytest.mark.parametrize(
    "aggregation", ["sum", "count", "time_weighted_sum", "unique_count", "max", "latest"]
)
def test_every_aggregation_comes_out_the_same_with_a_plan_change_inside_a_day(
    world: Cast, aggregation: str
) -> None:
    unique = {"unique_dimensions": ["endpoint"]} if aggregation == "unique_count" else {}
    scene.meters("calls", aggregation=aggregation, dimensions=["endpoint", "region"], **unique)
    unit = "unit hours" if aggregation == "time_weighted_sum" else "unit"
    first = scene.make_plan("first", [scene.usage_price("calls", TIERS, unit=unit, included=Decimal(7))])
    second = scene.make_plan(
        "second", [scene.usage_price("calls", PerUnit(unit_amount=Decimal("0.0333")), unit=unit)]
    )
    subscription = scene.subscribe(world.ours, first, "2026-02-28T23", anchor="2026-03-01")
    scene.change_plan(subscription, second, "2026-03-11T15")
    source = make_source()
    for number, endpoint in enumerate(("a", "b", "c")):
        rows = usage_rows("2026-03-05T07", 200 + 20 * number, "calls", f"{number + 1}.5")
        scene.deliver(source, world.ours, rows, endpoint=endpoint, region="eu")
    scene.complete(world.ours, "2026-04-01")

    invoice, *_ = scene.bill(subscription, "2026-04-10")
    _, proofs = proofs_of(world.ours, invoice)

    of_usage = [proof for proof in proofs if proof.line.meter_key]
    assert len(of_usage) == 2
    for proof in of_usage:
        check(proof)
    for proof, stack in stacks_of(world.ours, invoice):
        assert proof in of_usage
        # Peaks, latest values and distinct windows are no sum of their values.
        assert (stack is not None) == (aggregation in ("sum", "count", "time_weighted_sum", "unique_count"))
        for day in proof.days if stack else ():
            assert stack is not None
            parts = [value.quantities[day.slot] or 0 for value in stack.values]
            assert sum(parts) == (day.quantity or 0)


def test_lines_by_value_share_the_usage_and_leave_what_is_not_charged(world: Cast) -> None:
    scene.meters("bytes", unit="B", dimensions=["region", "protocol"])
    gigabytes = Conversion(unit="GB", units_per=Decimal(10) ** 9)

    def terms(amount: str) -> PriceTerms:
        return PriceTerms(
            currency="USD", charge=PerUnit(unit_amount=Decimal(amount)), unit="B", conversion=gigabytes
        )

    matrix = Matrix(
        dimensions=("region",),
        cells=(Cell(values=("eu",), terms=terms("0.09")), Cell(values=("us",), terms=terms("0.05"))),
        catch_all=terms("0.2"),
    )
    price = SheetPrice(key="bytes", name="Data out", meter_key="bytes", matrix=matrix)
    subscription = scene.subscribe(
        world.ours, scene.make_plan("plan", [price]), "2026-02-28T23", anchor="2026-03-01"
    )
    source, free = make_source(), make_source("lab")
    with as_owner():
        Source.objects.filter(pk=free.pk).update(billable=False)
    for region in ("eu", "us", "ap", "sa"):
        for protocol in ("https", "tcp"):
            rows = usage_rows("2026-03-05T07", 30, "bytes", "123456789.5")
            scene.deliver(source, world.ours, rows, region=region, protocol=protocol)
    scene.deliver(
        free, world.ours, usage_rows("2026-03-05T07", 5, "bytes", "99"), region="eu", protocol="tcp"
    )
    scene.complete(world.ours, "2026-04-01")

    invoice, *_ = scene.bill(subscription, "2026-04-10")
    _, proofs = proofs_of(world.ours, invoice)

    by_values = {tuple(proof.line.values.values()): proof for proof in proofs if proof.line.meter_key}
    assert set(by_values) == {("eu",), ("us",), ()}
    for proof in by_values.values():
        check(proof)
    assert by_values["eu",].records == 60
    assert [part.value for part in by_values[()].dimensions[0].values] == ["ap", "sa"]
    assert [other.position for other in by_values[()].neighbours] == [
        by_values["eu",].line.position,
        by_values["us",].line.position,
    ]


def test_usage_without_a_cell_is_on_no_line_and_breaks_none(world: Cast) -> None:
    scene.meters("calls", dimensions=["region"])
    terms = PriceTerms(currency="USD", charge=PerUnit(unit_amount=Decimal("0.5")), unit="unit")
    matrix = Matrix(dimensions=("region",), cells=(Cell(values=("eu",), terms=terms),))
    price = SheetPrice(key="calls", name="Calls", meter_key="calls", matrix=matrix)
    subscription = scene.subscribe(
        world.ours, scene.make_plan("plan", [price]), "2026-02-28T23", anchor="2026-03-01"
    )
    source = make_source()
    scene.deliver(source, world.ours, usage_rows("2026-03-05T07", 4, "calls"), region="eu")
    scene.complete(world.ours, "2026-03-06")
    invoice, *_ = scene.bill(subscription, "2026-03-06")
    scene.deliver(source, world.ours, usage_rows("2026-03-05T07", 4, "calls"), region="us")

    _, [proof] = proofs_of(world.ours, invoice)

    check(proof)
    assert proof.records == 4


def test_a_meter_that_got_a_new_version_inside_the_period_comes_out_the_same(world: Cast) -> None:
    [first] = scene.meters("calls", dimensions=["endpoint"])
    price = scene.usage_price("calls", TIERS, included=Decimal(7))
    subscription = scene.subscribe(
        world.ours, scene.make_plan("plan", [price]), "2026-02-28T23", anchor="2026-03-01"
    )
    source = make_source()
    with as_owner():
        Meter.objects.filter(pk=first.pk).update(retired_at=scene.instant("2026-03-16"))
        Meter.objects.create(
            key="calls", version=2, name="Calls", unit="unit", grain_seconds=3600, dimensions=["endpoint"],
        )  # fmt: skip
    scene.deliver(source, world.ours, usage_rows("2026-03-05T07", 60, "calls"), endpoint="a")
    scene.deliver(source, world.ours, usage_rows("2026-03-20T07", 70, "calls"), endpoint="a")
    scene.complete(world.ours, "2026-04-01")

    invoice, *_ = scene.bill(subscription, "2026-04-10")
    _, proofs = proofs_of(world.ours, invoice)

    of_usage = [proof for proof in proofs if proof.line.meter_key]
    assert [proof.records for proof in of_usage] == [60, 70]
    for proof in of_usage:
        check(proof)


def test_a_count_is_charged_with_the_first_version_only(world: Cast) -> None:
    """A percentage takes each count once, whatever number of versions its meter had, and so does the recheck."""
    [first, _] = scene.meters("volume", "calls", unit="USD")
    fees = Percentage(percent=Decimal("1.5"), fixed_amount=Decimal("0.3"), count_meter="calls")
    plan = scene.make_plan("plan", [scene.usage_price("volume", fees, unit="USD")])
    subscription = scene.subscribe(world.ours, plan, "2026-02-28T23", anchor="2026-03-01")
    with as_owner():
        Meter.objects.filter(pk=first.pk).update(retired_at=scene.instant("2026-03-16"))
        Meter.objects.create(key="volume", version=2, name="Volume", unit="USD", grain_seconds=3600)
    source = make_source()
    scene.deliver(source, world.ours, usage_rows("2026-03-05T07", 6, "volume"))
    scene.deliver(source, world.ours, usage_rows("2026-03-20T07", 7, "volume"))
    scene.deliver(source, world.ours, usage_rows("2026-03-20T07", 3, "calls", "1"))
    scene.complete(world.ours, "2026-04-01")

    invoice, *_ = scene.bill(subscription, "2026-04-10")
    _, proofs = proofs_of(world.ours, invoice)

    of_usage = [proof for proof in proofs if proof.line.meter_key]
    assert [proof.records for proof in of_usage] == [6, 7]
    assert invoice.state == "issued"
    for proof in of_usage:
        check(proof)


def test_a_price_of_its_own_that_began_inside_the_period_has_its_own_cells(world: Cast) -> None:
    """Away and back to one version of a plan, with a price of its own since: other lines, other cells."""
    scene.meters("bytes", dimensions=["region"])
    terms = PriceTerms(currency="USD", charge=PerUnit(unit_amount=Decimal("0.1")), unit="unit")
    matrix = Matrix(dimensions=("region",), cells=(Cell(values=("eu",), terms=terms),), catch_all=terms)
    price = SheetPrice(key="bytes", name="Data out", meter_key="bytes", matrix=matrix)
    plan = scene.make_plan("plan", [price])
    subscription = scene.subscribe(world.ours, plan, "2026-02-28T23", anchor="2026-03-01")
    scene.change_plan(subscription, scene.make_plan("other", [price]), "2026-03-10")
    scene.change_plan(subscription, plan, "2026-03-12")
    own = """
[[cells]]
values = { region = "us" }
model = "per_unit"
unit_amount = "0.01"

[otherwise]
model = "per_unit"
unit_amount = "0.03"
"""
    with as_worker():
        set_override(
            account_id=world.ours.pk, plan_key="plan", price_key="bytes", toml=own, ends_at=None, reason="agreed",
            starts_at=scene.instant("2026-03-11"), by=None,
        )  # fmt: skip
    source = make_source()
    for region in ("eu", "us"):
        for day in ("2026-03-05", "2026-03-11", "2026-03-20"):
            scene.deliver(source, world.ours, usage_rows(day, 5, "bytes"), region=region)
    scene.complete(world.ours, "2026-04-01")

    invoice, *_ = scene.bill(subscription, "2026-04-10")
    bill, proofs = proofs_of(world.ours, invoice)

    again = [line for line in bill.lines if line.service_start == scene.instant("2026-03-12")]
    assert {tuple(line.values.values()): line.billed_quantity for line in again} == {
        ("us",): 5 * Fraction("1.25"),
        (): 5 * Fraction("1.25"),
    }
    for proof in proofs:
        check(proof)


def test_tiers_are_drawn_as_the_line_had_them(world: Cast) -> None:
    scene.meters("calls")
    plan = scene.make_plan("plan", [scene.usage_price("calls", TIERS)])
    subscription = scene.subscribe(world.ours, plan, "2026-02-28T23", anchor="2026-03-01")
    scene.change_plan(
        subscription,
        scene.make_plan("other", [scene.usage_price("calls", TIERS)]),
        "2026-03-16T10",
        policy="shared_by_time",
    )
    source = make_source()
    scene.deliver(source, world.ours, usage_rows("2026-03-05T07", 60, "calls"))
    scene.complete(world.ours, "2026-04-01")

    invoice, *_ = scene.bill(subscription, "2026-04-10")
    _, [proof, *_] = proofs_of(world.ours, invoice)

    steps = {step.tier: (step.above, step.up_to) for step in proof.line.steps if step.kind is StepKind.TIER}
    bars = {bar.number: (bar.above, bar.up_to) for bar in tier_bars(proof.line)}
    assert steps
    assert steps.items() <= bars.items()


def late_scene(world: Cast) -> tuple[Invoice, Invoice]:
    """March issued, then two days of it changed, which April's bill corrects."""
    scene.meters("calls", dimensions=["endpoint"])
    plan = scene.make_plan("plan", [scene.usage_price("calls", TIERS, included=Decimal(5))])
    subscription = scene.subscribe(world.ours, plan, "2026-02-28T23", anchor="2026-03-01")
    source = make_source()
    scene.deliver(source, world.ours, usage_rows("2026-03-03T00", 60, "calls"), endpoint="a")
    scene.complete(world.ours, "2026-04-01")
    scene.bill(subscription, "2026-04-10")
    scene.deliver(source, world.ours, usage_rows("2026-03-04T00", 30, "calls"), endpoint="late")
    scene.complete(world.ours, "2026-05-01")
    march, april, *_ = scene.bill(subscription, "2026-05-10")
    return march, april


def test_an_issued_line_stays_proved_when_usage_comes_late_and_says_what_came(world: Cast) -> None:
    march, _ = late_scene(world)

    _, [proof] = proofs_of(world.ours, march)

    check(proof)
    assert proof.recheck is not None
    assert proof.recheck.since == Decimal("37.5")
    assert proof.recheck.records_now - proof.recheck.records == 30


@pytest.mark.parametrize(("start", "is_late"), [("2026-03-10T00", True), ("2026-04-02T00", False)])
def test_only_what_came_of_the_lines_own_days_is_looked_for_among_records(
    world: Cast, start: str, is_late: bool
) -> None:
    scene.meters("calls", dimensions=["endpoint"])
    plan = scene.make_plan("plan", [scene.usage_price("calls", TIERS)])
    subscription = scene.subscribe(world.ours, plan, "2026-02-28T23", anchor="2026-03-01")
    source = make_source()
    scene.deliver(source, world.ours, usage_rows("2026-03-03T00", 60, "calls"), endpoint="a")
    scene.complete(world.ours, "2026-04-01")
    march, *_ = scene.bill(subscription, "2026-04-10")
    scene.deliver(source, world.ours, usage_rows(start, 30, "calls"), endpoint="a")

    with CaptureQueriesContext(connections["default"]) as statements:
        _, [proof] = proofs_of(world.ours, march)

    check(proof)
    assert proof.recheck is not None
    assert bool(proof.recheck.since) is is_late
    assert any("insights_usagerecord" in one["sql"] for one in statements.captured_queries) is is_late


def test_a_correction_is_made_of_the_days_that_changed(world: Cast) -> None:
    _, april = late_scene(world)

    _, proofs = proofs_of(world.ours, april)

    [correction] = [proof for proof in proofs if proof.line.kind is LineKind.CORRECTION]
    assert [day.slot.day.day for day in correction.days][:2] == [4, 5]
    quantities = [(day.quantity or 0) - (day.before or 0) for day in correction.days]
    assert sum(quantities) == correction.line.metered_quantity == Decimal("37.5")
    assert sum_money([day.amount for day in correction.days if day.amount], "USD") == correction.line.amount
    assert correction.recheck is None


def test_a_tampered_line_is_not_called_equal(world: Cast) -> None:
    march, _ = late_scene(world)
    [line] = scene.lines_of(march)
    with as_owner(), transaction.atomic(using="owner"):
        draft = Invoice.objects.filter(subscription=march.subscription_id).exclude(state="issued").get()
        LineItem.objects.filter(invoice=draft, meter_key="calls").update(
            metered_quantity=line.metered_quantity
        )

    _, proofs = proofs_of(world.ours, draft)

    [changed] = [proof for proof in proofs if proof.line.kind is LineKind.CHARGE]
    assert changed.recheck is not None
    assert changed.recheck.verdict is Verdict.DIFFERENT


class TestPages:
    def get(
        self, client: Any, world: Cast, name: str, invoice: Invoice, position: int, query: str = ""
    ) -> Any:
        with time_machine.travel(NOW, tick=False):
            return client.get(reverse(name, args=[world.ours.public_id, invoice.public_id, position]) + query)

    def test_the_page_says_equal_and_names_what_came_since(self, world: Cast, signed_in: Any) -> None:
        march, _ = late_scene(world)

        text = self.get(signed_in(world.viewer), world, "bill-line", march, 1).content.decode()

        assert "<strong>Equal.</strong>" in text
        assert "60 records as known when the bill was made add to 75" in text
        assert "Since then 37.5" in text

    def test_days_are_stacked_by_the_values_that_add_to_them(self, world: Cast, signed_in: Any) -> None:
        scene.meters("bytes", unit="B", dimensions=["region"])
        price = scene.usage_price("bytes", PerUnit(unit_amount=Decimal("0.01")), unit="B")
        subscription = scene.subscribe(
            world.ours, scene.make_plan("plan", [price]), "2026-02-28T23", anchor="2026-03-01"
        )
        source = make_source()
        regions = [f"r{number}" for number in range(1, 11)]
        for number, region in enumerate(regions, 1):
            rows = usage_rows("2026-03-05T07", 40, "bytes", str(number))
            scene.deliver(source, world.ours, rows, region=region)
        scene.complete(world.ours, "2026-04-01")
        invoice, *_ = scene.bill(subscription, "2026-04-10")

        html = self.get(signed_in(world.viewer), world, "bill-line", invoice, 1).content.decode()

        drawn = json.loads(re.findall(r'<script id="line-days"[^>]*>(.*?)</script>', html, re.S)[0])
        names = [trace["name"] for trace in drawn["data"]]
        assert names == [*regions[:2:-1], "3 others"]
        for number, whole in enumerate(drawn["points"]["wholes"]):
            parts = [Decimal(trace["quantities"][number] or 0) for trace in drawn["data"]]
            assert sum(parts) == Decimal(whole or 0)
        assert "stacked by region" in html
        assert all(f">{name}</b>" in html for name in names)

    def test_the_records_add_to_the_line(self, world: Cast, signed_in: Any) -> None:
        march, _ = late_scene(world)

        response = self.get(signed_in(world.viewer), world, "bill-line-records-csv", march, 1)
        rows = list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode())))

        assert len(rows) == 60
        assert sum(Decimal(row["quantity"]) for row in rows) == Decimal(75)

    def test_records_are_listed_in_pages_that_leave_none_out(self, world: Cast, signed_in: Any) -> None:
        march, _ = late_scene(world)
        client = signed_in(world.viewer)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("insights.web.bill_line_records.RECORDS_PER_PAGE", 25)
            query, seen = "", 0
            while True:
                response = self.get(client, world, "bill-line-records", march, 1, query)
                seen += len(response.context["records"])
                query = response.context["page"]["next_url"]
                if not query:
                    break

        assert seen == 60

    def test_days_and_values_as_files_add_to_the_line(self, world: Cast, signed_in: Any) -> None:
        march, _ = late_scene(world)
        client = signed_in(world.viewer)
        [line] = scene.lines_of(march)

        for name in ("bill-line-days-csv", "bill-line-values-csv"):
            body = self.get(client, world, name, march, 1).content.decode()
            rows = list(csv.DictReader(io.StringIO(body)))
            assert sum(Decimal(row["amount"]) for row in rows) * 100 == line.amount_minor

    @pytest.mark.parametrize("place", ["x", "1", "1~2", "a~20260301T000000Z~", "1~20261301T000000Z~", "~~"])
    def test_a_place_nobody_wrote_is_refused(self, world: Cast, signed_in: Any, place: str) -> None:
        march, _ = late_scene(world)

        response = self.get(signed_in(world.viewer), world, "bill-line-records", march, 1, f"?after={place}")

        assert response.status_code == 400

    def test_a_line_there_is_not_is_not_found(self, world: Cast, signed_in: Any) -> None:
        march, _ = late_scene(world)

        for name in ("bill-line", "bill-line-records", "bill-line-days-csv", "bill-line-records-csv"):
            assert self.get(signed_in(world.viewer), world, name, march, 99).status_code == 404


def test_a_fee_has_steps_and_no_days(world: Cast) -> None:
    plan = scene.make_plan("plan", [scene.fee("base", "10.00")])
    subscription = scene.subscribe(world.ours, plan, "2026-02-28T23", anchor="2026-03-01")
    invoice, *_ = scene.bill(subscription, "2026-04-10")

    _, [proof] = proofs_of(world.ours, invoice)

    assert (proof.days, proof.recheck, len(proof.line.steps)) == ((), None, 1)
