"""Lines rated again with another quantity or at other terms, by the engine that bills; nothing is rounded.

Unchanged inputs give the stored steps, so a scenario begins where the bill is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from insights.rating.adjustments import Had
from insights.rating.rate import Segment, Usage, count_of, had_after, steps_in_order
from insights.rating.terms import PriceTerms
from insights.scenarios.facts import BilledLine, OfferedPrice, Values
from insights.scenarios.figures import Figures, figures_of, sum_figures
from insights.values.exact import EXACT
from insights.values.money import split
from insights.values.step import Step

_NOTHING = Usage(Decimal(0))
# What is divided among segments is divided to this decimal place, which is the last one of a quantity.
_PLACES = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Charged:
    """What a line is rated of. `values` tell apart the chains in which tiers may go on."""

    terms: PriceTerms
    segment: Segment
    usage: Usage
    values: Values
    steps: tuple[Step, ...]


def charged_of(line: BilledLine) -> Charged | None:
    """What a stored line was rated of; None for one without a price. A fee that is not counted is one."""
    if line.terms is None:
        return None
    quantity = Decimal(1) if line.quantity is None and not line.meter_key else line.quantity or Decimal(0)
    return Charged(
        terms=line.terms,
        segment=line.segment,
        usage=Usage(quantity, count_of(line.steps)),
        values=line.values,
        steps=line.steps,
    )


def charged_nothing(offer: OfferedPrice) -> Charged:
    """What a line at a price that nothing was charged at would have been rated of."""
    return Charged(terms=offer.terms, segment=offer.segment, usage=_NOTHING, values=offer.values, steps=())


def as_billed(lines: Sequence[Charged]) -> Figures:
    """What the stored steps come to."""
    return sum_figures(figures_of(line.steps, line.terms) for line in lines)


def rate_again(lines: Sequence[Charged], usages: Sequence[Usage], *, terms: PriceTerms | None) -> Figures:
    """The figures of the lines, in the order of time, with other usage; at other terms if they are given."""
    counted: dict[Values, Usage] = {}
    billed: dict[Values, Usage] = {}
    had: dict[Values, tuple[Had, ...]] = {}
    figures = []
    for line, usage in zip(lines, usages, strict=True):
        stood = line.segment.counted_before
        own = billed.get(line.values, _NOTHING)
        # Where a stored line stands on less than the lines before it were billed for, a segment in between began anew:
        # nothing was used in it, so that it has no line.
        goes_on = stood is not None and stood.quantity == own.quantity
        before = counted.get(line.values, _NOTHING) if goes_on else None if stood is None else _NOTHING
        own_terms = terms or line.terms
        had_before = had.get(line.values, ()) if goes_on else ()
        if terms is None and stood is not None:
            had_before = _with_stored_figures(had_before, line.segment.had_before)
        segment = replace(line.segment, counted_before=before, had_before=had_before)
        had[line.values] = had_after(own_terms, usage, segment)
        figures.append(figures_of(steps_in_order(own_terms, usage, segment), own_terms))
        counted[line.values] = usage if before is None else before + usage
        billed[line.values] = line.usage + own if goes_on else line.usage
    return sum_figures(figures)


def _with_stored_figures(had: Sequence[Had], stored: Sequence[Had]) -> tuple[Had, ...]:
    """What was had with other usage, with the figures that it had at the line: segments without one are in those."""
    known = {one.place: one for one in had}
    return tuple(known[one.place].at_figure(one.figure) if one.place in known else one for one in stored)


def spread(lines: Sequence[Charged], total: Usage) -> list[Usage]:
    """The usage divided among the lines as theirs was; where there was none, it is all in the last line."""
    quantities = _spread(total.quantity, [line.usage.quantity for line in lines])
    counts = _spread(total.count, [line.usage.count for line in lines])
    return [Usage(quantity, count) for quantity, count in zip(quantities, counts, strict=True)]


def _spread(total: Decimal, weights: Sequence[Decimal]) -> list[Decimal]:
    if not any(weights):
        return [Decimal(0)] * (len(weights) - 1) + [total]
    places = max(_PLACES, -int(total.as_tuple().exponent))
    units = split(
        int(total.scaleb(places, context=EXACT)),
        {number: Fraction(weight) for number, weight in enumerate(weights)},
    )
    return [Decimal(units[number]).scaleb(-places, context=EXACT) for number in range(len(weights))]


def total_usage(lines: Sequence[Charged]) -> Usage:
    """What was metered for all the lines."""
    return sum((line.usage for line in lines), _NOTHING)
