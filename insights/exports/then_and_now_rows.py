"""A bill then and now as rows of a CSV. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from insights.billing.price_words import money_number
from insights.explain.then_and_now import ThenAndNow
from insights.exports.formatting import safe_text
from insights.values.quantity import exact_text

COLUMNS = (
    "bill_line", "kind", "name", "values", "unit", "quantity_then", "quantity_now", "amount_then", "amount_now",
    "change", "currency", "records_came", "records_went", "quantity_residual", "position_then", "position_now",
)  # fmt: skip


def then_and_now_rows(found: ThenAndNow) -> Iterator[list[str]]:
    """The lines under a heading; their changes add to that of the total, which is the last row."""
    yield list(COLUMNS)
    positions = [str(found.then.position), str(found.now.position)]
    for change in found.lines:
        line = change.line
        yield [
            "" if change.position is None else str(change.position),
            line.kind.value,
            safe_text(line.name),
            safe_text(" ".join(f"{name}={value}" for name, value in line.values.items())),
            safe_text(line.terms.unit if line.terms else ""),
            _quantity(change.quantity_then),
            _quantity(change.quantity_now),
            money_number(change.amount_then),
            money_number(change.amount_now),
            money_number(change.change),
            found.currency,
            str(change.moved.came),
            str(change.moved.went),
            _quantity(change.residual),
            *positions,
        ]
    if found.is_rated:
        yield [
            *("", "total", "Total", "", "", "", ""),
            money_number(found.total_then),
            money_number(found.total_now),
            money_number(found.change),
            found.currency,
            str(found.moved.came),
            str(found.moved.went),
            "",
            *positions,
        ]


def _quantity(quantity: Decimal | None) -> str:
    return "" if quantity is None else exact_text(quantity)
