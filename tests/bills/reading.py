"""Worked bills as data: what a file leaves out is filled in, so that a bill shows only what it is about."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from insights.billing.periods import BillingAnchor, Interval
from insights.rating.plan_change import ChangePolicy, PlanSegment
from insights.rating.rate import Segment, Usage
from insights.rating.terms import PriceTerms
from insights.rating.terms_json import parse_terms
from insights.values.period import Period

FOLDER = Path(__file__).parent
_TERMS: dict[str, Any] = {
    "version": 1,
    "unit": "",
    "conversion": None,
    "included": "0",
    "discounts": [],
    "minimum": None,
    "maximum": None,
    "timing": "in_arrears",
    "is_prorated": False,
    "exempt_reason": "",
}
_TIER: dict[str, Any] = {"up_to": None, "unit_amount": "0", "flat_amount": "0", "percent": "0"}
_CHARGES: dict[str, dict[str, Any]] = {
    "percentage": {"fixed_amount": "0", "count_meter": ""},
    **{
        model: {"flat_at_zero": False}
        for model in ("graduated", "volume", "graduated_percentage", "stairstep")
    },
}
_DISCOUNT: dict[str, Any] = {"percent": None, "amount": None, "is_prorated": False}


@dataclass(frozen=True, slots=True)
class Bill:
    """One file: its name, what it says, and the text a person reads."""

    name: str
    document: Mapping[str, Any]
    text: str


def read_bills() -> list[Bill]:
    """Every worked bill, in order of its name."""
    files = sorted(FOLDER.glob("*.toml"))
    return [Bill(file.stem, tomllib.loads(file.read_text()), file.read_text()) for file in files]


def terms_of(bill: Bill, line: Mapping[str, Any]) -> PriceTerms:
    """The terms of a line, or those of the whole bill."""
    return parse_terms(filled_terms(line.get("terms") or bill.document["terms"]))


def filled_terms(table: Mapping[str, Any]) -> dict[str, Any]:
    """The terms with every field, as they would be stored."""
    charge = {**_CHARGES.get(table["charge"]["model"], {}), **table["charge"]}
    if "tiers" in charge:
        charge["tiers"] = [{**_TIER, **tier} for tier in charge["tiers"]]
    bounds = {name: {"is_prorated": False, **table[name]} for name in ("minimum", "maximum") if name in table}
    discounts = [{**_DISCOUNT, **discount} for discount in table.get("discounts", [])]
    return {**_TERMS, **table, **bounds, "charge": charge, "discounts": discounts}


def instant(text: str) -> datetime:
    """An instant as the bills write it."""
    return datetime.fromisoformat(text)


def period_of(bill: Bill) -> Period | None:
    """The billing period of the bill, if it matters."""
    table = bill.document.get("period")
    return Period(instant(table["start"]), instant(table["end"])) if table else None


def service_of(line: Mapping[str, Any]) -> Period:
    """The stretch of time a line is for."""
    start, end = line["service"]
    return Period(instant(start), instant(end))


def anchor_of(bill: Bill) -> BillingAnchor | None:
    """The anchor that the bill's period comes from, if it says so."""
    table = bill.document.get("anchor")
    if table is None:
        return None
    return BillingAnchor(
        day=date.fromisoformat(table["day"]),
        zone=ZoneInfo(table["zone"]),
        interval=Interval[table.get("interval", "MONTHLY")],
    )


def usage_of(line: Mapping[str, Any]) -> Usage:
    """What the line was metered."""
    return Usage(Decimal(line["quantity"]), Decimal(line.get("count", "0")))


def segment_of(line: Mapping[str, Any], share: Any) -> Segment:
    """The part of the period, where the line says one."""
    return Segment(share=share) if share else Segment()


def plan_segment_of(bill: Bill, line: Mapping[str, Any]) -> PlanSegment:
    """A segment between plan changes."""
    return PlanSegment(
        service=service_of(line),
        terms=terms_of(bill, line),
        usage=usage_of(line),
        opened_by=ChangePolicy(line.get("opened_by", "restart")),
    )
