"""A line's money by day and by dimension value: the one place where pages, the API and exports split it.

Parts always add to the line in minor units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate
from operator import add

from insights.rating.rate import WHOLE_PERIOD, RatedLine, Segment, Usage, converted, rate_line
from insights.rating.terms import PriceTerms
from insights.values.money import Key, split


def cost_in_order(
    terms: PriceTerms, usages: Sequence[Usage], *, segment: Segment = WHOLE_PERIOD
) -> tuple[RatedLine, ...]:
    """What each part of a line cost, given its parts in order of time: the increase of the rated amount.

    What is due whatever the quantity, a fee or a minimum, falls on the first part; included usage on the first parts
    until it is used up. The amounts add to the amount of the whole line.

    Where a correction makes the parts so far add to less than nothing, they count as nothing until they are above it
    again: such a part costs nothing, and what comes after it is charged only for what is above. Each line's metered
    quantity is its part's own. Raises UnableToRate when all parts together add to less than nothing.
    """
    reached = list(accumulate(usages, add))
    if reached:
        converted(terms, reached[-1])
    lines = []
    rated: Usage | None = None
    for usage, total in zip(usages, reached, strict=True):
        counted = total.or_nothing()
        piece = counted if rated is None else counted - rated
        line = rate_line(terms, piece, already_rated=rated, segment=segment)
        lines.append(replace(line, metered_quantity=usage.quantity))
        rated = counted
    return tuple(lines)


def cost_by_value(minor: int, quantities: Mapping[Key, Decimal]) -> dict[Key, int]:
    """A line's minor units by dimension value: each value's share of the quantity, by largest remainder.

    Only for meters whose quantities add up over the values. Raises UnableToAllot when the quantities add to zero
    and the line does not: a fee without usage belongs to no value.
    """
    return split(minor, {key: Fraction(quantity) for key, quantity in quantities.items()})
