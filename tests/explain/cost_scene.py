"""Accounts that were made up for tests about cost: plans that change in mid-period, every kind of price, late usage."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from accounts.models import Account
from accounts.tenancy import account_scope
from insights.explain.cost_answer import CostAnswer, CurrencyCost
from insights.explain.cost_queries import read_cost
from insights.metering.meter_queries import list_meters
from insights.metering.usage_filter import parse_usage_filter
from insights.models import Invoice, LineItem, Plan, Source
from insights.rating.charges import (
    ChargeModel,
    Graduated,
    Package,
    Packages,
    PerUnit,
    Stairstep,
    Tier,
    Volume,
)
from insights.rating.matrix import Cell, Matrix
from insights.rating.sheet import SheetPrice
from insights.rating.terms import Bound, Discount, PriceTerms
from tests.billing import scene
from tests.conftest import Cast
from tests.factories import make_source

NOW = datetime(2026, 5, 20, 12, tzinfo=UTC)
POLICIES = ("restart", "continue", "shared_by_time")


@dataclass(frozen=True, slots=True)
class CostWorld:
    """An account with its bills: March and April issued, May running."""

    account: Account
    invoices: tuple[Invoice, ...]


def _tiers(chance: random.Random, *, units: bool = True) -> tuple[Tier, ...]:
    ends = sorted(chance.sample(range(20, 400), 2))
    bounds = [Decimal(0), *map(Decimal, ends)]
    return tuple(
        Tier(
            above=above,
            up_to=up_to,
            unit_amount=Decimal(chance.randrange(1, 400)).scaleb(-4) if units else Decimal(0),
            flat_amount=Decimal(chance.choice((0, 0, 3, 7))),
        )
        for above, up_to in zip(bounds, [*bounds[1:], None], strict=True)
    )


def _charge(chance: random.Random) -> ChargeModel:
    makers = (
        lambda: Graduated(tiers=_tiers(chance), flat_at_zero=chance.random() < 0.5),
        lambda: Volume(tiers=_tiers(chance)),
        lambda: Package(amount=Decimal("0.37"), size=Decimal(13), counting=Packages.WHOLE),
        lambda: Stairstep(tiers=_tiers(chance, units=False)),
        lambda: PerUnit(unit_amount=Decimal("0.0333")),
    )
    return chance.choice(makers)()


def _terms(chance: random.Random) -> PriceTerms:
    return PriceTerms(
        currency="USD",
        charge=_charge(chance),
        unit="unit",
        included=Decimal(chance.choice((0, 0, 25))),
        discounts=(Discount(percent=Decimal("12.5")),) if chance.random() < 0.5 else (),
        minimum=Bound(amount=Decimal(4)) if chance.random() < 0.3 else None,
    )


def _calls(chance: random.Random) -> SheetPrice:
    if chance.random() < 0.6:
        return SheetPrice(key="calls", name="Calls", meter_key="calls", terms=_terms(chance))
    matrix = Matrix(
        dimensions=("region",),
        cells=(Cell(values=("eu",), terms=_terms(chance)),),
        catch_all=_terms(chance),
    )
    return SheetPrice(key="calls", name="Calls", meter_key="calls", matrix=matrix)


def _plan(chance: random.Random, key: str) -> Plan:
    other = scene.usage_price("other", PerUnit(unit_amount=Decimal("0.02")))
    return scene.make_plan(
        key,
        [scene.fee("base", "20.00"), _calls(chance), other],
        discounts=(Discount(percent=Decimal(10)),) if chance.random() < 0.5 else (),
        minimum=Bound(amount=Decimal(90)) if chance.random() < 0.5 else None,
    )


def make_cost_world(cast: Cast, seed: int) -> CostWorld:
    """Three months of one account on two plans, with usage of March that came in April."""
    chance = random.Random(seed)
    scene.meters("calls", "other", dimensions=["region", "endpoint"])
    first, second = _plan(chance, "first"), _plan(chance, "second")
    scene.make_profile(cast.ours)
    subscription = scene.subscribe(cast.ours, first, "2026-03-01")
    change = f"2026-0{chance.choice((3, 4))}-{chance.randrange(8, 22):02}T{chance.randrange(24):02}"
    scene.change_plan(subscription, second, change, policy=chance.choice(POLICIES))
    source = make_source()
    _deliver(chance, source, cast.ours, "2026-03-02", days=28)
    scene.complete(cast.ours, "2026-04-01")
    scene.bill(subscription, "2026-04-05")
    _deliver(chance, source, cast.ours, "2026-03-10", days=5, endpoints=("late",))
    _deliver(chance, source, cast.ours, "2026-04-01", days=30)
    scene.complete(cast.ours, "2026-05-01")
    scene.bill(subscription, "2026-05-05")
    _deliver(chance, source, cast.ours, "2026-05-01", days=18)
    scene.complete(cast.ours, "2026-05-20")
    invoices = scene.bill(subscription, NOW.strftime("%Y-%m-%dT%H"))
    return CostWorld(cast.ours, tuple(invoices))


def _deliver(
    chance: random.Random,
    source: Source,
    account: Account,
    start: str,
    *,
    days: int,
    endpoints: tuple[str, ...] = ("api", "www", "cdn"),
) -> None:
    first = scene.instant(start)
    for region in ("eu", "us", "ap"):
        for endpoint in endpoints:
            rows = [
                (
                    chance.choice(("calls", "calls", "other")),
                    (first + timedelta(days=day, hours=chance.randrange(24))).strftime("%Y-%m-%dT%H"),
                    str(Decimal(chance.randrange(1, 9_000)).scaleb(-3)),
                )
                for day in range(days)
                if chance.random() < 0.7
            ]
            if rows:
                scene.deliver(source, account, rows, region=region, endpoint=endpoint)


def cost_of(account: Account, **asked: str) -> CostAnswer:
    """Ask for the cost of calls; parameters by name, those of dimensions with two underscores for the dot."""
    with account_scope(account.pk, read_only=True):
        question = parse_usage_filter(
            [
                ("measure", "cost"),
                *((_parameter(name), text) for name, text in ({"meter": "calls"} | asked).items()),
            ],
            meters=list_meters(account),
            zone=ZoneInfo(account.billing_zone),
            now=NOW,
        )
        return read_cost(account, question, NOW)


def _parameter(name: str) -> str:
    return name.replace("__", ".").rstrip("_")


def only(answer: CostAnswer) -> CurrencyCost:
    """The answer where one currency was billed."""
    [one] = answer.currencies
    return one


def lines_for(world: CostWorld, *, starts: str = "", before: str = "") -> list[LineItem]:
    """The stored lines for calls whose time begins in a stretch of UTC days."""
    return [
        line
        for invoice in world.invoices
        for line in scene.lines_of(invoice)
        if line.meter_key == "calls"
        and (not starts or line.service_start >= scene.instant(starts))
        and (not before or line.service_start < scene.instant(before))
    ]
