"""Billed units in, steps out: one function for each charge model, each with its arithmetic spelt out.

Tiers begin above their lower bound and hold their upper one. Nothing is rounded here, and a step that would say
nothing is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import lcm

from insights.rating.charges import (
    ChargeModel,
    Flat,
    Graduated,
    GraduatedPercentage,
    Package,
    Packages,
    Percentage,
    PerUnit,
    Stairstep,
    Tier,
    Volume,
)
from insights.values.exact import PER_CENT, ZERO, exact_of
from insights.values.share import WHOLE, Share
from insights.values.step import Step, StepKind

ONE = Fraction(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """What is charged: units billed, how often another meter counted, and what tiers already hold.

    `counted_before` is None where tiers begin with these units; zero means that they began earlier and hold nothing.
    `tier_share` is the part of a period that the tiers are for: their bounds and flat amounts shrink with it.
    `had_flat` tells that a flat price was charged before which these units go on with.
    """

    billed: Fraction
    count: Fraction = ZERO
    counted_before: Fraction | None = None
    tier_share: Share = WHOLE
    had_flat: bool = False

    @property
    def start(self) -> Fraction:
        """Where in the tiers the first of these units falls."""
        return self.counted_before or ZERO

    @property
    def end(self) -> Fraction:
        """Where in the tiers the last of these units falls."""
        return self.start + self.billed if self.counted_before else self.billed


def charge_steps(charge: ChargeModel, units: Units) -> tuple[Step, ...]:
    """The steps that the units cost, exact and unrounded; at zero units only what is due without any."""
    match charge:
        case Flat():
            steps = [_fee(charge, units)]
        case PerUnit():
            steps = [_times(StepKind.UNITS, units.billed, exact_of(charge.unit_amount))]
        case Graduated() | GraduatedPercentage():
            steps = _graduated(charge, units)
        case Volume():
            steps = _volume(charge, units)
        case Package():
            steps = [_packages(charge, units)]
        case Percentage():
            steps = _percentage(charge, units)
        case Stairstep():
            steps = _stairstep(charge, units)
    return tuple(step for step in steps if step.quantity or step.amount)


def _fee(charge: Flat, units: Units) -> Step:
    amount, times = exact_of(charge.amount), ZERO if units.had_flat else ONE
    return Step(
        kind=StepKind.FEE, quantity=units.billed, base=times, unit_amount=amount, amount=amount * times
    )


def _times(kind: StepKind, quantity: Fraction, unit_amount: Fraction) -> Step:
    return Step(
        kind=kind, quantity=quantity, base=quantity, unit_amount=unit_amount, amount=quantity * unit_amount
    )


def _graduated(charge: Graduated | GraduatedPercentage, units: Units) -> list[Step]:
    """Each tier's part of the units. Bounds are compared as whole numbers of one unit that all of them have."""
    bounds = [bounds_of(tier, units.tier_share) for tier in charge.tiers]
    start, end = units.start, units.end
    common = lcm(start.denominator, end.denominator, *(above.denominator for above, _ in bounds))
    first, last = _in(common, start), _in(common, end)
    steps: list[Step] = []
    for number, (above, up_to) in enumerate(bounds, 1):
        lower = _in(common, above)
        if number > 1 and lower >= last:
            break
        # Tiers touch, so what one goes up to is a whole number of the same unit as what another begins above.
        upper = last if up_to is None else min(last, _in(common, up_to))
        inside = upper - max(first, lower)
        if inside > 0:
            steps.append(_tier_units(charge, number, Fraction(inside, common), units.tier_share))
        is_entered = inside > 0 and first <= lower
        if charge.tiers[number - 1].flat_amount and _is_fee_due(charge, number, units, is_entered=is_entered):
            steps.append(_tier_fee(number, charge.tiers[number - 1], units.tier_share))
    return steps


def _in(common: int, number: Fraction) -> int:
    """The number in so many parts of one, of which it is a whole number."""
    return number.numerator * (common // number.denominator)


def _is_fee_due(
    charge: Graduated | GraduatedPercentage | Volume, number: int, units: Units, *, is_entered: bool
) -> bool:
    if number == 1 and charge.flat_at_zero:
        return units.counted_before is None
    return is_entered


def _volume(charge: Volume, units: Units) -> list[Step]:
    """All the units at the price of the tier in which the last one falls, counted from where the tiers began."""
    number = tier_number(charge.tiers, units.end, units.tier_share)
    tier = charge.tiers[number - 1]
    steps = [_tier_units(charge, number, units.billed, units.tier_share)]
    was_elsewhere = not units.start or tier_number(charge.tiers, units.start, units.tier_share) != number
    if _is_fee_due(charge, number, units, is_entered=units.billed > 0 and was_elsewhere):
        steps.append(_tier_fee(number, tier, units.tier_share))
    return steps


def _stairstep(charge: Stairstep, units: Units) -> list[Step]:
    """The fee of the tier that is reached, less the fee of the tier that was reached before."""
    reached = _tier_reached(charge, units.end, units.tier_share)
    before = None
    if units.counted_before is not None:
        before = _tier_reached(charge, units.start, units.tier_share)
    if reached is None:
        return []
    fee = replace(_tier_fee(reached, charge.tiers[reached - 1], units.tier_share), quantity=units.billed)
    if before is None:
        return [fee]
    if before == reached:
        return [replace(fee, base=Fraction(0), amount=Fraction(0))]
    return [fee, _tier_fee(before, charge.tiers[before - 1], units.tier_share).taken_back()]


def _tier_reached(charge: Stairstep, quantity: Fraction, tier_share: Share) -> int | None:
    return tier_number(charge.tiers, quantity, tier_share) if quantity or charge.flat_at_zero else None


def tier_number(tiers: tuple[Tier, ...], quantity: Fraction, tier_share: Share) -> int:
    """Which tier, counted from 1, the quantity falls in; zero and a bound itself fall in the lower one."""
    for number, tier in enumerate(tiers, 1):
        _above, up_to = bounds_of(tier, tier_share)
        if up_to is None or quantity <= up_to:
            return number
    raise ValueError("the last tier is not open")


def bounds_of(tier: Tier, tier_share: Share) -> tuple[Fraction, Fraction | None]:
    """The tier's bounds for a part of a period, in billed units."""
    above = exact_of(tier.above)
    up_to = None if tier.up_to is None else exact_of(tier.up_to)
    if tier_share.is_whole:
        return above, up_to
    part = tier_share.fraction
    return above * part, None if up_to is None else up_to * part


def _tier_units(
    charge: Graduated | GraduatedPercentage | Volume, number: int, quantity: Fraction, tier_share: Share
) -> Step:
    tier = charge.tiers[number - 1]
    above, up_to = bounds_of(tier, tier_share)
    is_percent = isinstance(charge, GraduatedPercentage)
    price = exact_of(tier.percent if is_percent else tier.unit_amount)
    return Step(
        kind=StepKind.TIER,
        quantity=quantity,
        base=quantity,
        unit_amount=None if is_percent else price,
        percent=price if is_percent else None,
        amount=quantity * (price * PER_CENT if is_percent else price),
        tier=number,
        above=above,
        up_to=up_to,
    )


def _tier_fee(number: int, tier: Tier, tier_share: Share) -> Step:
    above, up_to = bounds_of(tier, tier_share)
    fee = exact_of(tier.flat_amount)
    return Step(
        kind=StepKind.TIER_FEE,
        base=ONE,
        unit_amount=fee,
        amount=fee * tier_share.fraction,
        share=tier_share,
        tier=number,
        above=above,
        up_to=up_to,
    )


def _packages(charge: Package, units: Units) -> Step:
    size = exact_of(charge.size)
    if charge.counting is Packages.WHOLE:
        # A package that was begun earlier is used up before another is charged.
        packages = Fraction(_ceiling(units.end / size) - _ceiling(units.start / size))
    else:
        packages = units.billed / size
    amount = exact_of(charge.amount)
    return Step(
        kind=StepKind.PACKAGES,
        quantity=units.billed,
        base=packages,
        unit_amount=amount,
        amount=packages * amount,
    )


def _ceiling(number: Fraction) -> int:
    return -(-number.numerator // number.denominator)


def _percentage(charge: Percentage, units: Units) -> list[Step]:
    percent = exact_of(charge.percent)
    part = Step(
        kind=StepKind.PERCENT,
        quantity=units.billed,
        base=units.billed,
        percent=percent,
        amount=units.billed * percent * PER_CENT,
    )
    fixed = exact_of(charge.fixed_amount)
    fees = Step(
        kind=StepKind.COUNT_FEE,
        base=units.count,
        unit_amount=fixed,
        amount=units.count * fixed,
        note=charge.count_meter,
    )
    return [part, fees]
