"""A line's money by day and by dimension value: the one place where pages, the API and exports split it.

Parts always add to the line in minor units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

from insights.rating.rate import WHOLE_PERIOD, RatedLine, Segment, Usage, rate_line
from insights.rating.terms import PriceTerms
from insights.values.money import Key, split


def cost_in_order(
    terms: PriceTerms, usages: Sequence[Usage], *, segment: Segment = WHOLE_PERIOD
) -> tuple[RatedLine, ...]:
    """What each part of a line cost, given its parts in order of time: the increase of the rated amount.

    What is due whatever the quantity, a fee or a minimum, falls on the first part; included usage on the first parts
    until it is used up. The amounts add to the amount of the whole line.
    """
    lines = []
    rated: Usage | None = None
    for usage in usages:
        lines.append(rate_line(terms, usage, already_rated=rated, segment=segment))
        rated = usage if rated is None else rated + usage
    return tuple(lines)


def cost_by_value(minor: int, quantities: Mapping[Key, Decimal]) -> dict[Key, int]:
    """A line's minor units by dimension value: each value's share of the quantity, by largest remainder.

    Only for meters whose quantities add up over the values. Raises UnableToAllot when the quantities add to zero
    and the line does not: a fee without usage belongs to no value.
    """
    return split(minor, {key: Fraction(quantity) for key, quantity in quantities.items()})
