"""One plan file in TOML: the plan, one version of it and its prices; read strictly, and written back.

Refuses unknown fields, floats, unknown currencies, tiers with a gap or an overlap, and two prices for one meter, and
names every fault at once. `docs/pricing.md` shows the form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from insights.billing.plan_faults import InvalidPlan, PlanFault
from insights.billing.price_toml import code_of, read_bound, read_discounts, read_price
from insights.billing.toml_table import TomlTable, parse_toml
from insights.rating.figures import InvalidTerms
from insights.rating.sheet import IncludedCredit, PriceSheet, SheetPrice
from insights.rating.terms import Bound, Discount
from insights.values.money import CURRENCY_DECIMALS

KINDS = ("base", "add_on")
INTERVALS = {"month": 1, "quarter": 3, "year": 12}
RESERVED_KEYS = frozenset({"new"})
PRICES_MAX = 500
_POSITION_MAX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanDocument:
    """A plan and one version of it as a file says them. `account_reference` empty: the plan is offered to all."""

    key: str
    name: str
    description: str = ""
    kind: str = "base"
    currency: str
    interval_months: int = 1
    account_reference: str = ""
    position: int = 0
    effective_from: datetime
    note: str = ""
    prices: tuple[SheetPrice, ...]
    discounts: tuple[Discount, ...] = ()
    minimum: Bound | None = None
    maximum: Bound | None = None
    included_credit: IncludedCredit | None = None

    def sheet(self, number: int) -> PriceSheet:
        """The version as rating sees it, under this number; or InvalidTerms."""
        return PriceSheet(
            plan_key=self.key,
            plan_name=self.name,
            version=number,
            effective_from=self.effective_from,
            currency=self.currency,
            prices=self.prices,
            discounts=self.discounts,
            minimum=self.minimum,
            maximum=self.maximum,
            included_credit=self.included_credit,
        )


def parse_plan_toml(text: str) -> PlanDocument:
    """The plan that the text describes, or InvalidPlan with every fault that was found."""
    return parse_plan_table(parse_toml(text))


def parse_plan_table(values: Mapping[str, Any]) -> PlanDocument:
    """The plan that a document, read by `parse_toml`, describes; or InvalidPlan with every fault."""
    faults: list[PlanFault] = []
    root = TomlTable(values, "plan", faults)
    currency = _read_currency(root)
    plan: dict[str, Any] = {
        "key": _read_plan_key(root),
        "name": root.text("name", longest=100, required=True),
        "description": root.text("description", longest=500),
        "kind": root.choice("kind", KINDS, absent=KINDS[0]),
        "interval_months": INTERVALS[root.choice("interval", tuple(INTERVALS), absent="month")],
        "account_reference": root.text("account", longest=200),
        "position": root.whole("position", absent=0, most=_POSITION_MAX),
    }
    version = _read_version(root)
    prices = _read_prices(root, currency)
    root.refuse_unknown()
    _refuse_twice(root, prices)
    if plan["kind"] != KINDS[0] and any(price.meter_key for price in prices):
        root.fault("kind", "metered", "is an add-on, which has fees and no price for a meter")
    if faults:
        raise InvalidPlan(faults)
    document = PlanDocument(currency=currency, prices=prices, **plan, **version)
    try:
        document.sheet(1)
    except InvalidTerms as error:
        raise InvalidPlan([PlanFault("version", "", code_of(str(error)), str(error))]) from None
    return document


def _read_plan_key(root: TomlTable) -> str:
    key = root.key("key", required=True)
    if key in RESERVED_KEYS:
        root.fault("key", "reserved", f"cannot be {key}, which is an address of the portal")
    return key


def _read_currency(root: TomlTable) -> str:
    currency = root.text("currency", longest=3, required=True)
    if currency and currency not in CURRENCY_DECIMALS:
        root.fault(
            "currency", "unknown_currency", f"{currency} is not a currency known here; write such as USD"
        )
        return ""
    return currency


def _read_version(root: TomlTable) -> dict[str, Any]:
    table = root.table("version", "version", required=True)
    if table is None:
        return {}
    fields = {
        "effective_from": table.instant("effective_from", required=True),
        "note": table.text("note", longest=500),
        "discounts": read_discounts(table),
        "minimum": read_bound(table, "minimum"),
        "maximum": read_bound(table, "maximum"),
        "included_credit": _read_credit(table),
    }
    table.refuse_unknown()
    return fields


def _read_credit(version: TomlTable) -> IncludedCredit | None:
    table = version.table("included_credit", "version, included_credit")
    if table is None:
        return None
    name = table.text("name", longest=100, required=True)
    amount = table.number("amount", required=True)
    covers = table.texts("covers", longest=60)
    table.refuse_unknown()
    return None if amount is None else IncludedCredit(name=name, amount=amount, covers=covers)


def _read_prices(root: TomlTable, currency: str) -> tuple[SheetPrice, ...]:
    rows = root.tables("prices", required=True)
    if len(rows) > PRICES_MAX:
        root.fault("prices", "out_of_range", f"may be at most {PRICES_MAX}")
        return ()
    if root.values.get("prices") == []:
        root.fault("prices", "missing", "must have at least one price")
    found = [
        read_price(TomlTable(row, _title(number, row), root.faults), currency)
        for number, row in enumerate(rows, 1)
    ]
    return tuple(price for price in found if price)


def _title(number: int, row: object) -> str:
    key = row.get("key") if isinstance(row, dict) else None
    usable = isinstance(key, str) and key.isprintable() and 0 < len(key) <= 60
    return f"price {key}" if usable else f"price number {number}"


def _refuse_twice(root: TomlTable, prices: Sequence[SheetPrice]) -> None:
    for name, keys in (
        ("key", [price.key for price in prices]),
        ("meter", [price.meter_key for price in prices if price.meter_key]),
    ):
        for key in sorted({key for key in keys if keys.count(key) > 1}):
            root.fault("prices", "duplicate", f"has {keys.count(key)} prices of {name} {key}; keep one")
