"""A bill then and now as plain JSON values: the API's answer. Amounts and quantities are texts. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from insights.billing.bill_document import instant_text
from insights.billing.price_words import money_number
from insights.explain.then_and_now import LineChange, Moment, ThenAndNow
from insights.values.quantity import exact_text


def then_and_now_document(found: ThenAndNow) -> dict[str, Any]:
    """Both totals and every line; the lines' changes add to the totals' and records to the quantities'."""
    return {
        "then": _moment(found.then),
        "now": _moment(found.now),
        "currency": found.currency,
        "is_rated": found.is_rated,
        "is_accounted_for": found.is_accounted_for,
        "total_then": money_number(found.total_then) if found.is_rated else None,
        "total_now": money_number(found.total_now) if found.is_rated else None,
        "change": money_number(found.change) if found.is_rated else None,
        "residual": money_number(found.residual),
        "total_of_invoice": money_number(found.stored),
        "records_came": found.moved.came,
        "records_went": found.moved.went,
        "records_without_price": found.unpriced.came + found.unpriced.went,
        "lines": [_line(change) for change in found.lines],
    }


def _moment(moment: Moment) -> dict[str, Any]:
    return {"position": moment.position, "at": instant_text(moment.at)}


def _line(change: LineChange) -> dict[str, Any]:
    line = change.line
    return {
        "position": change.position,
        "kind": line.kind.value,
        "name": line.name,
        "meter": line.meter_key or None,
        "values": dict(line.values),
        "unit": (line.terms.unit if line.terms else "") or None,
        "quantity_then": _quantity(change.quantity_then),
        "quantity_now": _quantity(change.quantity_now),
        "amount_then": money_number(change.amount_then),
        "amount_now": money_number(change.amount_now),
        "change": money_number(change.change),
        "records_came": change.moved.came,
        "records_went": change.moved.went,
        "residual": _quantity(change.residual),
    }


def _quantity(quantity: Decimal | None) -> str | None:
    return None if quantity is None else exact_text(quantity)
