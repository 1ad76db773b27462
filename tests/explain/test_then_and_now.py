"""A bill at a position against the bill now: the difference is exactly the records that came or went in between."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.db import transaction
from django.urls import reverse

from accounts.models import Account
from accounts.tenancy import account_scope, as_owner
from insights.billing.bill_queries import get_bill
from insights.explain.then_and_now import LineChange, ThenAndNow
from insights.explain.then_and_now_queries import compare_then_and_now
from insights.metering.faults import UsageFilterRefused
from insights.metering.known_moment import KnownAt
from insights.models import Invoice, LedgerEntry, LineItem, Meter, Source, Subscription
from insights.rating.charges import Percentage, PerUnit
from insights.rating.matrix import Cell, Matrix
from insights.rating.sheet import SheetPrice
from insights.rating.terms import Bound, Conversion, PriceTerms
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


def replace_row(
    source: Source, account: Account, hour: str, quantity: str, *, revision: int = 2, **dimensions: str
) -> None:
    """Deliver a window again, with a higher revision and another quantity."""
    names = ",".join(dimensions)
    instant = scene.instant(hour).isoformat().replace("+00:00", "Z")
    values = ",".join(dimensions.values())
    text = f"account,meter,window_start,quantity,revision,{names}\n"
    batch = ingest_now(source, f"{text}{account.reference},calls,{instant},{quantity},{revision},{values}\n")
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
    assert not own.took_back
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


def matrix_of_regions(*, has_catch_all: bool = True) -> SheetPrice:
    """Data out at a price for each of two regions, and perhaps one for all others."""
    gigabytes = Conversion(unit="GB", units_per=Decimal(10) ** 9)

    def terms(amount: str) -> PriceTerms:
        return PriceTerms(
            currency="USD", charge=PerUnit(unit_amount=Decimal(amount)), unit="B", conversion=gigabytes
        )

    matrix = Matrix(
        dimensions=("region",),
        cells=(Cell(values=("eu",), terms=terms("0.09")), Cell(values=("us",), terms=terms("0.05"))),
        catch_all=terms("0.2") if has_catch_all else None,
    )
    return SheetPrice(key="bytes", name="Data out", meter_key="bytes", matrix=matrix)


def test_records_are_told_on_the_line_they_are_on(world: Cast) -> None:
    """By cell of a matrix, by what a percentage counts, and without a line where there is no price."""
    scene.meters("bytes", unit="B", dimensions=["region"])
    scene.meters("volume", unit="USD")
    scene.meters("payments", "pings")
    volume = scene.usage_price(
        "volume",
        Percentage(percent=Decimal("2.9"), fixed_amount=Decimal("0.3"), count_meter="payments"),
        unit="USD",
    )
    plan = scene.make_plan("plan", [matrix_of_regions(), volume])
    subscription = scene.subscribe(world.ours, plan, "2026-02-28T23", anchor="2026-03-01")
    source, free = make_source(), make_source("lab")
    with as_owner():
        Source.objects.filter(pk=free.pk).update(billable=False)
    for region in ("eu", "us", "ap"):
        rows = usage_rows("2026-03-05T07", 4, "bytes", "9999999999")
        scene.deliver(source, world.ours, rows, region=region)
    scene.deliver(source, world.ours, usage_rows("2026-03-05T07", 3, "volume", "120.5"))
    scene.deliver(source, world.ours, usage_rows("2026-03-05T07", 3, "payments", "4"))
    scene.deliver(free, world.ours, usage_rows("2026-03-05T07", 2, "volume", "7"))
    scene.complete(world.ours, "2026-04-01")
    march, *_ = scene.bill(subscription, "2026-04-10")
    assert both(world.ours, march).is_equal

    scene.deliver(source, world.ours, usage_rows("2026-03-08T07", 2, "bytes", "5000000000"), region="us")
    scene.deliver(source, world.ours, usage_rows("2026-03-08T07", 5, "bytes", "1000000000"), region="sa")
    scene.deliver(source, world.ours, usage_rows("2026-03-08T07", 6, "payments", "1"))
    scene.deliver(source, world.ours, usage_rows("2026-03-08T07", 7, "pings", "1"))
    scene.deliver(free, world.ours, usage_rows("2026-03-08T07", 9, "volume", "7"))
    found = both(world.ours, march)

    check(found)
    moved = {(change.line.name, *change.line.values.values()): change for change in usage_of(found)}
    assert {name: change.moved.came for name, change in moved.items()} == {
        ("Data out", "eu"): 0,
        ("Data out", "us"): 2,
        ("Data out",): 5,
        ("Volume",): 6,
    }
    # Six payments more at 0.30.
    assert moved["Volume",].change.minor == 180
    assert moved["Data out", "us"].change.minor == 50
    assert found.unpriced.came == 7
    # What is not charged is no part of the bill, then or now.
    assert found.moved.came == 20


def test_a_new_version_of_a_meter_has_a_line_of_its_own(world: Cast) -> None:
    [first] = scene.meters("calls", dimensions=["endpoint"])
    price = scene.usage_price("calls", TIERS, included=Decimal(7))
    subscription = scene.subscribe(
        world.ours, scene.make_plan("plan", [price]), "2026-02-28T23", anchor="2026-03-01"
    )
    source = make_source()
    scene.deliver(source, world.ours, usage_rows("2026-03-05T07", 60, "calls"), endpoint="a")
    with as_owner():
        Meter.objects.filter(pk=first.pk).update(retired_at=scene.instant("2026-03-16"))
        Meter.objects.create(
            key="calls", version=2, name="Calls", unit="unit", grain_seconds=3600, dimensions=["endpoint"],
        )  # fmt: skip
    scene.complete(world.ours, "2026-04-01")
    march, *_ = scene.bill(subscription, "2026-04-10")

    scene.deliver(source, world.ours, usage_rows("2026-03-20T07", 70, "calls"), endpoint="a")
    found = both(world.ours, march)

    check(found)
    older, newer = usage_of(found)
    assert (older.moved.came, newer.moved.came) == (0, 70)
    # Nothing was used of the new version then, and the bill has no line for it.
    assert (newer.then, newer.position, newer.quantity_then) == (None, None, 0)
    assert found.total_now == older.amount_now + newer.amount_now


def late_scene(world: Cast) -> tuple[Invoice, Source, list[int]]:
    """March issued at 60 records, then 30 more, one replaced, in three writes; returns the positions of all four."""
    scene.meters("calls", dimensions=["endpoint"])
    plan = scene.make_plan(
        "plan", [scene.usage_price("calls", TIERS, included=Decimal(5)), scene.fee("base", "3.00")]
    )
    subscription = scene.subscribe(world.ours, plan, "2026-02-28T23", anchor="2026-03-01")
    source = make_source()
    scene.deliver(source, world.ours, usage_rows("2026-03-03T00", 60, "calls"), endpoint="a")
    scene.complete(world.ours, "2026-04-01")
    march, *_ = scene.bill(subscription, "2026-04-10")
    positions = [march.usage_as_of]
    for start, count in (("2026-03-04T00", 20), ("2026-03-10T00", 10)):
        scene.deliver(source, world.ours, usage_rows(start, count, "calls"), endpoint="late")
        positions.append(last_of_ledger())
    replace_row(source, world.ours, "2026-03-03T00", "0.25", endpoint="a")
    positions.append(last_of_ledger())
    return march, source, positions


def last_of_ledger() -> int:
    with as_owner():
        return int(LedgerEntry.objects.order_by("-position").values_list("position", flat=True)[0] or 0)


def test_any_position_and_instant_is_told(world: Cast) -> None:
    march, _, positions = late_scene(world)

    sizes = []
    for position in positions:
        found = both(world.ours, march, at(position))
        check(found)
        sizes.append((found.moved.came, found.moved.went))
        with as_owner():
            committed = LedgerEntry.objects.get(position=position).committed_at
        assert committed is not None
        again = both(world.ours, march, KnownAt(instant=committed + timedelta(microseconds=1)))
        assert (again.then.position, again.total_then) == (position, found.total_then)
    # What went is the one row that another took the place of.
    assert sizes == [(31, 1), (11, 1), (1, 1), (0, 0)]
    before_all = both(world.ours, march, at(0))
    check(before_all)
    assert (before_all.moved.came, before_all.moved.went) == (90, 0)
    assert before_all.total_then.minor == 300


def test_a_bill_below_zero_carries_the_same_and_comes_out_equal(world: Cast) -> None:
    march, source, _ = late_scene(world)
    for hour in scene.hours("2026-03-03T00", 60):
        replace_row(source, world.ours, hour, "0", revision=3, endpoint="a")
    scene.complete(world.ours, "2026-05-01")
    with as_owner():
        subscription = Subscription.objects.get(pk=march.subscription_id)
        Subscription.objects.filter(pk=subscription.pk).update(ends_at=scene.instant("2026-04-01T22"))
    _, april, *_ = scene.bill(subscription, "2026-05-10")
    assert [line.kind for line in scene.lines_of(april)][-1] == "carried"

    found = both(world.ours, april)

    check(found)
    assert found.is_equal
    assert found.total_now.minor == 0


def test_a_side_that_cannot_be_rated_lists_its_records_alone(world: Cast, signed_in: Any) -> None:
    scene.meters("bytes", unit="B", dimensions=["region"])
    plan = scene.make_plan("plan", [matrix_of_regions(has_catch_all=False)])
    subscription = scene.subscribe(world.ours, plan, "2026-02-28T23", anchor="2026-03-01")
    source = make_source()
    scene.deliver(source, world.ours, usage_rows("2026-03-04T00", 5, "bytes"), region="eu")
    scene.complete(world.ours, "2026-04-01")
    march, *_ = scene.bill(subscription, "2026-04-10")
    scene.deliver(source, world.ours, usage_rows("2026-03-04T00", 20, "bytes"), region="sa")

    found = both(world.ours, march)

    assert (found.is_rated, found.lines, found.unpriced.came) == (False, (), 20)
    with time_machine.travel(NOW, tick=False):
        address = reverse("bill-then-and-now", args=[world.ours.public_id, march.public_id])
        response = signed_in(world.viewer).get(address)
    assert response.status_code == 200
    assert "cannot be applied" in response.content.decode()
    assert len(response.context["records"]) == 20


def test_a_position_not_reached_is_refused(world: Cast) -> None:
    march, _, positions = late_scene(world)

    with pytest.raises(UsageFilterRefused, match="has not been reached"):
        both(world.ours, march, at(positions[-1] + 1))


def test_the_running_draft_is_told_against_now(world: Cast) -> None:
    march, source, _ = late_scene(world)
    with as_owner():
        draft = Invoice.objects.filter(subscription=march.subscription_id).exclude(state="issued").get()
    own = both(world.ours, draft)
    assert own.is_equal

    scene.deliver(source, world.ours, usage_rows("2026-04-02T00", 8, "calls", "30"), endpoint="a")
    found = both(world.ours, draft)

    check(found)
    assert (found.moved.came, found.moved.went) == (8, 0)
    assert found.total_then == found.stored
    assert found.change.minor > 0


@pytest.mark.parametrize(
    ("price", "fields"),
    [("base", {"amount_minor": 299}), ("calls", {"amount_minor": 1}), ("calls", {"metered_quantity": 3})],
)
def test_a_line_that_was_tampered_with_is_not_called_equal(
    world: Cast, price: str, fields: dict[str, Any]
) -> None:
    march, _, _ = late_scene(world)
    with as_owner(), transaction.atomic(using="owner"):
        draft = Invoice.objects.filter(subscription=march.subscription_id).exclude(state="issued").get()
        assert LineItem.objects.filter(invoice=draft, price_key=price).update(**fields) == 1

    found = both(world.ours, draft)

    assert not found.is_accounted_for


class TestPage:
    def get(self, client: Any, world: Cast, name: str, invoice: Invoice, query: str = "") -> Any:
        with time_machine.travel(NOW, tick=False):
            return client.get(reverse(name, args=[world.ours.public_id, invoice.public_id]) + query)

    def test_says_what_differs_and_lists_its_records_in_pages(self, world: Cast, signed_in: Any) -> None:
        march, _, _ = late_scene(world)
        client = signed_in(world.viewer)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("insights.web.bill_then_and_now.RECORDS_PER_PAGE", 12)
            query, seen = "", []
            while True:
                response = self.get(client, world, "bill-then-and-now", march, query)
                assert response.status_code == 200
                seen += [row["record"].at for row in response.context["records"]]
                query = response.context["page"]["next_url"]
                if not query:
                    break

        text = response.content.decode()
        assert "31 records that came and 1 that went" in text
        assert "Counted and rated again as known then, every line comes out as it stands on the bill." in text
        assert len(seen) == len(set(seen)) == 32

    def test_the_files_add_up_to_the_page(self, world: Cast, signed_in: Any) -> None:
        march, _, positions = late_scene(world)
        client = signed_in(world.viewer)
        query = f"?position={positions[1]}"

        lines = self.get(client, world, "bill-then-and-now-csv", march, query).content.decode()
        rows = list(csv.DictReader(io.StringIO(lines)))
        streamed = self.get(client, world, "bill-moved-records-csv", march, query)
        records = list(csv.DictReader(io.StringIO(b"".join(streamed.streaming_content).decode())))

        *parts, total = rows
        assert sum(Decimal(row["change"]) for row in parts) == Decimal(total["change"])
        [usage] = [row for row in parts if row["quantity_now"]]
        difference = Decimal(usage["quantity_now"]) - Decimal(usage["quantity_then"])
        signs = {"came": 1, "went": -1}
        assert sum(signs[row["change"]] * Decimal(row["quantity"]) for row in records) == difference
        assert {row["bill_line"] for row in records} == {usage["bill_line"]}
        assert [row["change"] for row in records if row["endpoint"] == "a"] == ["went", "came"]

    @pytest.mark.parametrize(
        "query",
        [
            "?known_at=yesterday",
            "?position=-1",
            "?position=99999",
            "?known_at=2099-01-01T00:00",
            "?position=01",
        ],
    )
    def test_a_moment_that_is_none_is_refused_at_its_field(
        self, world: Cast, signed_in: Any, query: str
    ) -> None:
        march, _, _ = late_scene(world)
        client = signed_in(world.viewer)

        page = self.get(client, world, "bill-then-and-now", march, query)

        assert page.status_code == 400
        assert 'id="known-error"' in page.content.decode()
        for name in ("bill-then-and-now-csv", "bill-moved-records-csv"):
            assert self.get(client, world, name, march, query).status_code == 400

    @pytest.mark.parametrize(
        "place", ["x", "1~20260301T000000Z~2~", "1~20260301T000000Z~", "9" * 30 + "~20260301T000000Z~1~"]
    )
    def test_a_place_nobody_wrote_is_refused(self, world: Cast, signed_in: Any, place: str) -> None:
        march, _, _ = late_scene(world)

        response = self.get(signed_in(world.viewer), world, "bill-then-and-now", march, f"?after={place}")

        assert response.status_code == 400
