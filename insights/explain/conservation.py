"""What became of all usage of a bill's period: charged, included, free, or not on this bill and why. Pure.

For meters whose quantities add up, what is known is what the bill's lines are for and what they are not, to the last
digit. What is left is the residual; anything but zero is a fault, and is shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import reduce

from insights.billing.bill import BillLine
from insights.billing.uncovered import UncoveredAmount
from insights.rating.invoice import LineKind
from insights.values.exact import EXACT
from insights.values.step import StepKind

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """Usage of a meter in a part of the period in which the bill's plan has no price for it, and who has."""

    quantity: Decimal
    records: int
    subscription: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterBalance:
    """One meter in one period, in the meter's unit, as known at the bill's position.

    `known` is every record of the period; `not_charged` those of sources whose usage is shown and not charged.
    `charged`, `included` and `free` are what the lines of the bill are for, by their stored steps.
    """

    meter_key: str
    meter_name: str
    unit: str
    known: Decimal
    records: int
    charged: Fraction
    included: Fraction
    free: Fraction
    not_charged: Decimal
    elsewhere: tuple[Elsewhere, ...]
    positions: tuple[int, ...]

    @property
    def elsewhere_in_all(self) -> Decimal:
        """What this bill's plan has no price for."""
        return reduce(EXACT.add, (one.quantity for one in self.elsewhere), ZERO)

    @property
    def residual(self) -> Fraction:
        """What is known and in none of the others; zero."""
        counted = self.charged + self.included + self.free
        return Fraction(self.known) - counted - Fraction(self.not_charged) - Fraction(self.elsewhere_in_all)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineVerdicts:
    """What became of every line that was sent in batches whose usage falls into the period."""

    batches: int
    received: int
    new: int
    replaced: int
    duplicate: int
    stale: int
    rejected: int

    @property
    def residual(self) -> int:
        """Lines received that are in none of the others; zero."""
        return self.received - self.new - self.replaced - self.duplicate - self.stale - self.rejected


@dataclass(frozen=True, slots=True, kw_only=True)
class Conservation:
    """Every meter that adds up, and every line that was sent; `not_additive` are meters whose quantities do not add.

    `uncovered` is usage right before or right after the period, in time that no subscription covers: it is on no bill.
    """

    meters: tuple[MeterBalance, ...]
    lines: LineVerdicts
    not_additive: tuple[str, ...] = ()
    uncovered: tuple[UncoveredAmount, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing."""
        return not self.lines.residual and not any(meter.residual for meter in self.meters)


@dataclass(frozen=True, slots=True)
class OnLines:
    """What lines of one meter are for, in the meter's unit."""

    charged: Fraction
    included: Fraction
    free: Fraction
    positions: tuple[int, ...]


def usage_on_lines(lines: Iterable[BillLine], meter_key: str) -> OnLines:
    """Split what a bill's lines of a meter are for by their steps: included, free with a reason, and all else."""
    metered = included = free = Fraction(0)
    positions = []
    for line in lines:
        if line.kind is not LineKind.CHARGE or line.meter_key != meter_key:
            continue
        positions.append(line.position)
        metered += Fraction(line.metered_quantity or ZERO)
        included += _of_kind(line, StepKind.INCLUDED)
        free += _of_kind(line, StepKind.EXEMPT)
    return OnLines(metered - included - free, included, free, tuple(positions))


def _of_kind(line: BillLine, kind: StepKind) -> Fraction:
    """What the steps of a kind are for, back in the meter's unit."""
    conversion = line.terms.conversion if line.terms else None
    per = Fraction(conversion.units_per) if conversion else Fraction(1)
    return sum((step.quantity for step in line.steps if step.kind is kind), Fraction(0)) * per
