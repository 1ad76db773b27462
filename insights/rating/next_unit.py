"""What one more unit would cost, and how many until that changes: by the engine that bills, at any quantity.

The next unit is one of the price's unit: a GB where bytes are charged by the GB. Its price is what the line comes to
with it less what it comes to without it, exact and unrounded, so that a tier's flat amount, a package that is begun, a
bound that is reached and all units priced anew are in it. What holds for the whole invoice, such as credits and taxes,
is not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from insights.rating.adjustments import CHARGED_BEFORE
from insights.rating.charge_models import Units, bounds_of
from insights.rating.charges import Graduated, GraduatedPercentage, Package, Packages, Stairstep, Volume
from insights.rating.rate import WHOLE_PERIOD, Segment, Usage, converted, steps_in_order, taken_up
from insights.rating.terms import PriceTerms
from insights.values.exact import EXACT, add_exact, decimal_of
from insights.values.step import Step, StepKind

ONE = Decimal(1)
# Quantities are kept with nine decimals, so no usage lies between two of these.
_PLACES = 9


class EdgeKind(StrEnum):
    """What ends at an edge: the included usage, a tier, or a package."""

    INCLUDED = "included"
    TIER = "tier"
    PACKAGE = "package"


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """Where the price of the next unit changes: `left` more units, in the price's unit, and the one after is behind it.

    `metered` is the same in the meter's unit, cut to the last quantity that is not behind it. `amount` is the price of
    the first unit behind it. `tier` is the one that begins there. `reprices` are the units whose price changes with it.
    """

    kind: EdgeKind
    left: Fraction
    metered: Decimal
    amount: Fraction
    tier: int | None = None
    reprices: Fraction = Fraction(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class NextUnit:
    """The price of the next unit in major units, in which tier or package it falls, and the edge that comes first.

    `included_left` is in the price's unit. `held_by` is the bound that the line is at with it, which is why it may cost
    nothing; `is_charged_before` tells that a higher one of a plan before holds it, which nothing is taken back of.
    """

    amount: Fraction
    place: int | None
    included_left: Fraction
    edge: Edge | None
    held_by: StepKind | None
    is_charged_before: bool = False


def next_unit(
    terms: PriceTerms, usage: Usage, *, segment: Segment = WHOLE_PERIOD, before: Usage | None = None
) -> NextUnit:
    """The price of the unit that follows the usage, at the terms and in a line's place in its period.

    `before` is what older versions of the meter put into the same line. Raises UnableToRate below nothing.
    """
    total = usage if before is None else before + usage
    included, units = taken_up(terms, converted(terms, total), total.count, segment)
    now, then = (steps_in_order(terms, each, segment) for each in (total, one_more(terms, total)))
    holding = next((step for step in then if _holds(step)), None)
    place, edge = None, None
    if not terms.exempt_reason:
        place, edge = _place_and_edge(terms, units)
        if included.left:
            edge = Edge(kind=EdgeKind.INCLUDED, left=included.left, metered=Decimal(0), amount=Fraction(0))
    return NextUnit(
        amount=_sum(then) - _sum(now),
        place=None if included.left else place,
        included_left=Fraction(0) if terms.exempt_reason else included.left,
        edge=edge and _priced(terms, edge, total, segment),
        held_by=holding.kind if holding else None,
        is_charged_before=holding is not None and holding.note == CHARGED_BEFORE,
    )


def _holds(step: Step) -> bool:
    """Whether a bound changes the line; where segments before it had of it, that is taken back the other way."""
    return (
        step.amount > 0
        if step.kind is StepKind.MINIMUM
        else step.kind is StepKind.MAXIMUM and step.amount < 0
    )


def one_more(terms: PriceTerms, usage: Usage) -> Usage:
    """The usage with one more of the price's unit."""
    return usage + Usage(terms.conversion.units_per if terms.conversion else ONE)


def _place_and_edge(terms: PriceTerms, units: Units) -> tuple[int | None, Edge | None]:
    """Which tier or package the next unit falls in, from 1, and how far it goes."""
    charge, end = terms.charge, units.end
    if isinstance(charge, Package) and charge.counting is Packages.WHOLE:
        size = Fraction(charge.size)
        begun = end // size
        edge = Edge(
            kind=EdgeKind.PACKAGE,
            left=size * (begun + 1) - end,
            metered=Decimal(0),
            amount=Fraction(0),
        )
        return int(begun) + 1, edge
    if not isinstance(charge, Graduated | GraduatedPercentage | Volume | Stairstep):
        return None, None
    for number, tier in enumerate(charge.tiers, 1):
        _above, up_to = bounds_of(tier, units.tier_share)
        if up_to is None:
            return number, None
        if end < up_to:
            left = up_to - end
            edge = Edge(
                kind=EdgeKind.TIER,
                left=left,
                metered=Decimal(0),
                amount=Fraction(0),
                tier=number + 1,
                reprices=units.billed + left if isinstance(charge, Volume) else Fraction(0),
            )
            return number, edge
    raise ValueError("the last tier is not open")


def _priced(terms: PriceTerms, edge: Edge, total: Usage, segment: Segment) -> Edge:
    """The edge with its distance as it is metered, and the price of the first unit behind it."""
    units_per = terms.conversion.units_per if terms.conversion else ONE
    metered = decimal_of(int(edge.left * Fraction(units_per) * 10**_PLACES), _PLACES)
    there = Usage(EXACT.add(total.quantity, metered), total.count)
    steps = (steps_in_order(terms, each, segment) for each in (there, one_more(terms, there)))
    without, with_it = map(_sum, steps)
    return replace(edge, metered=metered, amount=with_it - without)


def _sum(steps: tuple[Step, ...]) -> Fraction:
    return add_exact(step.amount for step in steps)
