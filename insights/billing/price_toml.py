"""One price of a plan file: its charge model with that model's own fields, its unit, and what else holds for it.

Tiers may say `up_to` alone; each then begins where the one before ended. Every fault is kept, not only the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from insights.billing.toml_table import TomlTable
from insights.rating.charges import (
    ChargeModel,
    Flat,
    Package,
    Packages,
    Percentage,
    PerUnit,
    Tier,
    tier_faults,
)
from insights.rating.figures import InvalidTerms
from insights.rating.matrix import Cell, Matrix
from insights.rating.sheet import SheetPrice
from insights.rating.terms import Bound, Conversion, Discount, FeeTiming, PriceTerms
from insights.rating.terms_json import CHARGE_MODELS
from insights.values.quantity import UnknownConversion, units_per

TIERED = ("graduated", "volume", "graduated_percentage", "stairstep")
# The fields that each charge model has of its own; any other one of these would be promised and not charged.
MODEL_FIELDS: Mapping[str, tuple[str, ...]] = {
    "flat": ("amount",),
    "per_unit": ("unit_amount",),
    "package": ("amount", "size", "counting"),
    "percentage": ("percent", "fixed_amount", "count_meter"),
    **dict.fromkeys(TIERED, ("tiers", "flat_at_zero")),
}
TIER_FIELDS: Mapping[str, tuple[str, ...]] = {
    "graduated": ("unit_amount", "flat_amount"),
    "volume": ("unit_amount", "flat_amount"),
    "graduated_percentage": ("percent", "flat_amount"),
    "stairstep": ("flat_amount",),
}
UNIT_FIELDS = ("unit", "per", "conversion")
PRICE_FIELDS = ("key", "name", "meter", "counted", "taxable", "takes_credit", "dimensions")
_ZERO = Decimal(0)


def read_price(table: TomlTable, currency: str) -> SheetPrice | None:
    """The price that the table describes; None when a fault was kept."""
    before = len(table.faults)
    key, name = table.key("key", required=True), table.text("name", longest=100, required=True)
    meter_key = table.key("meter")
    flags = {
        "is_counted": table.flag("counted", absent=False),
        "is_taxable": table.flag("taxable", absent=True),
        "takes_credit": table.flag("takes_credit", absent=True),
    }
    if flags["is_counted"] and meter_key:
        table.fault("counted", "not_used", "is for fees; this price has a meter, which counts")
    if meter_key and not table.has("unit"):
        table.fault("unit", "missing", "is missing; write the unit of the meter")
    dimensions = table.texts("dimensions", longest=60)
    terms, matrix = None, None
    if dimensions is None:
        for field in ("cells", "otherwise"):
            if table.has(field):
                table.fault(field, "not_used", "needs dimensions")
                table.known.add(field)
        terms = read_terms(table, currency)
        table.refuse_unknown()
    else:
        matrix = _read_matrix(table, dimensions, meter_key=meter_key, currency=currency)
    if len(table.faults) > before or (terms is None and matrix is None):
        return None
    return SheetPrice(key=key, name=name, meter_key=meter_key, terms=terms, matrix=matrix, **flags)


def _read_matrix(
    table: TomlTable, dimensions: tuple[str, ...], *, meter_key: str, currency: str
) -> Matrix | None:
    before = len(table.faults)
    if not meter_key:
        table.fault("dimensions", "not_used", "needs a meter; a fee has no dimensions")
    if not dimensions or len(set(dimensions)) != len(dimensions):
        table.fault("dimensions", "duplicate", "must name at least one dimension, each once")
    shared = {name: table.values[name] for name in UNIT_FIELDS if table.has(name)}
    table.known |= {*PRICE_FIELDS, *UNIT_FIELDS}
    cells: list[Cell] = []
    for number, values in enumerate(table.tables("cells"), 1):
        inner = TomlTable({**shared, **values}, f"{table.name}, cell {number}", table.faults)
        cell = _read_cell(inner, dimensions, currency)
        if cell and any(cell.values == other.values for other in cells):
            inner.fault("values", "overlap", f"there are two cells for {', '.join(cell.values)}")
        elif cell:
            cells.append(cell)
    catch_all = None
    if (otherwise := table.table("otherwise", f"{table.name}, otherwise")) is not None:
        otherwise.values = {**shared, **otherwise.values}
        catch_all = read_terms(otherwise, currency)
        otherwise.refuse_unknown()
    if not table.values.get("cells") and not table.has("otherwise"):
        table.fault(
            "cells", "missing", "is missing; write a price for some values, or otherwise for the rest"
        )
    table.refuse_unknown()
    if len(table.faults) > before or not (cells or catch_all):
        return None
    return Matrix(dimensions=dimensions, cells=tuple(cells), catch_all=catch_all)


def _read_cell(table: TomlTable, dimensions: tuple[str, ...], currency: str) -> Cell | None:
    terms = read_terms(table, currency)
    values = table.table("values", f"{table.name}, values", required=True)
    table.refuse_unknown()
    if values is None:
        return None
    texts = tuple(values.text(name, longest=200) for name in dimensions)
    for name in dimensions:
        if not values.has(name):
            values.fault(name, "missing", f'is missing; write its value, or "" for usage without {name}')
    values.refuse_unknown()
    return None if terms is None else Cell(values=texts, terms=terms)


def read_terms(table: TomlTable, currency: str) -> PriceTerms | None:
    """The terms that the table describes; None when a fault was kept, or the currency is not known."""
    before = len(table.faults)
    exempt_reason = table.text("exempt", longest=200)
    charge = _read_charge(table, is_exempt=bool(exempt_reason))
    unit = table.text("unit", longest=30)
    conversion = _read_conversion(table, unit)
    included = table.number("included")
    discounts = read_discounts(table)
    minimum, maximum = read_bound(table, "minimum"), read_bound(table, "maximum")
    timing = FeeTiming(table.choice("timing", tuple(FeeTiming), absent=FeeTiming.IN_ARREARS))
    is_prorated = table.flag("prorated", absent=False)
    if charge is None or not currency or len(table.faults) > before:
        return None
    try:
        return PriceTerms(
            currency=currency,
            charge=charge,
            unit=unit,
            conversion=conversion,
            included=included or _ZERO,
            discounts=discounts,
            minimum=minimum,
            maximum=maximum,
            timing=timing,
            is_prorated=is_prorated,
            exempt_reason=exempt_reason,
        )
    except InvalidTerms as error:
        table.fault("", code_of(str(error)), str(error))
        return None


def code_of(message: str) -> str:
    """The code of a fault that rating named itself."""
    word = message.partition(":")[0]
    return word if word in ("gap", "overlap") else "not_consistent"


def _read_conversion(table: TomlTable, unit: str) -> Conversion | None:
    if (inner := table.table("conversion", f"{table.name}, conversion")) is not None:
        larger, number = (
            inner.text("unit", longest=30, required=True),
            inner.number("units_per", required=True),
        )
        inner.refuse_unknown()
        if number == 0:
            inner.fault("units_per", "out_of_range", "must be above zero")
        return Conversion(unit=larger, units_per=number) if larger and number else None
    larger = table.text("per", longest=30)
    if not larger or larger == unit:
        return None
    try:
        return Conversion(unit=larger, units_per=Decimal(units_per(unit, larger)))
    except UnknownConversion as error:
        mend = f'write conversion = {{ unit = "{larger}", units_per = ... }} instead'
        table.fault("per", "unknown_conversion", f"{error}; {mend}")
        return None


def read_discounts(table: TomlTable) -> tuple[Discount, ...]:
    """The discounts, in the order in which they are taken; those that hold together."""
    found = []
    for number, values in enumerate(table.tables("discounts"), 1):
        inner = TomlTable(values, f"{table.name}, discount {number}", table.faults)
        percent, amount = inner.number("percent"), inner.number("amount")
        is_prorated = inner.flag("prorated", absent=False)
        inner.refuse_unknown()
        if inner.has("percent") == inner.has("amount"):
            inner.fault("", "not_consistent", "is either a percent or an amount")
        elif percent is not None and (percent > 100 or is_prorated):
            inner.fault("percent", "out_of_range", "must be 100 or less, and is not prorated")
        else:
            found.append(Discount(percent=percent, amount=amount, is_prorated=is_prorated))
    return tuple(found)


def read_bound(table: TomlTable, name: str) -> Bound | None:
    """A minimum or maximum: a number, or a table with `amount` and `prorated`."""
    if not isinstance(table.values.get(name), dict):
        amount = table.number(name)
        return None if amount is None else Bound(amount=amount)
    inner = table.table(name, f"{table.name}, {name}")
    if inner is None:
        return None
    amount = inner.number("amount", required=True)
    is_prorated = inner.flag("prorated", absent=False)
    inner.refuse_unknown()
    return None if amount is None else Bound(amount=amount, is_prorated=is_prorated)


def _read_charge(table: TomlTable, *, is_exempt: bool) -> ChargeModel | None:
    if is_exempt and not table.has("model"):
        table.known.add("model")
        return PerUnit(unit_amount=_ZERO)
    model = table.choice("model", tuple(CHARGE_MODELS), required=True)
    _refuse_other_models(table, model)
    if not model:
        return None
    if model in TIERED:
        return _read_tiered(table, model)
    before = len(table.faults)
    figures = _read_figures(table, model)
    if len(table.faults) > before:
        return None
    charge: ChargeModel = CHARGE_MODELS[model](**figures)
    return charge


def _refuse_other_models(table: TomlTable, model: str) -> None:
    own = MODEL_FIELDS.get(model, ())
    for field in sorted({name for names in MODEL_FIELDS.values() for name in names} - set(own)):
        if table.has(field):
            table.known.add(field)
            if model:
                table.fault(field, "not_used", f"is not used by the charge model {model}")


def _read_figures(table: TomlTable, model: str) -> dict[str, Any]:
    kind = CHARGE_MODELS[model]
    if kind is Flat:
        return {"amount": table.number("amount", required=True)}
    if kind is PerUnit:
        return {"unit_amount": table.number("unit_amount", required=True)}
    if kind is Package:
        size = table.number("size", required=True)
        if size == 0:
            table.fault("size", "out_of_range", "must be above zero")
        counting = table.choice("counting", tuple(Packages), required=True)
        return {
            "amount": table.number("amount", required=True),
            "size": size,
            "counting": Packages(counting) if counting else None,
        }
    fixed_amount, count_meter = table.number("fixed_amount") or _ZERO, table.key("count_meter")
    if kind is Percentage and bool(fixed_amount) != bool(count_meter):
        table.fault(
            "count_meter", "not_consistent", "and fixed_amount go together: name the meter that counts"
        )
    return {
        "percent": table.number("percent", required=True),
        "fixed_amount": fixed_amount,
        "count_meter": count_meter,
    }


def _read_tiered(table: TomlTable, model: str) -> ChargeModel | None:
    before = len(table.faults)
    rows = table.tables("tiers", required=True)
    flat_at_zero = table.flag("flat_at_zero", absent=False)
    tiers: list[Tier] = []
    for number, values in enumerate(rows, 1):
        inner = TomlTable(values, f"{table.name}, tier {number}", table.faults)
        tiers.append(_read_tier(inner, model, implied=(tiers[-1].up_to or _ZERO) if tiers else _ZERO))
    if len(table.faults) > before:
        return None
    for message in tier_faults(tuple(tiers)):
        table.fault("tiers", code_of(message), message)
    if len(table.faults) > before:
        return None
    charge: ChargeModel = CHARGE_MODELS[model](tiers=tuple(tiers), flat_at_zero=flat_at_zero)
    return charge


def _read_tier(table: TomlTable, model: str, *, implied: Decimal) -> Tier:
    above, up_to = table.number("above"), table.number("up_to")
    amounts = {name: table.number(name) or _ZERO for name in TIER_FIELDS[model]}
    table.refuse_unknown()
    return Tier(above=implied if above is None else above, up_to=up_to, **amounts)
