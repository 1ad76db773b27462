"""What usage cost adds to the bills it comes from: by day, by value, in any stretch of time."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from accounts.tenancy import account_scope
from insights.billing.bill_queries import get_bill
from insights.explain.cost_answer import CostState, CurrencyCost
from insights.explain.line_queries import prove_line
from insights.metering.faults import UsageFilterRefused
from insights.rating.charges import PerUnit
from insights.rating.invoice import LineKind
from tests.billing import scene
from tests.conftest import Cast
from tests.explain.cost_scene import NOW, CostWorld, cost_of, lines_for, make_cost_world, only
from tests.factories import make_source

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("portal_db")]
SEEDS = range(8)


@pytest.fixture(params=SEEDS)
def world(cast: Cast, request: pytest.FixtureRequest) -> CostWorld:
    return make_cost_world(cast, request.param)


def assert_adds(one: CurrencyCost, *, is_grouped: bool = False) -> None:
    """Buckets, groups and bills all add to the same, to the minor unit."""
    dated = sum(bucket.amount.minor for bucket in one.buckets if bucket.amount is not None)
    assert dated + one.undated.minor == one.total.minor
    if is_grouped:
        assert sum(group.amount.minor for group in one.groups) + one.unvalued.minor == one.total.minor
    assert sum(bill.shown.minor for bill in one.bills) == one.total.minor
    for bill in one.bills:
        assert bill.total == bill.head.total


def test_a_period_by_day_and_by_every_dimension_is_what_the_bill_says(world: CostWorld) -> None:
    for month, end in (("2026-03", "2026-04-01"), ("2026-04", "2026-05-01"), ("2026-05", "2026-06-01")):
        last = (date.fromisoformat(end) - timedelta(days=1)).isoformat()
        billed = sum(int(line.amount_minor) for line in lines_for(world, starts=f"{month}-01", before=end))
        asked = {"from_": f"{month}-01", "to": last}

        plain = only(cost_of(world.account, **asked))
        assert plain.total.minor == billed
        assert_adds(plain)
        for granularity in ("day", "month"):
            for name in ("region", "endpoint"):
                found = only(cost_of(world.account, **asked, granularity=granularity, group_by=name))
                assert found.total.minor == billed
                assert_adds(found, is_grouped=True)


def test_values_and_days_are_those_of_the_line_pages(world: CostWorld) -> None:
    account, invoice = world.account, world.invoices[0]
    days: dict[date, int] = {}
    values: dict[str | None, int] = {}
    for line in lines_for(world, starts="2026-03-01", before="2026-04-01"):
        with account_scope(account.pk, read_only=True):
            owner = next(one for one in world.invoices if one.pk == line.invoice_id)
            bill = get_bill(account, public_id=owner.public_id, now=NOW)
            proof = bill and prove_line(account, bill, position=line.position, now=NOW)
        assert proof is not None
        for day in proof.days:
            if day.amount is not None:
                days[day.slot.day] = days.get(day.slot.day, 0) + day.amount.minor
        [regions] = [one for one in proof.dimensions if one.name == "region"] or [None]
        for part in regions.values if regions else ():
            if part.amount is not None:
                values[part.value or None] = values.get(part.value or None, 0) + part.amount.minor

    found = only(cost_of(account, from_="2026-03-01", to="2026-03-31", granularity="day", group_by="region"))

    assert {b.slot.day: b.amount.minor for b in found.buckets if b.amount and b.amount.minor} == {
        day: minor for day, minor in days.items() if minor
    }
    assert {g.value: g.amount.minor for g in found.groups} == values
    assert invoice.public_id in {bill.head.public_id for bill in found.bills}


def test_the_parts_of_a_period_add_to_it(world: CostWorld) -> None:
    whole = only(cost_of(world.account, from_="2026-03-01", to="2026-04-30"))
    cut = [("2026-03-01", "2026-03-09"), ("2026-03-10", "2026-04-07"), ("2026-04-08", "2026-04-30")]

    parts = [only(cost_of(world.account, from_=first, to=last)) for first, last in cut]

    for part in parts:
        assert_adds(part)
    dated = {bucket.slot.day: bucket.amount for bucket in whole.buckets}
    assert {bucket.slot.day: bucket.amount for part in parts for bucket in part.buckets} == dated
    assert sum(part.total.minor for part in parts) == whole.total.minor - whole.undated.minor


def test_days_and_values_of_some_days_add_to_the_same(world: CostWorld) -> None:
    asked = {"from_": "2026-03-06", "to": "2026-04-12", "granularity": "day"}
    plain = only(cost_of(world.account, **asked))

    for name in ("region", "endpoint"):
        found = only(cost_of(world.account, **asked, group_by=name))
        assert found.total == plain.total
        assert_adds(found, is_grouped=True)


def test_every_value_by_itself_comes_to_the_same_however_it_is_grouped(world: CostWorld) -> None:
    asked = {"from_": "2026-03-01", "to": "2026-04-30", "granularity": "month"}
    grouped = only(cost_of(world.account, **asked, group_by="region"))

    for group in grouped.groups:
        assert group.value is not None
        alone = only(cost_of(world.account, **asked, dimension__region=group.value))
        assert_adds(alone)
        for name in ("region", "endpoint"):
            again = only(cost_of(world.account, **asked, dimension__region=group.value, group_by=name))
            assert_adds(again, is_grouped=True)
            assert again.total == alone.total
        # What is of no single value, a correction or a minimum without usage, may be all of its line.
        assert 0 <= alone.total.minor - group.amount.minor <= grouped.unvalued.minor


def test_corrections_stand_on_the_days_that_they_correct(world: CostWorld) -> None:
    corrections = [line for line in lines_for(world) if line.kind == LineKind.CORRECTION]
    march = only(cost_of(world.account, from_="2026-03-01", to="2026-03-31"))
    april = only(cost_of(world.account, from_="2026-04-01", to="2026-04-30"))

    corrected = sum(int(line.amount_minor) for line in corrections)
    by_bill = {bill.head.public_id: bill for bill in march.bills}
    assert by_bill[world.invoices[1].public_id].shown.minor == corrected
    assert next(b for b in april.bills if b.head.public_id == world.invoices[1].public_id).rest[
        0
    ].amount.minor == (corrected)


def test_what_is_not_final_is_told_from_what_is(world: CostWorld) -> None:
    found = only(cost_of(world.account, from_="2026-04-30", to="2026-05-02"))

    assert [bucket.state for bucket in found.buckets] == [
        CostState.BILLED, CostState.SO_FAR, CostState.SO_FAR,
    ]  # fmt: skip


def test_an_account_without_a_subscription_has_no_cost(cast: Cast) -> None:
    scene.meters("calls", dimensions=["region"])
    scene.deliver(make_source(), cast.ours, [("calls", "2026-05-01", "3")], region="eu")

    answer = cost_of(cast.ours)

    assert (answer.currencies, answer.is_subscribed, answer.is_priced) == ((), False, False)


def test_a_meter_without_a_price_is_told_from_one_that_costs_nothing(cast: Cast) -> None:
    scene.meters("calls", "other", dimensions=["region"])
    scene.make_profile(cast.ours)
    plan = scene.make_plan("plan", [scene.usage_price("other", PerUnit(unit_amount="1"))])
    subscription = scene.subscribe(cast.ours, plan, "2026-05-01")
    scene.deliver(make_source(), cast.ours, [("calls", "2026-05-01", "3")], region="eu")
    scene.bill(subscription, "2026-05-20")

    answer = cost_of(cast.ours)

    assert (answer.is_subscribed, answer.is_priced) == (True, False)
    assert {bucket.state for bucket in only(answer).buckets} == {CostState.NO_PRICE}


@pytest.mark.parametrize("aggregation", ["max", "unique_count"])
def test_what_does_not_add_up_is_whole_or_not_at_all(cast: Cast, aggregation: str) -> None:
    unique = {"unique_dimensions": ["endpoint"]} if aggregation == "unique_count" else {}
    scene.meters("calls", aggregation=aggregation, dimensions=["region", "endpoint"], **unique)
    scene.make_profile(cast.ours)
    plan = scene.make_plan("plan", [scene.usage_price("calls", PerUnit(unit_amount="0.75"))])
    subscription = scene.subscribe(cast.ours, plan, "2026-04-01")
    source = make_source()
    for endpoint in ("a", "b"):
        rows = [("calls", hour, "2") for hour in scene.hours("2026-04-03", 40)]
        scene.deliver(source, cast.ours, rows, region="eu", endpoint=endpoint)
    scene.complete(cast.ours, "2026-05-01")
    scene.bill(subscription, "2026-05-05")

    whole = only(
        cost_of(cast.ours, from_="2026-04-01", to="2026-04-30", granularity="day", group_by="region")
    )
    part = only(cost_of(cast.ours, from_="2026-04-01", to="2026-04-10", granularity="day"))

    assert_adds(whole, is_grouped=True)
    assert whole.unvalued == whole.total
    assert whole.total.minor > 0
    if aggregation == "max":
        assert (whole.undated, part.total.minor) == (whole.total, 0)
        assert [left.reason for left in part.left] == ["held"]
    else:
        assert (whole.undated.minor, part.total) == (0, whole.total)


def test_hours_and_other_moments_are_refused_at_their_field(cast: Cast) -> None:
    scene.meters("calls", dimensions=["region"])

    for asked, field in (({"granularity": "hour"}, "granularity"), ({"position": "0"}, "position")):
        with pytest.raises(UsageFilterRefused) as refused:
            cost_of(cast.ours, **asked)
        assert [fault.field for fault in refused.value.faults] == [field]
