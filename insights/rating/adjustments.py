"""What stands around the charge: included usage before it, then discounts, a minimum and a maximum.

Each is a step of its own and takes what the steps before it came to. Nothing is rounded here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from insights.rating.terms import Bound, Discount
from insights.values.exact import PER_CENT, exact_of
from insights.values.share import WHOLE, Share
from insights.values.step import Step, StepKind


@dataclass(frozen=True, slots=True)
class Included:
    """Units taken out of the included usage, its step if there are any, and where the billed units begin.

    `left` is how much more is included.
    """

    billed: Fraction
    billed_before: Fraction | None
    step: Step | None
    left: Fraction = Fraction(0)


def take_included(
    units: Fraction, *, included: Decimal, used_before: Fraction | None, share: Share
) -> Included:
    """Units that are free come first; `used_before` are units that earlier parts of the period already had.

    `share` is the part of a period that the included usage is for.
    """
    if not included:
        return Included(units, used_before, None)
    allowance = exact_of(included) * share.fraction
    before = used_before or Fraction(0)
    free = min(allowance, before + units) - min(allowance, before)
    step = Step(
        kind=StepKind.INCLUDED,
        quantity=free,
        up_to=allowance,
        share=share,
        amount=Fraction(0),
    )
    billed_before = None if used_before is None else before - min(allowance, before)
    left = allowance - min(allowance, before + units)
    return Included(units - free, billed_before, step if free else None, left)


def adjust_steps(
    steps: Sequence[Step],
    *,
    discounts: Sequence[Discount],
    minimum: Bound | None,
    maximum: Bound | None,
    share: Share,
) -> tuple[Step, ...]:
    """The steps followed by every discount in order, then what lifts them to the minimum or lowers to the maximum."""
    if not (discounts or minimum or maximum):
        return tuple(steps)
    adjusted = list(steps)
    amount = sum((step.amount for step in steps), Fraction(0))
    for discount in discounts:
        amount = _add(adjusted, discount_step(discount, amount, share), amount)
    if minimum:
        amount = _add(adjusted, _minimum_step(minimum, amount, share), amount)
    if maximum:
        _add(adjusted, _maximum_step(maximum, amount, share), amount)
    return tuple(adjusted)


def _add(steps: list[Step], step: Step, amount: Fraction) -> Fraction:
    if step.amount:
        steps.append(step)
    return amount + step.amount


def discount_step(discount: Discount, amount: Fraction, share: Share) -> Step:
    """What the discount takes off the amount, never more than all of it.

    A percent is of an amount below zero too, where more comes back than is charged: it was taken off when that was
    billed. A fixed one then takes nothing.
    """
    if discount.percent is not None:
        percent = exact_of(discount.percent)
        return Step(kind=StepKind.DISCOUNT, base=amount, percent=percent, amount=-amount * percent * PER_CENT)
    base = max(amount, Fraction(0))
    fixed = Fraction(discount.amount or 0)
    own_share = share if discount.is_prorated else WHOLE
    return Step(
        kind=StepKind.DISCOUNT,
        base=base,
        unit_amount=fixed,
        share=own_share,
        amount=-min(base, fixed * own_share.fraction),
    )


def _minimum_step(bound: Bound, amount: Fraction, share: Share) -> Step:
    missing = max(Fraction(0), bound_amount(bound, share) - amount)
    return _bound_step(StepKind.MINIMUM, bound, share, base=amount, amount=missing)


def _maximum_step(bound: Bound, amount: Fraction, share: Share) -> Step:
    excess = max(Fraction(0), amount - bound_amount(bound, share))
    return _bound_step(StepKind.MAXIMUM, bound, share, base=amount, amount=-excess)


def bound_amount(bound: Bound, share: Share) -> Fraction:
    """What the bound is for this part of a period, in major units."""
    return exact_of(bound.amount) * (share.fraction if bound.is_prorated else 1)


def _bound_step(kind: StepKind, bound: Bound, share: Share, *, base: Fraction, amount: Fraction) -> Step:
    own_share = share if bound.is_prorated else WHOLE
    return Step(kind=kind, base=base, unit_amount=exact_of(bound.amount), share=own_share, amount=amount)
