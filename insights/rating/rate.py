"""Quantity and price in, rated line out. The order of everything is in `steps_in_order`, top to bottom.

A line is one price, one service segment, one filter value. Its amount is the sum of its steps; it is rounded once.
Refuses totals below zero, which no tier or package has a price for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from insights.rating.adjustments import FLAT, Had, Included, adjust_steps, had_by, take_included
from insights.rating.charge_models import Units, charge_steps
from insights.rating.charges import Flat
from insights.rating.proration import prorate_steps
from insights.rating.terms import PriceTerms
from insights.values.exact import EXACT, ZERO, add_exact, exact_of
from insights.values.money import Money, allot, minor_of, rounded_minor
from insights.values.share import WHOLE, Share
from insights.values.step import Step, StepKind

_NOT_BILLED = (StepKind.INCLUDED, StepKind.EXEMPT)


class UnableToRate(ValueError):
    """The usage has no price at these terms."""


@dataclass(frozen=True, slots=True)
class Usage:
    """How much was metered, in the meter's unit, and how often the count meter of a percentage counted."""

    quantity: Decimal
    count: Decimal = Decimal(0)

    def __add__(self, other: Usage) -> Usage:
        return Usage(EXACT.add(self.quantity, other.quantity), EXACT.add(self.count, other.count))

    def __sub__(self, other: Usage) -> Usage:
        return Usage(EXACT.subtract(self.quantity, other.quantity), EXACT.subtract(self.count, other.count))

    def or_nothing(self) -> Usage:
        """The usage with zero in the place of what is below it."""
        return Usage(max(self.quantity, Decimal(0)), max(self.count, Decimal(0)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Which part of a billing period a line is for, and what a plan change left of tiers and included usage.

    `share` is the part of the period; `tier_share` the part that tiers and included usage are for; `counted_before`
    is the usage that earlier segments put into them, None where they begin anew. `had_before` is what those had of
    flat prices, fixed discounts and bounds, which are due once for all segments that continue each other.
    """

    share: Share = WHOLE
    tier_share: Share = WHOLE
    counted_before: Usage | None = None
    had_before: tuple[Had, ...] = ()


WHOLE_PERIOD = Segment()


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedLine:
    """What a line comes to: quantities, steps that add to the amount exactly and in minor units, and the amount."""

    metered_quantity: Decimal
    billed_quantity: Fraction
    steps: tuple[Step, ...]
    amount: Money

    @property
    def exact_amount(self) -> Fraction:
        """The amount before rounding, in major units."""
        return add_exact(step.amount for step in self.steps)


def rate_line(
    terms: PriceTerms, usage: Usage, *, already_rated: Usage | None = None, segment: Segment = WHOLE_PERIOD
) -> RatedLine:
    """Rate the usage at the terms; what was already rated of the same line is taken off again.

    Rating in pieces, each with what went before, adds up to rating at once: exactly, and in minor units, because a
    piece is the difference between the rounded amount with it and without it. Usage below zero is a piece that
    takes back. None means that nothing of the line was rated; zero usage already rated has had what is due at zero.
    Raises UnableToRate when the usage adds to less than nothing.
    """
    if already_rated is None:
        steps = steps_in_order(terms, usage, segment)
        minor = _rounded_minor(steps, terms.currency)
    else:
        before = steps_in_order(terms, already_rated, segment)
        after = steps_in_order(terms, already_rated + usage, segment)
        steps = subtract_steps(after, before)
        minor = _rounded_minor(after, terms.currency) - _rounded_minor(before, terms.currency)
    return RatedLine(
        metered_quantity=usage.quantity,
        billed_quantity=add_exact(step.quantity for step in steps if step.kind not in _NOT_BILLED),
        steps=_allotted(steps, minor, terms.currency),
        amount=Money(minor, terms.currency),
    )


def rated_minor(terms: PriceTerms, usage: Usage, segment: Segment = WHOLE_PERIOD) -> int:
    """What the usage comes to in minor units, rounded once: the amount of its line. Raises UnableToRate."""
    return _rounded_minor(steps_in_order(terms, usage, segment), terms.currency)


def steps_in_order(terms: PriceTerms, usage: Usage, segment: Segment) -> tuple[Step, ...]:
    """Every step of a line, exact and unrounded: convert, exempt, included, charge, prorate, then adjust."""
    units = converted(terms, usage)
    if terms.exempt_reason:
        return _exempt(units, terms.exempt_reason)
    included, chargeable = taken_up(terms, units, usage.count, segment)
    adjusted = adjust_steps(
        _charged(terms, chargeable, segment),
        discounts=terms.discounts,
        minimum=terms.minimum,
        maximum=terms.maximum,
        share=segment.share,
        had_before=segment.had_before,
    )
    return (included.step, *adjusted) if included.step else adjusted


def _charged(terms: PriceTerms, units: Units, segment: Segment) -> tuple[Step, ...]:
    return prorate_steps(charge_steps(terms.charge, units), segment.share if terms.is_prorated else WHOLE)


def had_after(terms: PriceTerms, usage: Usage, segment: Segment) -> tuple[Had, ...]:
    """What the segment and those before it had of what is due once, for a segment that continues it.

    An exempt price charges nothing, so it has nothing of it. Raises UnableToRate.
    """
    if terms.exempt_reason:
        return segment.had_before
    _, units = taken_up(terms, converted(terms, usage), usage.count, segment)
    charged = _charged(terms, units, segment)
    had = had_by(
        charged,
        discounts=terms.discounts,
        minimum=terms.minimum,
        maximum=terms.maximum,
        share=segment.share,
        had_before=segment.had_before,
    )
    if isinstance(terms.charge, Flat) and not terms.is_prorated and not units.had_flat:
        amount = add_exact(step.amount for step in charged)
        had += (Had(place=FLAT, is_prorated=False, figure=amount, base=ZERO, amount=amount),)
    return tuple(sorted(had, key=lambda one: one.place))


def taken_up(terms: PriceTerms, units: Fraction, count: Decimal, segment: Segment) -> tuple[Included, Units]:
    """What of some converted units is included, and the others with their place in the tiers."""
    # What is held over time is charged by time; it does not fill tiers up, so a plan change leaves them alone.
    tiers = Segment(share=segment.share) if terms.is_prorated else segment
    included = take_included(
        units,
        included=terms.included,
        used_before=None if tiers.counted_before is None else converted(terms, tiers.counted_before),
        share=tiers.tier_share,
    )
    return included, Units(
        billed=included.billed,
        count=Fraction(count) if count else ZERO,
        counted_before=included.billed_before,
        tier_share=tiers.tier_share,
        had_flat=any(one.place == FLAT for one in tiers.had_before),
    )


def converted(terms: PriceTerms, usage: Usage) -> Fraction:
    """The quantity in the price's unit, exactly, or UnableToRate when there is less than nothing."""
    if usage.quantity < 0 or usage.count < 0:
        raise UnableToRate("the usage adds to less than nothing")
    units = Fraction(*usage.quantity.as_integer_ratio())
    return units / exact_of(terms.conversion.units_per) if terms.conversion else units


def count_of(steps: Iterable[Step]) -> Decimal:
    """How often the count meter of a percentage counted, by the steps of its line: no other place keeps it."""
    total = add_exact(step.base for step in steps if step.kind is StepKind.COUNT_FEE)
    return EXACT.divide(Decimal(total.numerator), Decimal(total.denominator))


def _exempt(units: Fraction, reason: str) -> tuple[Step, ...]:
    if not units:
        return ()
    return (Step(kind=StepKind.EXEMPT, quantity=units, amount=Fraction(0), note=reason),)


def _rounded_minor(steps: Sequence[Step], currency: str) -> int:
    return rounded_minor(add_exact(step.amount for step in steps), currency)


def _allotted(steps: Sequence[Step], minor: int, currency: str) -> tuple[Step, ...]:
    if len(steps) == 1:
        # What one step comes to is the line, so there is nothing to spread.
        return (steps[0].with_minor(minor) if minor else steps[0],)
    units = allot(minor, {number: minor_of(step.amount, currency) for number, step in enumerate(steps)})
    return tuple(
        step.with_minor(units[number]) if units[number] else step for number, step in enumerate(steps)
    )


def subtract_steps(after: Sequence[Step], before: Sequence[Step]) -> tuple[Step, ...]:
    """What came to it: each step less the same step before, and what is no longer there, or is no sum, taken back."""
    remaining = _by_place(before)
    steps = []
    for place, step in _by_place(after).items():
        earlier = remaining.get(place)
        if earlier is None or not (step.is_linear or step == earlier):
            steps.append(step)
            continue
        del remaining[place]
        steps.append(step.less(earlier))
    steps += [step.taken_back() for step in remaining.values()]
    return tuple(step for step in steps if step.quantity or step.amount or step.amount_minor)


def _by_place(steps: Sequence[Step]) -> dict[tuple[object, ...], Step]:
    """The steps by what they are for; of several that are for the same, each has its number."""
    places: dict[tuple[object, ...], Step] = {}
    seen: Counter[tuple[object, ...]] = Counter()
    for step in steps:
        place = (step.kind, step.tier, step.unit_amount, step.percent, step.share, step.is_taken_back)
        seen[place] += 1
        places[(*place, seen[place])] = step
    return places


def correct_line(billed: RatedLine, rerated: RatedLine) -> RatedLine:
    """What a line that was billed must be corrected by, now that it comes to something else.

    For late usage, and for a fee paid in advance that was used for a part only. In minor units each step's correction
    is what it comes to now less what was billed. Raises MixedCurrencies.
    """
    return RatedLine(
        metered_quantity=EXACT.subtract(rerated.metered_quantity, billed.metered_quantity),
        billed_quantity=rerated.billed_quantity - billed.billed_quantity,
        steps=subtract_steps(rerated.steps, billed.steps),
        amount=rerated.amount - billed.amount,
    )
