"""What stands around the charge: included usage before it, then discounts, a minimum and a maximum.

Each is a step of its own and takes what the steps before it came to. Nothing is rounded here. Where a segment continues
earlier ones, fixed discounts and bounds hold once for all of them, so that a line has what they come to now less what
the earlier segments had of them. A bound that is lower than what those were charged takes nothing of it back: no line
is below zero by a bound.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Had:
    """What earlier segments of a run had of something that is due once for all of them.

    `place` names it: `flat`, `discount 1` (the first by an amount), `minimum` or `maximum`. `figure` is what it says
    for the time so far, `base` what the segments came to that it holds for, `amount` what it came to itself; all exact,
    in major units. `floor` is what they were charged under a bound when a lower one took its place.
    """

    place: str
    is_prorated: bool
    figure: Fraction
    base: Fraction
    amount: Fraction
    floor: Fraction = Fraction(0)

    def floor_at(self, figure: Fraction) -> Fraction:
        """What a bound that goes on at this figure takes nothing back of.

        Only a lower figure could, so that nothing depends on how often time at one bound was cut.
        """
        is_charge = self.place == StepKind.MAXIMUM or (self.place == StepKind.MINIMUM and self.amount)
        return max(self.floor, self.base + self.amount) if is_charge and figure < self.figure else self.floor

    def at_figure(self, figure: Fraction) -> Had:
        """The same where the segments that had it are followed by such as have no line, at this figure."""
        return replace(self, figure=figure, floor=self.floor_at(figure))


FLAT = "flat"
# The note of a bound's step that leaves a line at what segments before it were charged.
CHARGED_BEFORE = "charged before"


def adjust_steps(
    steps: Sequence[Step],
    *,
    discounts: Sequence[Discount],
    minimum: Bound | None,
    maximum: Bound | None,
    share: Share,
    had_before: Sequence[Had] = (),
) -> tuple[Step, ...]:
    """The steps followed by every discount in order, then what lifts them to the minimum or lowers to the maximum.

    What earlier segments had of these holds for them and the steps together, and is taken off again.
    """
    if not (discounts or minimum or maximum):
        return tuple(steps)
    return _adjust(steps, discounts, minimum, maximum, share, had_before)[0]


def had_by(
    steps: Sequence[Step],
    *,
    discounts: Sequence[Discount],
    minimum: Bound | None,
    maximum: Bound | None,
    share: Share,
    had_before: Sequence[Had],
) -> tuple[Had, ...]:
    """What the segments so far had of it when the one with these steps is among them, for the one that follows."""
    return _adjust(steps, discounts, minimum, maximum, share, had_before)[1]


def _adjust(
    steps: Sequence[Step],
    discounts: Sequence[Discount],
    minimum: Bound | None,
    maximum: Bound | None,
    share: Share,
    had_before: Sequence[Had],
) -> tuple[tuple[Step, ...], tuple[Had, ...]]:
    adjusted, had = list(steps), {one.place: one for one in had_before}
    amount = sum((step.amount for step in steps), Fraction(0))
    number = 0
    for discount in discounts:
        if discount.percent is not None:
            amount = _add(adjusted, discount_step(discount, amount, share), amount)
        else:
            # Counted among those by an amount, so that a percent before it makes it no other one.
            number += 1
            fixed = Bound(amount=discount.amount or Decimal(0), is_prorated=discount.is_prorated)
            amount = _add_once(adjusted, had, f"discount {number}", StepKind.DISCOUNT, fixed, share, amount)
    for kind, bound in ((StepKind.MINIMUM, minimum), (StepKind.MAXIMUM, maximum)):
        if bound:
            amount = _add_once(adjusted, had, str(kind), kind, bound, share, amount)
    return tuple(adjusted), tuple(had.values())


def _add_once(
    steps: list[Step],
    had: dict[str, Had],
    place: str,
    kind: StepKind,
    bound: Bound,
    share: Share,
    amount: Fraction,
) -> Fraction:
    """Add what is due once for the steps and for earlier segments that had it, less what those had; return the sum."""
    before = had.get(place)
    figure, base = bound_amount(bound, share), amount
    if before is not None:
        base += before.base
        figure += before.figure if bound.is_prorated and before.is_prorated else 0
    floor = Fraction(0) if before is None else before.floor_at(figure)
    due = _EFFECTS[kind](base, max(figure, floor))
    had[place] = Had(
        place=place, is_prorated=bound.is_prorated, figure=figure, base=base, amount=due, floor=floor
    )
    if before is None:
        return _add(steps, _bound_step(kind, bound, share, base=base, amount=due), amount)
    if due == before.amount:
        return amount
    amount = _add(steps, _step_of(kind, had[place]), amount)
    return _add(steps, _step_of(kind, before).taken_back(), amount)


_EFFECTS: Mapping[StepKind, Callable[[Fraction, Fraction], Fraction]] = {
    StepKind.DISCOUNT: lambda base, figure: -min(max(base, Fraction(0)), figure),
    StepKind.MINIMUM: lambda base, figure: max(Fraction(0), figure - base),
    StepKind.MAXIMUM: lambda base, figure: -max(Fraction(0), base - figure),
}


def _step_of(kind: StepKind, had: Had) -> Step:
    """What several segments had together, as a step: its figure is for all their time."""
    if kind is not StepKind.DISCOUNT and had.amount != _EFFECTS[kind](had.base, had.figure):
        # Not to the bound's figure, but to what was charged before it.
        reached = had.base + had.amount
        return Step(kind=kind, base=had.base, unit_amount=reached, amount=had.amount, note=CHARGED_BEFORE)
    base = max(had.base, Fraction(0)) if kind is StepKind.DISCOUNT else had.base
    return Step(kind=kind, base=base, unit_amount=had.figure, amount=had.amount)


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


def bound_amount(bound: Bound, share: Share) -> Fraction:
    """What the bound is for this part of a period, in major units."""
    return exact_of(bound.amount) * (share.fraction if bound.is_prorated else 1)


def _bound_step(kind: StepKind, bound: Bound, share: Share, *, base: Fraction, amount: Fraction) -> Step:
    own_share = share if bound.is_prorated else WHOLE
    own_base = max(base, Fraction(0)) if kind is StepKind.DISCOUNT else base
    return Step(kind=kind, base=own_base, unit_amount=exact_of(bound.amount), share=own_share, amount=amount)
