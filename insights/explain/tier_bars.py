"""The tiers of a line as they are drawn: how much of it fell into each, and what that came to. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from insights.billing.bill import BillLine
from insights.rating.charge_models import bounds_of
from insights.rating.charges import Tiered
from insights.values.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class TierBar:
    """A tier as it is drawn: which quantities it holds, how much of the line fell into it, what that came to.

    `filled` is the part of its width that is used, None of a tier without an end.
    """

    number: int
    above: Fraction
    up_to: Fraction | None
    quantity: Fraction
    filled: Fraction | None
    amount: Money


def tier_bars(line: BillLine) -> tuple[TierBar, ...]:
    """Each tier that the line had, for its part of the period, with what its steps put into it."""
    charge = line.terms.charge if line.terms else None
    if not isinstance(charge, Tiered):
        return ()
    tiers = [bounds_of(tier, line.segment.tier_share) for tier in charge.tiers]
    quantities: dict[int, Fraction] = {}
    amounts: dict[int, int] = {}
    for step in line.steps:
        if step.tier is not None:
            quantities[step.tier] = quantities.get(step.tier, Fraction(0)) + step.quantity
            amounts[step.tier] = amounts.get(step.tier, 0) + step.amount_minor
    bars = []
    for number, (above, up_to) in enumerate(tiers, 1):
        quantity = quantities.get(number, Fraction(0))
        bars.append(
            TierBar(
                number=number,
                above=above,
                up_to=up_to,
                quantity=quantity,
                filled=None
                if up_to is None
                else min(max(quantity / (up_to - above), Fraction(0)), Fraction(1)),
                amount=Money(amounts.get(number, 0), line.amount.currency),
            )
        )
    return tuple(bars)
