"""An account's own terms for one price of a plan, as TOML: the fields of a price that are no part of what it is.

Unit, timing and proration are those of the price unless the text says otherwise; its key, meter and dimensions stay.
"""

from __future__ import annotations

from typing import Any

from insights.billing.plan_faults import InvalidPlan, PlanFault
from insights.billing.price_toml import PRICE_FIELDS, UNIT_FIELDS, read_price
from insights.billing.toml_table import TomlTable, parse_toml
from insights.rating.sheet import SheetPrice
from insights.rating.terms import PriceTerms
from insights.values.quantity import exact_text


def parse_override_toml(text: str, price: SheetPrice) -> SheetPrice:
    """The price with the terms of the text, or InvalidPlan with every fault that was found."""
    said = parse_toml(text)
    title = f"price {price.key}"
    message = "is what the price is, and stays; leave it out"
    faults = [PlanFault(title, name, "fixed", message) for name in PRICE_FIELDS if name in said]
    rest = {name: value for name, value in said.items() if name not in PRICE_FIELDS}
    _, terms = price.every_terms()[0]
    currency = terms.currency
    if price.matrix is None:
        rest = {**_plain_defaults(terms, rest), **rest}
    else:
        rest = {**_unit_defaults(terms, rest), **rest, "dimensions": list(price.matrix.dimensions)}
    table = TomlTable({**_identity(price), **rest}, title, faults)
    own = read_price(table, currency)
    if faults or own is None:
        raise InvalidPlan(faults)
    return own


def _identity(price: SheetPrice) -> dict[str, Any]:
    meter = {"meter": price.meter_key} if price.meter_key else {}
    return {
        "key": price.key,
        "name": price.name,
        **meter,
        "counted": price.is_counted,
        "taxable": price.is_taxable,
        "takes_credit": price.takes_credit,
    }


def _plain_defaults(terms: PriceTerms, said: dict[str, Any]) -> dict[str, Any]:
    how = {"timing": str(terms.timing), "prorated": terms.is_prorated}
    return {**_unit_defaults(terms, said), **how}


def _unit_defaults(terms: PriceTerms, said: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"unit": terms.unit} if terms.unit else {}
    if terms.conversion and not any(name in said for name in UNIT_FIELDS):
        per = {"unit": terms.conversion.unit, "units_per": exact_text(terms.conversion.units_per)}
        found["conversion"] = per
    return found
