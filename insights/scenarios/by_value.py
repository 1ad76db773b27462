"""A change of usage by the values of a dimension: which endpoint or region it came from, to the minor unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from insights.scenarios.difference import Part
from insights.values.money import Money, UnableToAllot, allot


class UnableToSplit(ValueError):
    """The quantities by value are not the ones that were billed, so nothing can be said of a single value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueChange:
    """One value's quantity on both bills, in the meter's unit, and its part of what usage changed."""

    value: str
    before: Decimal
    after: Decimal
    amount: Money

    @property
    def change(self) -> Decimal:
        """How much more there is now."""
        return self.after - self.before


def split_usage(
    part: Part, before: Mapping[str, Decimal], after: Mapping[str, Decimal]
) -> tuple[ValueChange, ...]:
    """The usage part of a match by dimension value, the largest change of money first; they add to the part.

    Each value has the part of the change that its own quantity is of all. Raises UnableToSplit unless the quantities of
    both bills add to what was billed, or where money changed and the quantity did not.
    """
    measured = part.measured
    if measured is None or (_sum(before), _sum(after)) != (measured.before, measured.after):
        raise UnableToSplit("the values do not add to the quantities billed")
    changes = {
        value: Fraction(after.get(value, 0)) - Fraction(before.get(value, 0)) for value in {*before, *after}
    }
    whole = measured.after - measured.before
    each = (
        part.exact / whole if whole else Fraction(Money(1, part.amount.currency).amount) ** -1 * measured.each
    )
    try:
        minor = allot(part.amount.minor, {value: change * each for value, change in changes.items()})
    except UnableToAllot as error:
        raise UnableToSplit(str(error)) from None
    found = [
        ValueChange(
            value=value,
            before=before.get(value, Decimal(0)),
            after=after.get(value, Decimal(0)),
            amount=Money(minor[value], part.amount.currency),
        )
        for value in changes
    ]
    return tuple(sorted(found, key=lambda one: (-abs(one.amount.minor), -abs(one.change), one.value)))


def _sum(quantities: Mapping[str, Decimal]) -> Fraction:
    return sum((Fraction(quantity) for quantity in quantities.values()), Fraction(0))
