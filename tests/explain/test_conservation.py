"""Everything known of a bill's period is on the bill or named with a reason, and nothing is left over."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from django.db import transaction
from django.urls import reverse

from accounts.models import Account
from accounts.tenancy import account_scope, as_owner
from insights.billing.bill_queries import get_bill
from insights.explain.conservation import Conservation
from insights.explain.conservation_queries import account_for
from insights.models import Invoice, LineItem, Source
from insights.rating.charges import PerUnit
from insights.rating.terms import Conversion
from tests.billing import scene
from tests.conftest import Cast
from tests.explain.test_line_proof import NOW, TIERS, usage_rows, world
from tests.factories import make_source

__all__ = ["world"]
pytestmark = [pytest.mark.database, pytest.mark.usefixtures("portal_db")]


def conservation_of(account: Account, invoice: Invoice) -> Conservation:
    with account_scope(account.pk, read_only=True):
        bill = get_bill(account, public_id=invoice.public_id, now=NOW)
        assert bill is not None
        return account_for(account, bill)


def several_fates(world: Cast) -> Invoice:
    """March: usage charged, included, free, of a source that is not charged, and before the plan had a price."""
    scene.meters("calls", "pings", dimensions=["endpoint"])
    scene.meters("bytes", unit="B", dimensions=["endpoint"])
    gigabytes = Conversion(unit="GB", units_per=Decimal(10) ** 9)
    bytes_out = scene.usage_price(
        "bytes",
        PerUnit(unit_amount=Decimal("0.1")),
        unit="B",
        conversion=gigabytes,
        included=Decimal(2),
    )
    pings = scene.usage_price("pings", PerUnit(unit_amount=Decimal(1)), exempt_reason="part of every plan")
    first = scene.make_plan("first", [bytes_out, pings])
    second = scene.make_plan(
        "second", [bytes_out, pings, scene.usage_price("calls", TIERS, included=Decimal(5))]
    )
    other = scene.make_plan("other", [scene.usage_price("calls", PerUnit(unit_amount=Decimal(1)))])
    subscription = scene.subscribe(world.ours, first, "2026-02-28T23", anchor="2026-03-01")
    scene.change_plan(subscription, second, "2026-03-11T15")
    beside = scene.subscribe(
        world.ours, other, "2026-02-28T23", anchor="2026-03-01", ends_at=scene.instant("2026-03-11T15")
    )
    source, free = make_source(), make_source("lab")
    with as_owner():
        Source.objects.filter(pk=free.pk).update(billable=False)
    for meter, quantity in (("calls", "1.5"), ("pings", "3"), ("bytes", "123456789.125")):
        scene.deliver(source, world.ours, usage_rows("2026-03-05T07", 300, meter, quantity), endpoint="a")
        scene.deliver(free, world.ours, usage_rows("2026-03-05T07", 9, meter, quantity), endpoint="b")
    scene.complete(world.ours, "2026-04-01")
    scene.bill(beside, "2026-04-10")
    march, *_ = scene.bill(subscription, "2026-04-10")
    return march


def test_nothing_is_left_over(world: Cast) -> None:
    found = conservation_of(world.ours, several_fates(world))

    assert found.is_whole
    by_key = {meter.meter_key: meter for meter in found.meters}
    calls, pings, data = by_key["calls"], by_key["pings"], by_key["bytes"]
    # From 5 March 07:00 to 11 March 15:00 are 152 hours, of which this bill's plan had no price.
    assert [(one.quantity, one.records, one.subscription) for one in calls.elsewhere] == [
        (Decimal("228"), 152, "Other")
    ]
    assert calls.included == 5
    assert calls.charged == Fraction(3, 2) * 148 - 5
    assert calls.not_charged == Decimal("13.5")
    assert (pings.free, pings.charged) == (900, 0)
    # The plan changed, and two GB are included in each part.
    assert data.included == 4 * 10**9
    assert data.records == 309
    assert found.lines.received == 927
    assert found.lines.residual == 0


def test_what_a_line_leaves_out_is_left_over(world: Cast) -> None:
    march = several_fates(world)
    with as_owner(), transaction.atomic(using="owner"):
        draft = Invoice.objects.filter(subscription=march.subscription_id).exclude(state="issued").first()
        assert draft is not None
        line = LineItem.objects.filter(invoice=draft, meter_key="calls").first()
        assert line is not None
        LineItem.objects.filter(pk=line.pk).update(metered_quantity=Decimal(7))

    found = conservation_of(world.ours, draft)

    assert not found.is_whole
    assert {meter.meter_key: meter.residual for meter in found.meters}["calls"] == -7


def test_the_page_and_the_file_say_the_same(world: Cast, signed_in: Any) -> None:
    march = several_fates(world)
    client = signed_in(world.viewer)

    page = client.get(reverse("bill-conservation", args=[world.ours.public_id, march.public_id]))
    text = client.get(
        reverse("bill-conservation-csv", args=[world.ours.public_id, march.public_id])
    ).content.decode()

    assert "nothing is left over" in page.content.decode()
    assert "priced by Other" in page.content.decode()
    assert "calls,unit,not on this bill,228,priced by Other" in text
    assert text.count("residual,0,") == 3
