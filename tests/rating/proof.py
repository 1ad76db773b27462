"""A step's amount from the step's own fields, as somebody would check a bill who has nothing but the bill."""

from __future__ import annotations

from fractions import Fraction

from insights.values.step import Step, StepKind

_NOTHING = (StepKind.INCLUDED, StepKind.EXEMPT)


def proved_amount(step: Step) -> Fraction:
    """The exact amount that the step's own figures come to, in major units."""
    amount = _without_sign(step)
    return -amount if step.is_taken_back else amount


def _without_sign(step: Step) -> Fraction:
    if step.kind in _NOTHING:
        return Fraction(0)
    part = Fraction(step.share.seconds, step.share.of_seconds)
    if step.kind is StepKind.DISCOUNT and step.percent is None:
        return -min(step.base, (step.unit_amount or Fraction(0)) * part)
    if step.kind in (StepKind.MINIMUM, StepKind.MAXIMUM):
        return (step.unit_amount or Fraction(0)) * part - step.base
    if step.percent is not None:
        sign = -1 if step.kind is StepKind.DISCOUNT else 1
        return sign * step.base * step.percent * Fraction("0.01") * part
    assert step.unit_amount is not None
    return step.base * step.unit_amount * part
