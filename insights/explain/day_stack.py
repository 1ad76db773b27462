"""The days of a line split by the values of one dimension, where these add to them day by day. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import reduce

from insights.explain.line_proof import DayPart, ValuePart
from insights.metering.windows import Slot
from insights.values.exact import EXACT

# As many as there are colours, with one for all others.
VALUES_STACKED = 7
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class StackedValue:
    """One value, or several that are not shown alone, with its quantity of each day; None where nothing arrived."""

    part: ValuePart
    quantities: Mapping[Slot, Decimal | None]


@dataclass(frozen=True, slots=True)
class DayStack:
    """A dimension by whose values days are split, the largest first."""

    dimension: str
    values: tuple[StackedValue, ...]


def stack_days(dimension: str, values: Sequence[StackedValue], days: Sequence[DayPart]) -> DayStack | None:
    """The stack, or None where the values of some day do not add to the day."""
    for day in days:
        found = (value.quantities.get(day.slot) or ZERO for value in values)
        if reduce(EXACT.add, found, ZERO) != (day.quantity or ZERO):
            return None
    return DayStack(dimension, tuple(values))
