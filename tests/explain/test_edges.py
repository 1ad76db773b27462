"""The records beside the edges of a bill's period, on both clocks, each with the bill it went to."""

from __future__ import annotations

import csv
import io
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.urls import reverse

from accounts.models import Account
from accounts.tenancy import account_scope, as_owner
from insights.billing.bill_queries import get_bill
from insights.explain.edge_document import local_text
from insights.explain.edge_queries import Beside, count_beside, list_beside
from insights.explain.edges import EdgeKind, EdgePlace, EdgeRecord, Outcome, Went
from insights.models import Invoice, Source, Subscription
from insights.rating.charges import PerUnit
from tests.billing import scene
from tests.conftest import Cast
from tests.explain.test_line_proof import NOW, TIERS, usage_rows, world
from tests.factories import make_source

__all__ = ["world"]
BERLIN = ZoneInfo("Europe/Berlin")
pytestmark = [pytest.mark.database, pytest.mark.usefixtures("portal_db")]


def edges_scene(world: Cast) -> tuple[Invoice, Invoice]:
    """March in Berlin: 1 March 00:00 is 23:00 UTC, the plan changes on the 11th, the clock on the 29th."""
    scene.meters("calls", "pings", dimensions=["endpoint"])
    price = scene.usage_price("calls", TIERS)
    first = scene.make_plan("first", [price])
    second = scene.make_plan("second", [scene.usage_price("calls", PerUnit(unit_amount=Decimal("0.5")))])
    subscription = scene.subscribe(world.ours, first, "2026-01-31T23", anchor="2026-02-01")
    scene.change_plan(subscription, second, "2026-03-11T15")
    source, free = make_source(), make_source("lab")
    with as_owner():
        Source.objects.filter(pk=free.pk).update(billable=False)
    # Every hour from the last of February to the first of April.
    scene.deliver(source, world.ours, usage_rows("2026-02-28T20", 24 * 32, "calls"), endpoint="a")
    scene.deliver(source, world.ours, usage_rows("2026-03-11T14", 2, "pings"), endpoint="a")
    scene.deliver(free, world.ours, usage_rows("2026-03-11T14", 2, "calls"), endpoint="lab")
    scene.complete(world.ours, "2026-04-01")
    scene.bill(subscription, "2026-04-10")
    let_pass(subscription)
    scene.bill(subscription, "2026-04-10")
    scene.deliver(source, world.ours, usage_rows("2026-03-29T00", 2, "calls"), endpoint="late")
    scene.complete(world.ours, "2026-05-01")
    scene.bill(subscription, "2026-05-10")
    let_pass(subscription)
    scene.bill(subscription, "2026-05-10")
    scene.deliver(source, world.ours, usage_rows("2026-03-29T00", 1, "calls"), endpoint="later")
    february, march, *_ = scene.bill(subscription, "2026-05-11")
    return february, march


def let_pass(subscription: Subscription) -> None:
    """Let a person have seen why bills wait: there is usage without a price."""
    with as_owner():
        for invoice in Invoice.objects.filter(subscription=subscription, state="parked"):
            invoice.released = scene.findings_of(invoice)
            invoice.save(update_fields=["released"])


def beside(
    account: Account, invoice: Invoice, *, minutes: int = 15, at_once: int = 1000
) -> tuple[Beside, list[tuple[EdgeRecord, Went]]]:
    with account_scope(account.pk, read_only=True):
        bill = get_bill(account, public_id=invoice.public_id, now=NOW)
        assert bill is not None
        wanted = Beside.of(account, bill, minutes=minutes)
        found: list[tuple[EdgeRecord, Went]] = []
        after: EdgePlace | None = None
        while rows := list_beside(wanted, after=after, limit=at_once):
            found += rows
            after = rows[-1][0].at
        return wanted, found


def test_every_edge_is_there_on_both_clocks(world: Cast) -> None:
    _, march = edges_scene(world)

    wanted, _ = beside(world.ours, march)

    assert [(edge.kind, f"{edge.at:%m-%dT%H:%M}", local_text(edge.at, BERLIN)) for edge in wanted.edges] == [
        (EdgeKind.START, "02-28T23:00", "2026-03-01T00:00:00+01:00"),
        (EdgeKind.PLAN, "03-11T15:00", "2026-03-11T16:00:00+01:00"),
        (EdgeKind.CLOCK, "03-29T01:00", "2026-03-29T03:00:00+02:00"),
        (EdgeKind.END, "03-31T22:00", "2026-04-01T00:00:00+02:00"),
    ]


def test_each_record_says_where_it_went(world: Cast) -> None:
    february, march = edges_scene(world)
    with as_owner():
        april = Invoice.objects.get(
            subscription=march.subscription_id, period_start=march.period_end, kind="period"
        )

    wanted, found = beside(world.ours, march, at_once=3)

    with account_scope(world.ours.pk, read_only=True):
        counts = count_beside(wanted)
    assert [(count.before, count.after) for count in counts] == [(1, 1), (3, 3), (3, 2), (1, 1)]
    went = [
        (
            wanted.edges[record.at.edge].kind.value,
            record.dimensions["endpoint"],
            record.meter,
            record.is_after(wanted.edges[record.at.edge]),
            one.outcome,
            one.bill.public_id if one.bill else None,
        )
        for record, one in found
    ]
    assert Counter(went) == Counter(
        [
            ("period_start", "a", "calls", False, Outcome.BILLED, february.public_id),
            ("period_start", "a", "calls", True, Outcome.BILLED, march.public_id),
            ("plan_change", "a", "calls", False, Outcome.BILLED, march.public_id),
            ("plan_change", "a", "calls", True, Outcome.BILLED, march.public_id),
            ("plan_change", "a", "pings", False, Outcome.NO_PRICE, march.public_id),
            ("plan_change", "a", "pings", True, Outcome.NO_PRICE, march.public_id),
            ("plan_change", "lab", "calls", False, Outcome.NOT_CHARGED, march.public_id),
            ("plan_change", "lab", "calls", True, Outcome.NOT_CHARGED, march.public_id),
            ("clock_change", "a", "calls", False, Outcome.BILLED, march.public_id),
            ("clock_change", "a", "calls", True, Outcome.BILLED, march.public_id),
            ("clock_change", "late", "calls", False, Outcome.CORRECTED, march.public_id),
            ("clock_change", "late", "calls", True, Outcome.CORRECTED, march.public_id),
            ("clock_change", "later", "calls", False, Outcome.WAITS, march.public_id),
            ("period_end", "a", "calls", False, Outcome.BILLED, march.public_id),
            ("period_end", "a", "calls", True, Outcome.BILLED, april.public_id),
        ]
    )
    [(_, corrected), _] = [pair for pair in found if pair[1].outcome is Outcome.CORRECTED]
    assert corrected.corrected_on is not None
    assert corrected.corrected_on.public_id == april.public_id
    # Where the plan changed, either side has the line of its own plan.
    lines = [
        one.line
        for record, one in found
        if wanted.edges[record.at.edge].kind is EdgeKind.PLAN and one.outcome is Outcome.BILLED
    ]
    assert len(set(lines)) == len(lines) == 2


@pytest.mark.parametrize(("minutes", "each_side"), [(5, 1), (15, 1), (60, 1)])
def test_a_window_is_shown_if_it_touches_the_minutes(world: Cast, minutes: int, each_side: int) -> None:
    _, march = edges_scene(world)

    wanted, found = beside(world.ours, march, minutes=minutes)

    for number, edge in enumerate(wanted.edges):
        own = [
            record for record, _ in found if record.at.edge == number and record.dimensions["endpoint"] == "a"
        ]
        calls = [record for record in own if record.meter == "calls"]
        reach = timedelta(minutes=minutes)
        assert all(
            record.at.window_start < edge.at + reach and record.window_end > edge.at - reach
            for record in calls
        )
        assert sum(record.is_after(edge) for record in calls) == each_side
        assert sum(not record.is_after(edge) for record in calls) == each_side


class TestPage:
    def get(self, client: Any, world: Cast, name: str, invoice: Invoice, query: str = "") -> Any:
        with time_machine.travel(NOW, tick=False):
            return client.get(reverse(name, args=[world.ours.public_id, invoice.public_id]) + query)

    def test_shows_both_clocks_and_links_the_bills(self, world: Cast, signed_in: Any) -> None:
        february, march = edges_scene(world)
        client = signed_in(world.viewer)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("insights.web.bill_edges.RECORDS_PER_PAGE", 4)
            query, seen, texts = "?within=15", [], ""
            while query:
                response = self.get(client, world, "bill-edges", march, query)
                assert response.status_code == 200
                seen += [row["record"].at for row in response.context["records"]]
                texts += response.content.decode()
                query = response.context["page"]["next_url"]

        assert len(seen) == len(set(seen)) == 15
        assert "2026-03-29T01:00:00Z" in texts
        assert "2026-03-29T03:00:00+02:00" in texts
        assert reverse("bill-detail", args=[world.ours.public_id, february.public_id]) in texts
        assert "came later, to be corrected on a later bill" in texts
        assert 'data-label="Meter and values">Calls<' in texts

    def test_the_file_has_every_record(self, world: Cast, signed_in: Any) -> None:
        _, march = edges_scene(world)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("insights.explain.edge_queries.ROWS_AT_ONCE", 4)
            response = self.get(signed_in(world.viewer), world, "bill-edges-csv", march, "?within=60")
            rows = list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode())))

        assert Counter(row["outcome"] for row in rows) == {
            "billed": 8, "no_price": 2, "not_charged": 2, "corrected": 2, "waits": 1,
        }  # fmt: skip
        assert {row["side"] for row in rows} == {"before", "after"}
        assert all(row["window_start_local"].endswith(("+01:00", "+02:00")) for row in rows)

    @pytest.mark.parametrize(
        "query", ["?within=7", "?within=", "?within=15.0", "?after=x", "?after=1~20260301T000000Z~"]
    )
    def test_what_was_not_offered_is_refused(self, world: Cast, signed_in: Any, query: str) -> None:
        _, march = edges_scene(world)

        assert self.get(signed_in(world.viewer), world, "bill-edges", march, query).status_code == 400
