"""The proof of a bill from the page: what it holds, who gets it, and that it checks out for every kind of meter."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from contextlib import redirect_stdout
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import SupportAccessPage
from accounts.tenancy import as_staff, as_worker
from insights.billing.subscription_operations import end_subscription
from insights.exports import verify_bill
from insights.models import (
    CreditGrant,
    Download,
    Invoice,
    Meter,
    RollupSeal,
    Settlement,
    Source,
    Subscription,
)
from insights.rating.charges import Graduated, PerUnit, Tier
from insights.rating.matrix import Cell, Matrix
from insights.rating.sheet import SheetPrice
from insights.rating.terms import Bound, Conversion, Discount, FeeTiming, PriceTerms
from tests import factories
from tests.billing.scene import (
    bill,
    change_plan,
    complete,
    deliver,
    fee,
    hours,
    instant,
    make_plan,
    make_profile,
    meters,
    subscribe,
    usage_price,
)
from tests.conftest import Cast

pytestmark = pytest.mark.database
TEN_CENTS = PerUnit(unit_amount=Decimal("0.10"))
METERS = {
    "requests": ("unit", "sum"),
    "calls": ("unit", "count"),
    "peak": ("unit", "max"),
    "seats_used": ("unit", "latest"),
    "storage": ("byte", "time_weighted_sum"),
    "endpoints": ("unit", "unique_count"),
    "bytes": ("byte", "sum"),
}
PLACES = (("a", "eu-west"), ("b", "us-east"), ("b", "=1+1"), ("a", "us-east"))
TIERS = Graduated(
    tiers=(
        Tier(above=Decimal(0), up_to=Decimal(100), unit_amount=Decimal("0.05"), flat_amount=Decimal(3)),
        Tier(above=Decimal(100), up_to=None, unit_amount=Decimal("0.013")),
    ),
    flat_at_zero=True,
)


@pytest.fixture
def edge(cast: Cast) -> Source:
    with as_worker():
        for number, (key, (unit, aggregation)) in enumerate(METERS.items()):
            Meter.objects.create(
                key=key, name=key, unit=unit, aggregation=aggregation, grain_seconds=3600, position=number,
                dimensions=["endpoint", "region"],
                unique_dimensions=["endpoint"] if aggregation == "unique_count" else [],
            )  # fmt: skip
    make_profile(cast.ours, tax_name="VAT", tax_percent=Decimal("8.1"))
    return factories.make_source("edge", clock_zone="")


def by_region() -> SheetPrice:
    kilobytes = Conversion(unit="kB", units_per=Decimal(1000))
    cells = tuple(
        Cell(
            values=(region,),
            terms=PriceTerms(currency="EUR", charge=TIERS, unit="byte", conversion=kilobytes),
        )
        for region in ("eu-west", "us-east")
    )
    rest = PriceTerms(currency="EUR", charge=TEN_CENTS, unit="byte", included=Decimal(7))
    matrix = Matrix(dimensions=("region",), cells=cells, catch_all=rest)
    return SheetPrice(key="bytes", name="Bytes", meter_key="bytes", matrix=matrix)


def prices() -> list[SheetPrice]:
    return [
        usage_price("requests", TIERS, currency="EUR", included=Decimal(12)),
        usage_price("calls", TEN_CENTS, currency="EUR", minimum=Bound(amount=Decimal(2), is_prorated=True)),
        usage_price("peak", TIERS, currency="EUR"),
        usage_price("seats_used", TEN_CENTS, currency="EUR", discounts=(Discount(percent=Decimal(15)),)),
        usage_price("storage", PerUnit(unit_amount=Decimal("0.0007")), unit="byte hours", currency="EUR"),
        usage_price("endpoints", TEN_CENTS, currency="EUR"),
        by_region(),
        fee("base", "31", timing=FeeTiming.IN_ADVANCE, currency="EUR"),
        fee("setup", "50", timing=FeeTiming.ONCE, currency="EUR", is_prorated=False),
    ]


def use(edge: Source, cast: Cast, month: str, *more: str) -> None:
    """Some of every meter, by endpoints and regions, on days and in pieces of days."""
    at = [
        f"{hour}:00:00Z" for hour in (*hours(f"{month}-03", 3), *hours(f"{month}-14T03", 4), f"{month}-28T23")
    ]
    lines = [
        f"ansel,{meter},{hour},{number + place + 1},{endpoint},{region}"
        for number, (endpoint, region) in enumerate(PLACES)
        for meter in METERS
        for place, hour in enumerate(at)
    ]
    batch = factories.ingest_now(
        edge, "\n".join(["account,meter,window_start,quantity,endpoint,region", *lines, *more]) + "\n"
    )
    assert batch.rejected == 0


@pytest.fixture
def bills(edge: Source, cast: Cast) -> list[Invoice]:
    """An opening bill, March with a change of plan, and April with corrections of March."""
    # The fee of the first plan comes back on a bill without its discount, so the opening bill is made again.
    discounts = (Discount(percent=Decimal(3)),)
    small = make_plan(
        "small", prices(), currency="EUR", minimum=Bound(amount=Decimal(20)), discounts=discounts
    )
    large = make_plan(
        "large", [*prices()[:-2], fee("base", "62", timing=FeeTiming.IN_ADVANCE, currency="EUR")], currency="EUR",
    )  # fmt: skip
    with as_worker():
        for name, minor, is_before_tax in (("Welcome", 60_000, True), ("Sorry", 400, False)):
            CreditGrant.objects.create(
                account=cast.ours, kind="promotion", name=name, amount_minor=minor, currency="EUR",
                granted_at=instant("2026-01-01"), reason=name, is_before_tax=is_before_tax,
            )  # fmt: skip
    trial = factories.make_source("trial", clock_zone="", billable=False)
    subscription = subscribe(cast.ours, small, "2026-03-01", billing_zone="UTC")
    change_plan(subscription, large, "2026-03-14T05", policy="continue")
    use(edge, cast, "2026-03")
    deliver(trial, cast.ours, [("requests", "2026-03-05", "1000")], endpoint="a", region="eu-west")
    complete(cast.ours, "2026-04-01")
    bill(subscription, "2026-04-01T01")
    late = ("requests,2026-03-20T00:00:00Z,77", "peak,2026-03-21T00:00:00Z,99")
    others = "brook-CANARY,requests,2026-04-05T00:00:00Z,5,CANARY,eu-west"
    use(edge, cast, "2026-04", *(f"ansel,{line},c,eu-west" for line in late), others)
    complete(cast.ours, "2026-05-01")
    return [one for one in bill(subscription, "2026-05-01T01") if one.state == "issued"]


def proof_url(cast: Cast, invoice: Invoice) -> str:
    return reverse("bill-proof", args=[cast.ours.public_id, invoice.public_id])


def read(response: Any) -> bytes:
    content: bytes = b"".join(response.streaming_content)
    response.close()
    return content


def check(content: bytes, folder: Path) -> tuple[int, str]:
    """What the program says of a zip."""
    path = folder / "bill.zip"
    path.write_bytes(content)
    said = io.StringIO()
    with redirect_stdout(said):
        code = verify_bill.verify(str(path))
    return code, said.getvalue()


def members(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as opened:
        assert opened.testzip() is None
        return {name: opened.read(name) for name in opened.namelist()}


def test_every_line_is_equal_for_every_way_to_put_quantities_together(
    cast: Cast, bills: list[Invoice], signed_in: Any, tmp_path: Path
) -> None:
    assert len(bills) == 3
    for invoice in bills:
        code, said = check(read(signed_in(cast.viewer).get(proof_url(cast, invoice))), tmp_path)
        assert (code, said.splitlines()[-1].split()[0]) == (0, "all"), said
    april = said
    assert "Requests" in april
    assert {line.kind for line in _lines(bills[2])} >= {"charge", "correction", "tax", "credit"}
    # March took back what the opening bill had, at that bill's discount and tax.
    opening, march = _lines(bills[0]), _lines(bills[1])
    corrected = {line.corrects_id: -line.amount_minor for line in march if line.kind == "correction"}
    assert corrected == {line.pk: line.amount_minor for line in opening}
    assert {line.kind for line in opening} == {"charge", "discount", "tax"}


def test_lower_maximums_and_what_is_corrected_down_under_them_are_equal(
    edge: Source, cast: Cast, signed_in: Any, tmp_path: Path
) -> None:
    plans = [
        make_plan(
            key,
            [
                usage_price(
                    "requests",
                    PerUnit(unit_amount=Decimal(1)),
                    currency="EUR",
                    discounts=(Discount(amount=Decimal(off)),),
                    maximum=Bound(amount=Decimal(most)),
                )
            ],
            currency="EUR",
        )
        for key, off, most in (("first", 10, 100), ("second", 50, 60), ("third", 50, 60))
    ]
    subscription = subscribe(cast.ours, plans[0], "2026-03-01", billing_zone="UTC")
    change_plan(subscription, plans[1], "2026-03-11", policy="continue")
    change_plan(subscription, plans[2], "2026-03-21", policy="continue")
    for day, quantity in (("05", "100"), ("15", "5"), ("25", "60")):
        deliver(edge, cast.ours, [("requests", f"2026-03-{day}", quantity)], endpoint="a", region="eu-west")
    complete(cast.ours, "2026-04-01")
    [march, _] = bill(subscription, "2026-04-01T01")
    batch = factories.ingest_now(
        edge,
        "account,meter,window_start,quantity,endpoint,region,revision\n"
        "ansel,requests,2026-03-05T00:00:00Z,30,a,eu-west,2\n",
    )
    assert batch.rejected == 0
    complete(cast.ours, "2026-05-01")
    [march, april, _] = bill(subscription, "2026-05-01T01")

    # 165 less 50, of which the 90 charged before the 11th stay; then 95 less 50.
    charged, corrected = (
        [int(line.amount_minor) for line in _lines(one) if line.meter_key] for one in (march, april)
    )
    assert charged == [9_000, -3_500, 3_500]
    assert sum(charged) + sum(corrected) == 4_500
    for invoice in (march, april):
        code, said = check(read(signed_in(cast.viewer).get(proof_url(cast, invoice))), tmp_path)
        assert (code, said.splitlines()[-1].split()[0]) == (0, "all"), said


def _lines(invoice: Invoice) -> list[Any]:
    with as_worker():
        return list(invoice.lines.filter(account=invoice.account_id))


def test_what_is_in_it_and_that_it_says_what_was_issued(
    cast: Cast, bills: list[Invoice], signed_in: Any
) -> None:
    response = signed_in(cast.viewer).get(proof_url(cast, bills[2]))

    content = read(response)
    found = members(content)
    assert response.headers["Content-Type"] == "application/zip"
    assert response.headers["Content-Disposition"] == f'attachment; filename="bill-{bills[2].number}.zip"'
    assert {
        "README.txt",
        "verify_bill.py",
        "invoice.json",
        "lines.csv",
        "meters.json",
        "manifest.json",
    } <= set(found)
    assert {"records/requests-v1.csv", f"records/{bills[1].number}.requests-v1.csv"} <= set(found)
    assert hashlib.sha256(found["invoice.json"]).digest() == bytes(bills[2].sha256 or b"")
    manifest = json.loads(found["manifest.json"])
    assert manifest["corrected"] == [bills[1].number]
    assert (manifest["ledger_position"], manifest["account"]) == (bills[2].usage_as_of, cast.ours.reference)
    assert not [name for name, member in found.items() if b"CANARY" in member.upper()]
    # Ids of rows stay inside.
    invoice = json.loads(found["invoice.json"])["invoice"]
    assert not {"account_id", "subscription_id", "legal_entity_id"} & set(invoice)
    assert not any("grant_id" in credit for credit in invoice["details"]["credits"])
    with as_worker():
        [download] = Download.objects.all()
    assert (download.kind, download.state, download.rows) == (
        "proof", "done", sum(member.get("records", 0) for member in manifest["members"]),
    )  # fmt: skip
    assert (download.sha256, download.size_bytes) == (hashlib.sha256(content).hexdigest(), len(content))


def test_it_is_the_same_after_whatever_comes_later(
    cast: Cast, edge: Source, bills: list[Invoice], signed_in: Any
) -> None:
    client = signed_in(cast.viewer)
    before = [read(client.get(proof_url(cast, invoice))) for invoice in bills]
    with as_worker():
        subscription = Subscription.objects.get()
        Settlement.objects.filter(invoice=bills[1]).update(state="paid", changed_at=timezone.now())
    rows = "account,meter,window_start,quantity,endpoint,region,revision\n"
    factories.ingest_now(edge, f"{rows}ansel,requests,2026-03-03T00:00:00Z,999,a,eu-west,2\n")
    deliver(edge, cast.ours, [("requests", "2026-04-20", "5")], endpoint="new", region="eu-west")
    meters("later", dimensions=["endpoint", "region"])
    deliver(edge, cast.ours, [("later", "2026-04-20", "5")], endpoint="new", region="eu-west")
    complete(cast.ours, "2026-06-01")
    assert len(bill(subscription, "2026-06-01T01")) > 3

    after = [read(client.get(proof_url(cast, invoice))) for invoice in bills]

    assert before == after


def test_only_an_issued_bill_has_one(cast: Cast, edge: Source, signed_in: Any) -> None:
    subscription = subscribe(
        cast.ours, make_plan("p", [usage_price("requests", TEN_CENTS, currency="EUR")], currency="EUR"), "2026-03-01",
        billing_zone="UTC",
    )  # fmt: skip
    [draft] = bill(subscription, "2026-03-05")
    client = signed_in(cast.viewer)

    detail = reverse("bill-detail", args=[cast.ours.public_id, draft.public_id])
    answer = client.get(proof_url(cast, draft))
    assert (answer.status_code, answer.headers["Location"]) == (302, detail)
    page = client.get(detail).content.decode()
    assert "Proof (zip)" not in page


def test_the_page_says_how_to_check_it(cast: Cast, bills: list[Invoice], signed_in: Any) -> None:
    client = signed_in(cast.viewer)

    page = client.get(reverse("bill-detail", args=[cast.ours.public_id, bills[1].public_id])).content.decode()
    program = client.get(reverse("bill-verifier", args=[cast.ours.public_id]))

    assert proof_url(cast, bills[1]) in page
    assert "How to check this bill yourself" in page
    assert program.content == Path(verify_bill.__file__).read_bytes()
    assert program.headers["Content-Disposition"] == 'attachment; filename="verify_bill.py"'


def test_support_gets_it_and_strangers_do_not(cast: Cast, bills: list[Invoice], signed_in: Any) -> None:
    url = proof_url(cast, bills[1])
    assert signed_in(cast.stranger).get(url).status_code == 404
    assert signed_in(cast.staff).get(url).status_code == 404
    factories.open_support_access(cast.ours, cast.staff)

    assert members(read(signed_in(cast.staff).get(url)))

    with as_worker():
        assert "proof.zip" in SupportAccessPage.objects.get().path
        assert Download.objects.get().asked_by == "support: staff@example.com"


def test_head_opens_nothing_and_slots_are_those_of_other_downloads(
    cast: Cast, bills: list[Invoice], signed_in: Any
) -> None:
    client = signed_in(cast.viewer)
    assert client.head(proof_url(cast, bills[1])).headers["Content-Type"] == "application/zip"
    with as_worker():
        assert not Download.objects.exists()
    running = [client.get(proof_url(cast, bills[1])) for _ in range(2)]

    assert client.get(proof_url(cast, bills[1])).status_code == 429

    for response in running:
        response.close()
    with as_worker():
        assert {one.state for one in Download.objects.all()} == {"cut"}


def test_archived_records_are_named_and_the_rest_is_checked(
    cast: Cast, bills: list[Invoice], signed_in: Any, tmp_path: Path
) -> None:
    with as_worker():
        RollupSeal.objects.create(
            account=cast.ours,
            month=instant("2026-03-01").date(),
            rollup="insights_usagerollup",
            rows=3,
            sha256="ab" * 32,
        )

    content = read(signed_in(cast.viewer).get(proof_url(cast, bills[1])))

    assert not [name for name in members(content) if name.startswith("records/")]
    code, said = check(content, tmp_path)
    assert code == 0, said
    assert "archived (2026-03)" in said
    assert "ab" * 32 in members(content)["manifest.json"].decode()


def test_a_closing_bill_and_a_meter_with_two_versions(
    cast: Cast, edge: Source, signed_in: Any, tmp_path: Path
) -> None:
    """Usage of two versions in one month, a fee ahead that comes back, and usage that came after the end."""
    plan = make_plan("p", [usage_price("requests", TIERS, currency="EUR"), prices()[-2]], currency="EUR")
    subscription = subscribe(cast.ours, plan, "2026-03-01", billing_zone="UTC")
    deliver(edge, cast.ours, [("requests", "2026-03-05", "75")], endpoint="a", region="eu-west")
    with as_worker():
        first = Meter.objects.get(key="requests")
        Meter.objects.filter(pk=first.pk).update(retired_at=instant("2026-03-20"))
        first.pk, first.version, first.retired_at = None, 2, None
        first.save()
    deliver(edge, cast.ours, [("requests", "2026-03-25", "150")], endpoint="a", region="eu-west")
    complete(cast.ours, "2026-04-01")
    bill(subscription, "2026-04-01T01")
    with as_staff():
        end_subscription(
            account_id=cast.ours.pk, subscription_id=subscription.public_id, ends_at=instant("2026-04-01"), by=None,
            now=instant("2026-04-01T02"),
        )  # fmt: skip
    deliver(edge, cast.ours, [("requests", "2026-03-26", "40")], endpoint="b", region="eu-west")

    made = bill(subscription, "2026-04-10")

    assert [one.kind for one in made] == ["opening", "period", "closing"]
    assert len([line for line in _lines(made[1]) if line.meter_key == "requests"]) == 2
    for invoice in made:
        code, said = check(read(signed_in(cast.viewer).get(proof_url(cast, invoice))), tmp_path)
        assert code == 0, said
