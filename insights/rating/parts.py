"""A line's money by day and by dimension value: the one place where pages, the API and exports split it.

Parts always add to the line in minor units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import accumulate
from operator import add

from insights.rating.rate import WHOLE_PERIOD, Segment, Usage, converted, rated_minor
from insights.rating.terms import PriceTerms
from insights.values.exact import EXACT
from insights.values.money import Key, Money, split


def cost_in_order(
    terms: PriceTerms, usages: Sequence[Usage], *, segment: Segment = WHOLE_PERIOD
) -> tuple[Money, ...]:
    """What each part of a line cost, given its parts in order of time: the increase of the rated amount.

    What is due whatever the quantity, a fee or a minimum, falls on the first part; included usage on the first parts
    until it is used up. The amounts add to the amount of the whole line.

    Where a correction makes the parts so far add to less than nothing, they count as nothing until they are above it
    again: such a part costs nothing, and what comes after it is charged only for what is above. Raises UnableToRate
    when all parts together add to less than nothing.
    """
    reached = [total.or_nothing() for total in _reached(terms, usages)]
    amounts, before, minor = [], None, 0
    for usage in reached:
        # A part that uses nothing rises by nothing, and a line by value has many such days.
        rated = minor if usage == before else rated_minor(terms, usage, segment)
        amounts.append(Money(rated - minor, terms.currency))
        before, minor = usage, rated
    return tuple(amounts)


def _reached(terms: PriceTerms, usages: Sequence[Usage]) -> list[Usage]:
    """What has been used by the end of each part; raises UnableToRate where in the end it is less than nothing."""
    reached = list(accumulate(usages, add))
    if reached:
        converted(terms, reached[-1])
    return reached


def cost_by_value(minor: int, quantities: Mapping[Key, Decimal]) -> dict[Key, int]:
    """A line's minor units by dimension value: each value's share of the quantity, by largest remainder.

    Only for meters whose quantities add up over the values. Raises UnableToAllot when the quantities add to zero
    and the line does not: a fee without usage belongs to no value.
    """
    places = max((-int(quantity.as_tuple().exponent) for quantity in quantities.values()), default=0)
    return split(
        minor, {key: int(quantity.scaleb(places, context=EXACT)) for key, quantity in quantities.items()}
    )
