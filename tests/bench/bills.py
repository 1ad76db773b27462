"""Two bills of about thirty lines for the account whose pages are timed, issued for the two months before this one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from accounts.models import Account
from accounts.tenancy import as_worker
from insights.models import InvoiceState, LineItem, Meter
from insights.rating.charges import Graduated, PerUnit, Tier
from insights.rating.matrix import Cell, Matrix
from insights.rating.sheet import SheetPrice
from insights.rating.terms import PriceTerms
from tests.bench.rows import ENDPOINTS, METERS
from tests.billing.scene import bill, complete, fee, make_plan, make_profile, subscribe, usage_price

FEES = 4
MONTHS = 2


@dataclass(frozen=True, slots=True)
class IssuedBill:
    """A bill, and the place of its line of one meter in all."""

    public_id: UUID
    position: int


def issue_bills(account: Account) -> IssuedBill:
    """Sell the account a plan with a price for each endpoint, and issue two months; returns the later bill."""
    today = datetime.now(UTC).date()
    start = _month_before(_month_before(today))
    with as_worker():
        units = dict(Meter.objects.filter(key__in=METERS).values_list("key", "unit"))
    tiers = (
        Tier(above=Decimal(0), up_to=Decimal(1_000_000), unit_amount=Decimal("0.0001")),
        Tier(above=Decimal(1_000_000), up_to=None, unit_amount=Decimal("0.00005")),
    )
    prices = [
        _by_endpoint(
            "requests", PriceTerms(currency="USD", charge=Graduated(tiers=tiers), unit=units["requests"])
        ),
        usage_price("bytes_out", PerUnit(unit_amount=Decimal("0.000001")), unit=units["bytes_out"]),
        *(fee(f"fee_{number}", f"{number}0") for number in range(1, FEES + 1)),
    ]
    make_profile(account, tax_name="VAT", tax_percent=Decimal(19))
    subscription = subscribe(account, make_plan("bench", prices), str(start))
    complete(account, str(today))
    issued = [one for one in bill(subscription, f"{today}T00") if one.state == InvoiceState.ISSUED]
    if len(issued) != MONTHS:
        raise RuntimeError(f"{len(issued)} of {MONTHS} bills were issued")
    with as_worker():
        line = LineItem.objects.get(invoice=issued[-1], meter_key="bytes_out")
    return IssuedBill(issued[-1].public_id, line.position)


def _month_before(day: date) -> date:
    return (day.replace(day=1) - timedelta(days=1)).replace(day=1)


def _by_endpoint(meter_key: str, terms: PriceTerms) -> SheetPrice:
    cells = tuple(Cell(values=(f"e{number}",), terms=terms) for number in range(ENDPOINTS))
    matrix = Matrix(dimensions=("endpoint",), cells=cells, catch_all=terms)
    return SheetPrice(key=meter_key, name=meter_key.capitalize(), meter_key=meter_key, matrix=matrix)
