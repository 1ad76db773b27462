"""The proof of a line as plain JSON values: the API's answer. Amounts and quantities are texts. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from insights.billing.bill import Bill
from insights.billing.bill_document import instant_text, line_document
from insights.billing.price_words import money_number
from insights.explain.line_proof import DayPart, Dimension, LineProof, Recheck
from insights.values.money import Money
from insights.values.quantity import exact_text


def proof_document(bill: Bill, proof: LineProof) -> dict[str, Any]:
    """A line of a bill with its days, its dimension values and its recheck, and what was known when it was made."""
    return {
        "invoice": str(bill.head.public_id),
        "usage_as_of": bill.usage_as_of,
        "complete_to": instant_text(bill.head.complete_to),
        "line": line_document(proof.line),
        "meter_unit": proof.meter_unit,
        "records": proof.records,
        "adds_over_time": proof.adds_over_time,
        "is_archived": proof.is_archived,
        "days": [_day(day) for day in proof.days],
        "dimensions": [_dimension(dimension) for dimension in proof.dimensions],
        "recheck": None if proof.recheck is None else _recheck(proof.recheck),
    }


def _day(day: DayPart) -> dict[str, Any]:
    return {
        "start": instant_text(day.slot.start),
        "end": instant_text(day.slot.end),
        "quantity": _quantity(day.quantity),
        "quantity_before": _quantity(day.before),
        "records": day.records,
        "amount": _amount(day.amount),
        "running_amount": _amount(day.running),
    }


def _dimension(dimension: Dimension) -> dict[str, Any]:
    return {
        "name": dimension.name,
        "values": [
            {
                "value": part.value,
                "quantity": exact_text(part.quantity),
                "records": part.records,
                "amount": _amount(part.amount),
            }
            for part in dimension.values
        ],
    }


def _recheck(recheck: Recheck) -> dict[str, Any]:
    return {
        "verdict": str(recheck.verdict),
        "quantity": exact_text(recheck.quantity),
        "records": recheck.records,
        "amount": money_number(recheck.amount),
        "steps_are_equal": recheck.steps_are_equal,
        "quantity_now": exact_text(recheck.now),
        "records_now": recheck.records_now,
        "amount_now": _amount(recheck.amount_now),
        "quantity_since": exact_text(recheck.since),
    }


def _quantity(quantity: Decimal | None) -> str | None:
    return None if quantity is None else exact_text(quantity)


def _amount(amount: Money | None) -> str | None:
    return None if amount is None else money_number(amount)
