"""An account with three closed months and plans to ask about, for tests of estimates."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from accounts.models import Account
from accounts.tenancy import as_worker
from insights.models import CreditGrant, Invoice, Plan, Subscription
from insights.rating.charges import Graduated, PerUnit, Tier
from insights.rating.matrix import Cell, Matrix
from insights.rating.sheet import SheetPrice
from insights.rating.terms import Bound, Discount, PriceTerms
from tests.billing.scene import (
    bill,
    complete,
    deliver,
    fee,
    instant,
    make_plan,
    make_profile,
    meters,
    subscribe,
    usage_price,
)
from tests.factories import make_source

NOW = "2026-04-10T12"


@dataclass(frozen=True, slots=True)
class Asking:
    """The account's subscription, its plan, and its issued invoices, the oldest first."""

    subscription: Subscription
    invoices: list[Invoice]


def by_region(catch_all: str | None = "0.30", **cells: str) -> SheetPrice:
    """A price for bytes by region."""

    def terms(amount: str) -> PriceTerms:
        return PriceTerms(currency="USD", charge=PerUnit(unit_amount=Decimal(amount)), unit="unit")

    matrix = Matrix(
        dimensions=("region",),
        cells=tuple(
            Cell(values=(region.replace("_", "-"),), terms=terms(amount)) for region, amount in cells.items()
        ),
        catch_all=terms(catch_all) if catch_all else None,
    )
    return SheetPrice(key="bytes", name="Bytes", meter_key="bytes", matrix=matrix)


def make_plans(account: Account, other: Account) -> dict[str, Plan]:
    """Plans for everybody, of the account and of another one, in another currency and interval, and a retired one."""
    tiers = (
        Tier(above=Decimal(0), up_to=Decimal(100)),
        Tier(above=Decimal(100), up_to=None, unit_amount=Decimal("0.05")),
    )
    found = {
        "basic": make_plan(
            "basic",
            [
                fee("base", "10"),
                usage_price("requests", PerUnit(unit_amount=Decimal("0.10")), included=Decimal(20)),
                usage_price("bytes", PerUnit(unit_amount=Decimal("0.25"))),
            ],
        ),
        "growth": make_plan(
            "growth",
            [
                fee("base", "25"),
                usage_price("requests", Graduated(tiers=tiers)),
                by_region(eu="0.10", us="0.20"),
            ],
            discounts=(Discount(percent=Decimal(10)),),
            minimum=Bound(amount=Decimal(30)),
        ),
        "seats": make_plan(
            "seats",
            [
                SheetPrice(
                    key="seats",
                    name="Seats",
                    terms=PriceTerms(currency="USD", charge=PerUnit(unit_amount=Decimal(7))),
                    is_counted=True,
                )
            ],
        ),
        "ours": make_plan("ours", [fee("base", "1")]),
        "theirs": make_plan("theirs", [fee("base", "2")]),
        "euro": make_plan("euro", [fee("base", "3", currency="EUR")], currency="EUR"),
        "yearly": make_plan("yearly", [fee("base", "4")], interval=12),
        "retired": make_plan("retired", [fee("base", "5")]),
    }
    with as_worker():
        Plan.objects.filter(key="ours").update(account=account)
        Plan.objects.filter(key="theirs").update(account=other)
        Plan.objects.filter(key="retired").update(retired_at=instant("2026-01-15"))
    return found


def make_asking(account: Account, other: Account, *, credit_minor: int = 0) -> Asking:
    """January to March billed on basic with 19 % tax: 120, 70 and 20 requests, 40, 20 and 4 bytes in three regions."""
    meters("requests")
    meters("bytes", dimensions=["region"])
    source = make_source()
    make_profile(account, tax_name="VAT", tax_percent=Decimal(19))
    plans = make_plans(account, other)
    subscription = subscribe(account, plans["basic"], "2026-01-01")
    if credit_minor:
        with as_worker():
            CreditGrant.objects.create(
                account=account, kind="goodwill", name="Sorry", amount_minor=credit_minor, currency="USD",
                granted_at=instant("2026-01-01"), reason="outage",
            )  # fmt: skip
    for day, requests, quantity in (("2026-01-05", 120, 20), ("2026-02-05", 70, 10), ("2026-03-05", 20, 2)):
        deliver(source, account, [("requests", day, str(requests))])
        deliver(source, account, [("bytes", day, str(quantity))], region="eu")
        deliver(source, account, [("bytes", day, str(Decimal(quantity) / 2))], region="us")
        deliver(source, account, [("bytes", day, str(Decimal(quantity) / 2))], region="asia")
    complete(account, NOW)
    invoices = [one for one in bill(subscription, NOW) if one.number]
    assert len(invoices) == 3
    return Asking(subscription, invoices)
