"""What the demo sells: plans that load, and prices that come to the worked example they are taken from."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from accounts.models import User
from accounts.tenancy import as_worker
from insights.billing.catalogue_operations import load_plan, publish_version
from insights.billing.plan_toml import PlanDocument, parse_plan_toml
from insights.management import demo_purchases, demo_setup
from insights.models import Meter, Plan
from insights.rating.charges import Package, Packages, PerUnit
from insights.rating.sheet import SheetPrice
from insights.rating.terms import PriceTerms
from tests.billing.scene import amounts, bill, complete, deliver, make_profile, subscribe
from tests.factories import make_account, make_source
from usage_portal.demo import cast
from usage_portal.demo.company import build_company
from usage_portal.demo.purchases import PLANS, issued_month, plan_of

pytestmark = pytest.mark.database

NOW = datetime(2026, 11, 23, 14, tzinfo=UTC)
FILES = sorted(PLANS.glob("*.toml"))


def _document(name: str) -> PlanDocument:
    return parse_plan_toml((PLANS / f"{name}.toml").read_text())


def _with_users_and_events(document: PlanDocument) -> PlanDocument:
    """The plan with two things that the demo does not measure."""
    users = PriceTerms(currency="USD", charge=PerUnit(unit_amount=Decimal(5)), included=Decimal(3))
    blocks = Package(amount=Decimal("0.25"), size=Decimal(2000), counting=Packages.WHOLE)
    events = PriceTerms(currency="USD", charge=blocks, unit="events")
    more = (
        SheetPrice(key="users", name="Users", is_counted=True, terms=users),
        SheetPrice(key="events", name="Exported events", meter_key="exported_events", terms=events),
    )
    return replace(document, key="example", prices=(*document.prices, *more))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_plan_is_called_as_its_file(file: object) -> None:
    assert _document(file.stem).key == file.stem  # type: ignore[attr-defined]


def test_everybody_begins_on_a_plan_in_their_currency() -> None:
    for account in build_company(now=NOW).accounts:
        assert _document(plan_of(account)).currency == account.currency


@pytest.mark.parametrize(
    ("now", "last", "ten_before"),
    [
        ("2026-11-23T14", "2026-10-01", "2025-12-01"),
        ("2026-11-05T00", "2026-10-01", "2025-12-01"),
        ("2026-11-04T23", "2026-09-01", "2025-11-01"),
    ],
)
def test_the_last_month_billed_is_over_for_longer_than_the_grace(
    now: str, last: str, ten_before: str
) -> None:
    company = build_company(now=datetime.fromisoformat(now).replace(tzinfo=UTC), only=())

    assert issued_month(company, 0).isoformat() == last
    assert issued_month(company, 10).isoformat() == ten_before


def test_the_catalogue_is_published_once(portal_db: None) -> None:
    company = build_company(now=NOW, only=("plover-parcel",))
    with as_worker():
        demo_setup.set_up(company)
        demo_purchases.make_catalogue(company, actor=User.objects.get(email=cast.ADMIN_EMAIL))

        assert set(Plan.objects.values_list("key", flat=True)) == {file.stem for file in FILES}
        assert all(plan.versions.get().published_at == company.now for plan in Plan.objects.all())


def test_the_worked_example_comes_to_its_seven_lines_a_credit_and_a_fee(portal_db: None) -> None:
    account = make_account("acme", currency="USD", billing_zone="UTC")
    with as_worker():
        demo_setup.set_up(build_company(now=NOW, only=()))
        Meter.objects.create(
            key="exported_events", name="Exported events", unit="events", grain_seconds=86_400
        )
        loaded = load_plan(document=_with_users_and_events(_document("payg-usd")), actor=None)
        publish_version(key=loaded.key, number=loaded.number, actor=None, now=NOW)
        plan = Plan.objects.get(key="example")
    make_profile(account)
    subscription = subscribe(account, plan, "2026-10-01", counts={"users": "5"})
    used = {
        "bytes_out": "62500000000", "requests": "1350000", "tcp_connections": "41000",
        "custom_domain_hours": "1488", "policy_units": "12400000", "exported_events": "30000",
    }  # fmt: skip
    deliver(make_source("usage"), account, [(meter, "2026-10-05", used[meter]) for meter in used])
    complete(account, "2026-11-05")

    issued = bill(subscription, "2026-11-02")[0]

    made = amounts(issued)
    usage = {name: minor for name, minor in made.items() if name not in ("Base fee", "Included usage credit")}
    assert usage == {
        "Data transfer out": 575, "Requests": 1250, "TCP and TLS connections": 72, "Custom domains": 744,
        "Traffic policy units": 907, "Endpoint hours (illustrative rate)": 0, "Users": 1000, "Exported events": 375,
    }  # fmt: skip
    assert (sum(usage.values()), made["Included usage credit"], made["Base fee"]) == (4923, -2000, 2000)
    assert (issued.state, issued.total_minor) == ("issued", 4923)
