"""What the next unit costs, as the rows of the overview and of the usage page in money."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from insights.billing.next_unit_words import countdown_words, effect_words, next_price_words, reprice_words
from insights.billing.price_words import cell_words
from insights.explain.next_unit_queries import NextUnitPrice


def next_unit_rows(prices: Iterable[NextUnitPrice]) -> list[dict[str, Any]]:
    """Each price in words, with the line of the running bill that it is of."""
    shown = tuple(prices)
    return [
        {
            "name": _name(one, is_rest=_has_values(shown, one)),
            "price": next_price_words(one.terms, one.next_unit),
            "countdown": countdown_words(one.terms, one.next_unit),
            "warning": reprice_words(one.terms, one.next_unit),
            "effect": effect_words(one.terms, one.next_unit),
            "bill_id": one.bill_id,
            "position": one.position,
        }
        for one in shown
    ]


def _has_values(prices: Iterable[NextUnitPrice], one: NextUnitPrice) -> bool:
    """Whether other prices of the same meter are for some values alone."""
    return any(other.values for other in prices if other.meter_key == one.meter_key)


def _name(one: NextUnitPrice, *, is_rest: bool) -> str:
    """Which values of its meter the price is for; empty for all of them."""
    if one.values:
        return cell_words(one.values)
    return "everything else" if is_rest else ""
