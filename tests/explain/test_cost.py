"""What usage cost adds to the bills it comes from: by day, by value, in any stretch of time."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest

from accounts.tenancy import account_scope, as_owner, as_worker
from insights.billing.bill import LineGroup
from insights.billing.bill_queries import get_bill
from insights.explain.cost_answer import CostState, CurrencyCost
from insights.explain.line_queries import prove_line
from insights.metering.faults import UsageFilterRefused
from insights.models import Meter, RollupSeal, Settlement, SettlementState
from insights.rating.charges import Graduated, PerUnit, Tier
from tests.billing import scene
from tests.conftest import Cast
from tests.explain.cost_scene import NOW, CostWorld, cost_of, lines_for, make_cost_world, only
from tests.factories import make_source

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("portal_db")]
SEEDS = range(5)
TIERS = (
    Tier(above=Decimal(0), up_to=Decimal(100), unit_amount=Decimal(1)),
    Tier(above=Decimal(100), up_to=None, unit_amount=Decimal("0.8")),
)
MARCH, APRIL, MAY = ("2026-03-01", "2026-03-31"), ("2026-04-01", "2026-04-30"), ("2026-05-01", "2026-05-31")


def assert_adds(one: CurrencyCost, *, is_grouped: bool = False) -> None:
    """Buckets, groups and bills all add to the same, to the minor unit."""
    dated = sum(bucket.amount.minor for bucket in one.buckets if bucket.amount is not None)
    assert dated + one.undated.minor == one.total.minor
    if is_grouped:
        assert sum(group.amount.minor for group in one.groups) + one.unvalued.minor == one.total.minor
    assert sum(bill.shown.minor for bill in one.bills) == one.total.minor
    for bill in one.bills:
        assert bill.total == bill.head.total


@pytest.mark.parametrize("seed", SEEDS)
def test_every_way_to_ask_adds_to_what_the_bills_say(cast: Cast, seed: int) -> None:
    world = make_cost_world(cast, seed)

    for first, last in (MARCH, APRIL, MAY):
        check_period(world, first, last)
    check_line_pages(world)
    check_parts_of_periods(world)
    check_single_values(world)


def check_period(world: CostWorld, first: str, last: str) -> None:
    """A period by day, by month and by every dimension is what its lines come to."""
    end = (date.fromisoformat(last) + timedelta(days=1)).isoformat()
    billed = sum(int(line.amount_minor) for line in lines_for(world, starts=first, before=end))
    plain = only(cost_of(world.account, from_=first, to=last))
    assert plain.total.minor == billed
    assert_adds(plain)
    for granularity in ("day", "month"):
        for name in ("region", "endpoint"):
            found = only(cost_of(world.account, from_=first, to=last, granularity=granularity, group_by=name))
            assert found.total.minor == billed
            assert_adds(found, is_grouped=True)
            if found.has_parts:
                assert_parts_add(found)


def assert_parts_add(one: CurrencyCost) -> None:
    for number, group in enumerate(one.groups):
        assert sum(bucket.parts[number].minor for bucket in one.buckets) == group.amount.minor


def check_line_pages(world: CostWorld) -> None:
    """Days and values are those of the pages of the lines."""
    days: dict[date, int] = {}
    of_eu: dict[date, int] = {}
    values: dict[str | None, int] = {}
    bills = {invoice.pk: invoice.public_id for invoice in world.invoices}
    for line in lines_for(world, starts="2026-03-01", before="2026-04-01"):
        with account_scope(world.account.pk, read_only=True):
            bill = get_bill(world.account, public_id=bills[line.invoice_id], now=NOW)
            proof = bill and prove_line(world.account, bill, position=line.position, now=NOW)
        assert proof is not None
        for day in proof.days:
            if day.amount is not None:
                days[day.slot.day] = days.get(day.slot.day, 0) + day.amount.minor
                if line.values == {"region": "eu"}:
                    of_eu[day.slot.day] = of_eu.get(day.slot.day, 0) + day.amount.minor
        for part in next((one.values for one in proof.dimensions if one.name == "region"), ()):
            if part.amount is not None:
                values[part.value or None] = values.get(part.value or None, 0) + part.amount.minor

    found = only(cost_of(world.account, from_=MARCH[0], to=MARCH[1], granularity="day", group_by="region"))

    assert {one.slot.day: one.amount.minor for one in found.buckets if one.amount and one.amount.minor} == {
        day: minor for day, minor in days.items() if minor
    }
    assert {group.value: group.amount.minor for group in found.groups} == values
    # A value with a price of its own has days, as all of its lines were asked for.
    alone = only(
        cost_of(world.account, from_=MARCH[0], to=MARCH[1], granularity="day", dimension__region="eu")
    )
    assert {one.slot.day: one.amount.minor for one in alone.buckets if one.amount and one.amount.minor} == {
        day: minor for day, minor in of_eu.items() if minor
    }


def check_parts_of_periods(world: CostWorld) -> None:
    """Stretches that tile two periods have the days of both, each stretch the same sum by day and by value."""
    whole = only(cost_of(world.account, from_=MARCH[0], to=APRIL[1]))
    cut = [("2026-03-01", "2026-03-09"), ("2026-03-10", "2026-04-07"), ("2026-04-08", "2026-04-30")]
    parts = [only(cost_of(world.account, from_=first, to=last)) for first, last in cut]
    dated = {bucket.slot.day: bucket.amount for bucket in whole.buckets}
    assert {bucket.slot.day: bucket.amount for part in parts for bucket in part.buckets} == dated
    for part, (first, last) in zip(parts, cut, strict=True):
        assert_adds(part)
        for name in ("region", "endpoint"):
            found = only(cost_of(world.account, from_=first, to=last, granularity="day", group_by=name))
            assert found.total == part.total
            assert_adds(found, is_grouped=True)


def check_single_values(world: CostWorld) -> None:
    """A value by itself comes to the same however it is grouped, and to its part where all are asked for."""
    asked = {"from_": MARCH[0], "to": APRIL[1], "granularity": "month"}
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


def corrected_world(cast: Cast) -> CostWorld:
    """March with five hours that came late, at so much each; April corrects it; May runs."""
    scene.meters("calls", dimensions=["region", "endpoint"])
    scene.make_profile(cast.ours)
    plan = scene.make_plan(
        "plan", [scene.fee("base", "20"), scene.usage_price("calls", PerUnit(unit_amount=Decimal("0.25")))]
    )
    subscription = scene.subscribe(cast.ours, plan, "2026-03-01")
    source = make_source()
    for start, until, now in (
        ("2026-03-03", "2026-04-01", "2026-04-05"),
        ("2026-03-20", "2026-05-01", "2026-05-05"),
        ("2026-05-02", "2026-05-20", "2026-05-20"),
    ):
        rows = [("calls", hour, "3") for hour in scene.hours(start, 5)]
        scene.deliver(source, cast.ours, rows, region="eu", endpoint="api")
        scene.complete(cast.ours, until)
        invoices = scene.bill(subscription, now)
    return CostWorld(cast.ours, tuple(invoices))


def test_corrections_stand_on_the_days_that_they_correct(cast: Cast) -> None:
    world = corrected_world(cast)

    march = only(cost_of(world.account, from_=MARCH[0], to=MARCH[1], group_by="region"))
    april = only(cost_of(world.account, from_=APRIL[0], to=APRIL[1]))

    assert_adds(march, is_grouped=True)
    assert [(b.slot.day.day, b.amount.minor) for b in march.buckets if b.amount and b.amount.minor] == [
        (3, 375), (20, 375),
    ]  # fmt: skip
    assert (march.total.minor, march.unvalued.minor) == (750, 375)
    [_, corrects] = march.bills
    assert corrects.shown.minor == 375
    besides = next(bill for bill in april.bills if bill.head.public_id == corrects.head.public_id).rest
    assert [(part.group, part.amount.minor) for part in besides] == [(None, 375), (LineGroup.FEES, 2000)]


def test_a_void_bill_costs_nothing(cast: Cast) -> None:
    world = corrected_world(cast)
    with as_worker():
        Settlement.objects.filter(invoice=world.invoices[1]).update(state=SettlementState.VOID, reason="test")

    march = only(cost_of(world.account, from_=MARCH[0], to=MARCH[1]))

    assert_adds(march)
    assert (march.total.minor, [bill.head.public_id for bill in march.bills]) == (
        375, [world.invoices[0].public_id],
    )  # fmt: skip


def test_versions_of_a_meter_are_asked_for_by_themselves(cast: Cast) -> None:
    [first] = scene.meters("calls", dimensions=["region"])
    scene.make_profile(cast.ours)
    plan = scene.make_plan("plan", [scene.usage_price("calls", Graduated(tiers=TIERS))])
    subscription = scene.subscribe(cast.ours, plan, "2026-04-01")
    with as_owner():
        Meter.objects.filter(pk=first.pk).update(retired_at=scene.instant("2026-04-16"))
        Meter.objects.create(
            key="calls", version=2, name="Calls", unit="unit", grain_seconds=3600, dimensions=["region"],
        )  # fmt: skip
    source = make_source()
    for start in ("2026-04-03", "2026-04-20"):
        rows = [("calls", hour, "4") for hour in scene.hours(start, 20)]
        scene.deliver(source, cast.ours, rows, region="eu")
    scene.complete(cast.ours, "2026-05-01")
    invoice, *_ = scene.bill(subscription, "2026-05-05")

    newest, older = (
        only(cost_of(cast.ours, from_=APRIL[0], to=APRIL[1], group_by="region", meter=name))
        for name in ("calls", "calls:1")
    )

    for one in (newest, older):
        assert_adds(one, is_grouped=True)
    # Eighty at 1.00, then twenty more of them, and sixty at 0.80.
    assert (older.total.minor, newest.total.minor) == (8000, 6800)
    assert newest.total.minor + older.total.minor == int(invoice.total_minor)


def test_each_currency_has_an_answer_of_its_own(cast: Cast) -> None:
    scene.meters("calls", dimensions=["region"])
    scene.make_profile(cast.ours)
    source = make_source()
    for currency, start, end in (("USD", "2026-03-01", "2026-04-01"), ("EUR", "2026-04-01", "2026-05-01")):
        price = scene.usage_price("calls", PerUnit(unit_amount=Decimal(1)), currency=currency)
        plan = scene.make_plan(currency.lower(), [price], currency=currency)
        subscription = scene.subscribe(cast.ours, plan, start, ends_at=scene.instant(end))
        scene.deliver(source, cast.ours, [("calls", f"{start}T05", "7")], region="eu")
        scene.complete(cast.ours, end)
        scene.bill(subscription, end)

    answer = cost_of(cast.ours, from_=MARCH[0], to=APRIL[1], granularity="month")

    assert [str(one.total) for one in answer.currencies] == ["7.00 USD", "7.00 EUR"]
    for one in answer.currencies:
        assert_adds(one)
        assert [bucket.state for bucket in one.buckets].count(CostState.NO_PRICE) == 1


def test_what_is_not_final_is_told_from_what_is(cast: Cast) -> None:
    found = only(cost_of(corrected_world(cast).account, from_="2026-04-30", to="2026-05-02"))

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
    plan = scene.make_plan("plan", [scene.usage_price("other", PerUnit(unit_amount=Decimal(1)))])
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
    plan = scene.make_plan("plan", [scene.usage_price("calls", PerUnit(unit_amount=Decimal("0.75")))])
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


def test_more_than_can_be_parted_at_once_is_refused_and_whole_months_are_not(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = corrected_world(cast)
    monkeypatch.setattr("insights.explain.cost_line_queries.TIMES_PARTED_MAX", 1)
    asked = {"from_": MARCH[0], "to": APRIL[1]}

    with pytest.raises(UsageFilterRefused) as refused:
        cost_of(world.account, **asked, granularity="day")

    assert [fault.code for fault in refused.value.faults] == ["range_too_large"]
    assert only(cost_of(world.account, **asked, granularity="month")).total.minor == 750


def test_days_of_an_archived_month_are_refused_and_the_month_is_not(cast: Cast) -> None:
    world = corrected_world(cast)
    with as_owner():
        RollupSeal.objects.create(
            account=world.account,
            month=date(2026, 3, 1),
            rollup="insights_usagerollup",
            rows=1,
            sha256="0" * 64,
        )

    for asked in ({"granularity": "day"}, {"granularity": "month", "group_by": "region"}):
        with pytest.raises(UsageFilterRefused) as refused:
            cost_of(world.account, from_=MARCH[0], to=MARCH[1], **asked)
        assert [fault.code for fault in refused.value.faults] == ["period_archived"]
    whole = only(cost_of(world.account, from_=MARCH[0], to=MARCH[1], granularity="month"))
    assert whole.total.minor == 750


def test_hours_and_other_moments_are_refused_at_their_field(cast: Cast) -> None:
    scene.meters("calls", dimensions=["region"])

    for asked, field in (({"granularity": "hour"}, "granularity"), ({"position": "0"}, "position")):
        with pytest.raises(UsageFilterRefused) as refused:
            cost_of(cast.ours, **asked)
        assert [fault.field for fault in refused.value.faults] == [field]
