"""What steps come to, by what they are for: the sums that two ratings of one thing are compared by. Exact."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import reduce
from operator import add

from insights.rating.terms import PriceTerms
from insights.values.exact import add_exact, exact_of
from insights.values.step import Step, StepKind

_NOTHING = Fraction(0)
_BY_UNIT = frozenset({StepKind.UNITS, StepKind.TIER, StepKind.PACKAGES, StepKind.PERCENT})
_FREE = frozenset({StepKind.INCLUDED, StepKind.EXEMPT})
_ADJUSTED = {
    StepKind.DISCOUNT: "discount",
    StepKind.MINIMUM: "minimum",
    StepKind.MAXIMUM: "maximum",
    StepKind.COUNT_FEE: "counted",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Amounts in major units, quantities in the meter's unit.

    `by_unit` is what units cost; `counted` what counts of another meter do; `fixed` is due whatever the quantity
    inside a tier. `billed` and `free` quantities add to what was metered.
    """

    by_unit: Fraction = _NOTHING
    counted: Fraction = _NOTHING
    fixed: Fraction = _NOTHING
    discount: Fraction = _NOTHING
    minimum: Fraction = _NOTHING
    maximum: Fraction = _NOTHING
    billed: Fraction = _NOTHING
    free: Fraction = _NOTHING

    def __add__(self, other: Figures) -> Figures:
        return Figures(**{name: add_exact((getattr(self, name), getattr(other, name))) for name in _NAMES})

    def __sub__(self, other: Figures) -> Figures:
        return Figures(**{name: getattr(self, name) - getattr(other, name) for name in _NAMES})

    @property
    def charge(self) -> Fraction:
        """The amount before discounts and bounds."""
        return add_exact((self.by_unit, self.counted, self.fixed))

    @property
    def amount(self) -> Fraction:
        """What all steps add to."""
        return add_exact((self.charge, self.discount, self.minimum, self.maximum))

    @property
    def quantity(self) -> Fraction:
        """What was metered."""
        return add_exact((self.billed, self.free))


_NAMES = tuple(field.name for field in fields(Figures))


def figures_of(steps: Iterable[Step], terms: PriceTerms | None) -> Figures:
    """The sums of a line's steps; the terms say how many of the meter's units make one that is priced."""
    parts: dict[str, list[Fraction]] = {}
    units_per = exact_of(terms.conversion.units_per) if terms and terms.conversion else None
    for step in steps:
        parts.setdefault(_place_of(step), []).append(step.amount)
        quantity = step.quantity if units_per is None else step.quantity * units_per
        parts.setdefault("free" if step.kind in _FREE else "billed", []).append(quantity)
    return Figures(**{name: add_exact(numbers) for name, numbers in parts.items()})


def _place_of(step: Step) -> str:
    if step.kind in _BY_UNIT:
        return "by_unit"
    # An included or exempt step has no amount, so it may stand anywhere.
    return _ADJUSTED.get(step.kind, "fixed")


def sum_figures(figures: Iterable[Figures]) -> Figures:
    """All of them together; most lines are alone, and nothing is added to those."""
    found = list(figures)
    return reduce(add, found) if found else Figures()
