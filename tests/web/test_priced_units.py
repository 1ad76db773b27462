"""What is priced by the GB or the GiB is shown in it on every page, with its size, and bytes where they prove it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
import time_machine
from django.test import Client

from accounts.tenancy import as_owner
from insights.models import Invoice, Meter
from insights.rating.charges import PerUnit
from insights.rating.terms import Conversion
from tests.billing import scene
from tests.conftest import Cast
from tests.factories import make_source

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("portal_db")]
GB = ("GB", 10**9, "decimal")
GIB = ("GiB", 2**30, "binary")


@pytest.fixture(autouse=True)
def _clock() -> Iterator[None]:
    with time_machine.travel(scene.instant("2026-05-20T12"), tick=False):
        yield


def text_of(html: str) -> str:
    text = " ".join(unescape(re.sub(r"<[^>]+>", "", html)).replace("\u202f", " ").split())
    return re.sub(r" ([.,:])", r"\1", text)


@pytest.fixture(params=[GB, GIB], ids=["decimal", "binary"])
def priced(request: Any, cast: Cast) -> tuple[str, int, str, Invoice]:
    """Twelve and a half units of traffic in April, in a bill, and twelve and a half in May."""
    unit, size, kind = request.param
    scene.meters("traffic", unit="bytes", dimensions=["region"])
    scene.make_profile(cast.ours)
    conversion = Conversion(unit=unit, units_per=Decimal(size))
    price = scene.usage_price(
        "traffic", PerUnit(unit_amount=Decimal("0.10")), unit="bytes", conversion=conversion
    )
    subscription = scene.subscribe(cast.ours, scene.make_plan("plan", [price]), "2026-04-01")
    rows = [("traffic", f"2026-0{month}-02", str(size * 25 // 2)) for month in (4, 5)]
    scene.deliver(make_source(), cast.ours, rows, region="eu")
    invoice = scene.bill(subscription, "2026-05-20T12")[0]
    return unit, size, kind, invoice


def get(client: Client, cast: Cast, path: str) -> str:
    return client.get(f"/a/{cast.ours.public_id}/{path}").content.decode()


def test_where_usage_went_says_it_with_the_bytes_beside(
    cast: Cast, signed_in: Any, priced: tuple[str, int, str, Invoice]
) -> None:
    unit, size, kind, invoice = priced

    text = text_of(get(signed_in(cast.viewer), cast, f"bills/{invoice.public_id}/where-usage-went/"))

    assert f"Quantity {unit}" in text
    assert "Charged12.5" in text
    assert f"Known12.5 {unit}1 record, {size * 25 // 2:,} bytes" in text
    assert f"1 {unit} is {size:,} bytes ({kind})." in text


@pytest.mark.parametrize("page", ["", "usage/?meter=traffic", "usage/?meter=traffic&measure=cost"])
def test_pages_of_usage_name_the_unit_of_the_price_and_its_size(
    cast: Cast, signed_in: Any, priced: tuple[str, int, str, Invoice], page: str
) -> None:
    unit, size, kind, _ = priced

    html = get(signed_in(cast.viewer), cast, page)

    assert f"1 {unit} is {size:,} bytes ({kind})." in text_of(html)
    shown = re.findall(rf'<data value="{size * 25 // 2}" title="[^"]+">([^<]+)</data>', html)
    assert shown
    assert {text.replace("\u202f", " ").removesuffix(f" {unit}") for text in shown} <= {"12.5", "12.50"}


def test_the_line_and_then_and_now_say_it_with_the_bytes_beside(
    cast: Cast, signed_in: Any, priced: tuple[str, int, str, Invoice]
) -> None:
    unit, size, kind, invoice = priced
    client, bytes_used = signed_in(cast.viewer), f"{size * 25 // 2:,} bytes"

    line = text_of(get(client, cast, f"bills/{invoice.public_id}/lines/1/"))
    then = get(client, cast, f"bills/{invoice.public_id}/then-and-now/")
    bill = text_of(get(client, cast, f"bills/{invoice.public_id}/"))

    assert f"add to 12.5 {unit} ({bytes_used})" in line
    assert f"Metered12.5 {unit} ({bytes_used})" in line
    assert f"1 {unit} is {size:,} bytes ({kind})." in line
    assert f'title="{size * 25 // 2:,}\u202fbytes">12.5</data></td>' in then
    assert f"1 {unit} is {size:,} bytes ({kind})." in text_of(then)
    assert f"Measured: {bytes_used}; 1 {unit} is {size:,} bytes ({kind})." in bill


def test_records_beside_a_bill_are_in_the_unit_of_its_price_under_the_name_of_the_meter(
    cast: Cast, signed_in: Any, priced: tuple[str, int, str, Invoice]
) -> None:
    unit, size, _, invoice = priced
    scene.deliver(make_source("late"), cast.ours, [("traffic", "2026-04-30T23", str(size))], region="eu")
    with as_owner():
        Meter.objects.filter(key="traffic").update(name="Traffic out")
    client = signed_in(cast.viewer)

    edges, then = (
        text_of(get(client, cast, f"bills/{invoice.public_id}/{page}/")) for page in ("edges", "then-and-now")
    )
    streamed = client.get(f"/a/{cast.ours.public_id}/bills/{invoice.public_id}/edges.csv")
    [row] = csv.DictReader(io.StringIO(b"".join(streamed.streaming_content).decode()))

    assert f"Traffic outeu1 {unit}" in edges
    assert re.search(rf"came ?Traffic out.*eu ?1 {unit}", then)
    assert (row["meter"], row["meter_name"]) == ("traffic", "Traffic out")
    assert (row["quantity"], row["unit"]) == (str(size), "bytes")
    assert (row["price_quantity"], row["price_unit"]) == ("1", unit)
