"""What stands behind a line of a bill, as rows of a CSV. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import tzinfo
from decimal import Decimal

from insights.billing.price_words import money_number
from insights.explain.line_proof import LineProof
from insights.exports.aggregates import instant_text
from insights.exports.formatting import safe_text
from insights.values.money import Money
from insights.values.quantity import exact_text

DAY_COLUMNS = (
    "start", "end", "quantity", "unit", "records", "amount", "running_amount", "currency", "quantity_before",
)  # fmt: skip
VALUE_COLUMNS = ("dimension", "value", "quantity", "unit", "records", "amount", "currency")


def day_rows(proof: LineProof, zone: tzinfo) -> Iterator[list[str]]:
    """A line day by day on the clock of a zone, under a heading; amounts add to the line."""
    yield list(DAY_COLUMNS)
    for day in proof.days:
        yield [
            instant_text(day.slot.start, zone),
            instant_text(day.slot.end, zone),
            _quantity(day.quantity),
            safe_text(proof.meter_unit),
            str(day.records),
            _amount(day.amount),
            _amount(day.running),
            proof.line.amount.currency,
            _quantity(day.before),
        ]


def value_rows(proof: LineProof) -> Iterator[list[str]]:
    """A line by every value of every dimension, under a heading; amounts of a dimension add to the line."""
    yield list(VALUE_COLUMNS)
    for dimension in proof.dimensions:
        for part in dimension.values:
            yield [
                dimension.name,
                safe_text(part.value),
                exact_text(part.quantity),
                safe_text(proof.meter_unit),
                str(part.records),
                _amount(part.amount),
                proof.line.amount.currency,
            ]


def _quantity(quantity: Decimal | None) -> str:
    return "" if quantity is None else exact_text(quantity)


def _amount(amount: Money | None) -> str:
    return "" if amount is None else money_number(amount)
