"""A plan's heading, and one price of it, as the texts of forms, and back into the plan by its reader. Pure.

What a form does not show, such as a price's unit or discounts, stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from insights.billing.plan_toml import PlanDocument, parse_plan_table
from insights.billing.plan_toml_text import plan_to_toml
from insights.billing.price_toml import MODEL_FIELDS, TIER_FIELDS
from insights.billing.price_words import sheet_price_rows
from insights.billing.toml_table import parse_toml
from insights.rating.charges import Tier, Tiered
from insights.rating.sheet import SheetPrice
from insights.values.quantity import exact_text

TIER_COLUMNS = ("above", "up_to", "unit_amount", "flat_amount", "percent")
_BOUNDS = ("minimum", "maximum")
_TEXTS = ("model", "included", *_BOUNDS, "exempt", "timing")
_FLAGS = ("flat_at_zero", "prorated")
_FIGURES = tuple(
    name for names in MODEL_FIELDS.values() for name in names if name not in ("tiers", "flat_at_zero")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadingTexts:
    """What a plan is called, and when and why its next version begins."""

    name: str
    description: str
    effective_from: datetime
    note: str


class NoSuchPart(LookupError):
    """The plan has no such price, or the price no such part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceTexts:
    """A price, or one cell of it, as a form says it; `tiers` have the texts of TIER_COLUMNS."""

    name: str
    texts: Mapping[str, str]
    flags: frozenset[str] = frozenset()
    tiers: tuple[Mapping[str, str], ...] = ()


def with_heading(document: PlanDocument, said: HeadingTexts) -> PlanDocument:
    """The plan with another heading; InvalidPlan with every fault."""
    values = parse_toml(plan_to_toml(document))
    version = values["version"]
    values["name"] = said.name
    _put(values, "description", said.description)
    version["effective_from"] = said.effective_from
    _put(version, "note", said.note)
    return parse_plan_table(values)


def model_fields(model: str) -> tuple[str, ...]:
    """The figures that a charge model has, without its tiers."""
    return tuple(name for name in MODEL_FIELDS.get(model, ()) if name in _FIGURES)


def tier_columns(model: str) -> tuple[str, ...]:
    """The columns of a charge model's tiers; none for one without tiers."""
    return ("above", "up_to", *TIER_FIELDS[model]) if model in TIER_FIELDS else ()


def part_words(price: SheetPrice) -> tuple[str, ...]:
    """What each part of a price is for, in the order by which parts are counted; one empty text for a plain price."""
    return tuple(what for what, _ in sheet_price_rows(price))


def read_part(document: PlanDocument, key: str, part: int) -> PriceTexts:
    """The texts of one part of a price, or NoSuchPart."""
    values = parse_toml(plan_to_toml(document))
    row, table, _ = _part_of(values, key, part)
    texts = {name: str(table.get(name, "")) for name in (*_TEXTS, *_FIGURES)}
    for name in _BOUNDS:
        if isinstance(bound := table.get(name), dict):
            texts[name] = str(bound["amount"])
    _, terms = next(price for price in document.prices if price.key == key).every_terms()[part]
    tiers = terms.charge.tiers if isinstance(terms.charge, Tiered) else ()
    return PriceTexts(
        name=str(row["name"]),
        texts=texts,
        flags=frozenset(name for name in _FLAGS if table.get(name)),
        tiers=tuple(map(_tier_texts, tiers)),
    )


def _tier_texts(tier: Tier) -> dict[str, str]:
    def text(number: Decimal | None) -> str:
        return exact_text(number) if number else ""

    return {"above": exact_text(tier.above)} | {name: text(getattr(tier, name)) for name in TIER_COLUMNS[1:]}


def with_part(document: PlanDocument, key: str, part: int, said: PriceTexts) -> PlanDocument:
    """The plan with that part of a price as the texts say; InvalidPlan with every fault, or NoSuchPart."""
    values = parse_toml(plan_to_toml(document))
    row, table, _ = _part_of(values, key, part)
    row["name"] = said.name
    for name in _BOUNDS:
        # A bound that is shared by time stays one that is.
        if isinstance(bound := table.get(name), dict) and said.texts.get(name):
            table[name] = bound | {"amount": said.texts[name]}
        else:
            _put(table, name, said.texts.get(name, ""))
    for name in {*_TEXTS, *_FIGURES} - {*_BOUNDS}:
        _put(table, name, said.texts.get(name, ""))
    for name in _FLAGS:
        _put(table, name, name in said.flags)
    rows = [{name: text for name, text in tier.items() if text} for tier in said.tiers]
    _put(table, "tiers", [tier for tier in rows if tier])
    return parse_plan_table(values)


def _put(table: dict[str, Any], name: str, value: Any) -> None:
    if value:
        table[name] = value
    else:
        table.pop(name, None)


def part_title(document: PlanDocument, key: str, part: int) -> str:
    """How faults name the part: `price out`, or `price out, cell 2`; or NoSuchPart."""
    return _part_of(parse_toml(plan_to_toml(document)), key, part)[2]


def _part_of(values: dict[str, Any], key: str, part: int) -> tuple[dict[str, Any], dict[str, Any], str]:
    """The row of the price, the table of the part's terms, and the name of that table in faults."""
    row = next((each for each in values.get("prices", ()) if each["key"] == key), None)
    if row is None:
        raise NoSuchPart(key)
    title = f"price {key}"
    if "dimensions" not in row:
        tables = [(row, title)]
    else:
        cells = row.get("cells", ())
        tables = [(cell, f"{title}, cell {number}") for number, cell in enumerate(cells, 1)]
        tables += [(row["otherwise"], f"{title}, otherwise")] if "otherwise" in row else []
    if not 0 <= part < len(tables):
        raise NoSuchPart(f"{key}, {part}")
    return row, *tables[part]
