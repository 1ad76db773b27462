"""A bill at a position against the bill now: the difference is exactly the records that came or went in between."""

from __future__ import annotations

from decimal import Decimal

import pytest

from accounts.models import Account
from accounts.tenancy import account_scope
from insights.billing.bill_queries import get_bill
from insights.explain.then_and_now import LineChange, ThenAndNow
from insights.explain.then_and_now_queries import compare_then_and_now
from insights.metering.known_moment import KnownAt
from insights.models import Invoice, Source
from insights.rating.charges import PerUnit
from insights.rating.terms import Bound
from tests.billing import scene
from tests.conftest import Cast
from tests.explain.test_line_proof import NOW, TIERS, usage_rows, world
from tests.factories import ingest_now, make_source

__all__ = ["world"]
pytestmark = [pytest.mark.database, pytest.mark.usefixtures("portal_db")]


def both(account: Account, invoice: Invoice, known: KnownAt | None = None) -> ThenAndNow:
    with account_scope(account.pk, read_only=True):
        bill = get_bill(account, public_id=invoice.public_id, now=NOW)
        assert bill is not None
        return compare_then_and_now(account, bill, known=known)


def at(position: int) -> KnownAt:
    return KnownAt(asked_position=position)


def usage_of(found: ThenAndNow) -> list[LineChange]:
    return [change for change in found.lines if change.line.meter_key]


def replace_row(source: Source, account: Account, hour: str, quantity: str, **dimensions: str) -> None:
    """Deliver a window again, with a higher revision and another quantity."""
    names = ",".join(dimensions)
    instant = scene.instant(hour).isoformat().replace("+00:00", "Z")
    values = ",".join(dimensions.values())
    text = f"account,meter,window_start,quantity,revision,{names}\n"
    batch = ingest_now(source, f"{text}{account.reference},calls,{instant},{quantity},2,{values}\n")
    assert (batch.state, batch.rejected) == ("done", 0), batch.refusal_detail


def check(found: ThenAndNow) -> None:
    """What every comparison keeps: nothing is left over."""
    assert found.is_rated
    assert found.is_accounted_for
    assert found.residual.minor == 0
    for change in usage_of(found):
        assert change.residual in (None, 0), change.line.name
    assert found.moved.came + found.moved.went >= sum(
        change.moved.came + change.moved.went for change in found.lines
    )


@pytest.mark.parametrize(
    "aggregation", ["sum", "count", "time_weighted_sum", "unique_count", "max", "latest"]
)
def test_every_aggregation_comes_out_as_billed_then_and_as_corrected_now(
    world: Cast, aggregation: str
) -> None:
    unique = {"unique_dimensions": ["endpoint"]} if aggregation == "unique_count" else {}
    scene.meters("calls", aggregation=aggregation, dimensions=["endpoint", "region"], **unique)
    unit = "unit hours" if aggregation == "time_weighted_sum" else "unit"
    first = scene.make_plan(
        "first",
        [scene.usage_price("calls", TIERS, unit=unit, included=Decimal(7)), scene.fee("base", "12.00")],
        minimum=Bound(amount=Decimal("14.00"), is_prorated=False),
    )
    second = scene.make_plan(
        "second",
        [scene.usage_price("calls", PerUnit(unit_amount=Decimal("0.0333")), unit=unit)],
    )
    subscription = scene.subscribe(world.ours, first, "2026-02-28T23", anchor="2026-03-01")
    scene.change_plan(subscription, second, "2026-03-11T15")
    source = make_source()
    for number, endpoint in enumerate(("a", "b", "c")):
        rows = usage_rows("2026-03-05T07", 200 + 20 * number, "calls", f"{number + 1}.5")
        scene.deliver(source, world.ours, rows, endpoint=endpoint, region="eu")
    scene.complete(world.ours, "2026-04-01")
    march, *_ = scene.bill(subscription, "2026-04-10")
    own = both(world.ours, march)
    assert own.is_own
    assert own.is_equal
    assert (own.moved.came, own.moved.went, own.change.minor) == (0, 0, 0)
    check(own)

    late = usage_rows("2026-03-09T07", 90, "calls", "7.25")
    scene.deliver(source, world.ours, late, endpoint="late", region="eu")
    replace_row(source, world.ours, "2026-03-06T07", "400", endpoint="a", region="eu")
    found = both(world.ours, march)

    check(found)
    assert found.is_equal
    assert (found.moved.came, found.moved.went) == (91, 1)
    assert sum(change.moved.came for change in usage_of(found)) == 91
    scene.complete(world.ours, "2026-05-01")
    _, april, *_ = scene.bill(subscription, "2026-05-10")
    corrected = sum(int(line.amount_minor) for line in scene.lines_of(april) if line.kind == "correction")
    assert found.change.minor == corrected
    assert found.stored == found.total_then
