"""What stands behind a line of a bill, as rows of a CSV, and which records they are made of. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import tzinfo
from decimal import Decimal

from insights.billing.price_words import money_number
from insights.explain.line_proof import LineProof
from insights.explain.line_queries import LineRead
from insights.exports.aggregates import instant_text
from insights.exports.formatting import safe_text
from insights.exports.queries import RecordsFilter
from insights.metering.known_moment import KnownAt
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


def records_of(read: LineRead) -> RecordsFilter:
    """Which records a line for usage is made of."""
    scope = read.scope
    if scope is None:
        raise ValueError("a line without usage has no records")
    return RecordsFilter(
        account_id=scope.account_id,
        meter_id=scope.meter.id,
        dimension_keys=scope.meter.dimensions,
        period=scope.service,
        known=KnownAt(asked_position=read.position, position=read.position),
        series_ids=tuple(one.facts.id for one in scope.series),
    )


def _quantity(quantity: Decimal | None) -> str:
    return "" if quantity is None else exact_text(quantity)


def _amount(amount: Money | None) -> str:
    return "" if amount is None else money_number(amount)
