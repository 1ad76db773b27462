"""A bill as a scenario takes it: its lines with everything their amounts follow from, and the prices it was made at.

Plain values, made of stored bills by `billing/bill_facts.py`. Whoever has these can rate the bill again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from insights.rating.invoice import LineKind
from insights.rating.rate import WHOLE_PERIOD, Segment
from insights.rating.terms import PriceTerms
from insights.values.step import Step

# Dimension values by name, in the order of the names.
Values = tuple[tuple[str, str], ...]


class DifferentCurrencies(ValueError):
    """Two bills in different currencies have no difference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BilledLine:
    """One line as it was billed. `quantity` is in the meter's unit, or a fee's count; None for a fee without one.

    `key` and `position` are the line's own on its bill. A line that `is_given_back` takes back a part of a fee that
    was billed ahead, so its steps are a difference and follow from no terms.
    """

    key: str
    position: int
    kind: LineKind
    name: str
    minor: int
    service_start: datetime
    price_key: str = ""
    plan_key: str = ""
    meter_key: str = ""
    values: Values = ()
    quantity: Decimal | None = None
    terms: PriceTerms | None = None
    segment: Segment = WHOLE_PERIOD
    steps: tuple[Step, ...] = ()
    is_add_on: bool = False
    is_given_back: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedPrice:
    """A price of a plan that the bill was made at, whether anything was charged at it or not.

    `segment` is how a line at this price stood in its period, as far as lines beside it tell.
    """

    price_key: str
    plan_key: str
    meter_key: str
    values: Values
    terms: PriceTerms
    service_start: datetime
    name: str = ""
    segment: Segment = WHOLE_PERIOD
    is_counted: bool = False
    is_add_on: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BillFacts:
    """A whole bill: lines in any order, prices in the order of time."""

    currency: str
    lines: tuple[BilledLine, ...]
    offers: tuple[OfferedPrice, ...] = ()

    @property
    def total_minor(self) -> int:
        """What the lines come to."""
        return sum(line.minor for line in self.lines)

    @property
    def plans(self) -> frozenset[str]:
        """The plans it was made at, without add-ons."""
        return _plans(self.offers) | _plans(self.lines)


def _plans(priced: Iterable[BilledLine | OfferedPrice]) -> frozenset[str]:
    return frozenset(one.plan_key for one in priced if one.plan_key and not one.is_add_on)
