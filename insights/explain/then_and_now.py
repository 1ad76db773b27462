"""A whole bill as it was known at one ledger position against the bill as it would be at a later one. Pure.

Both sides are the same stored bill rated again by the function that makes corrections: same plans, prices, fees, taxes
and credits. Only the usage differs, and fees billed ahead that a later bill took back by making this one again. So
every difference has its cause in records that came or went in between, or in such a fee, whose line is gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from insights.billing.basis import DraftLine
from insights.billing.bill import BillLine
from insights.metering.between import NOTHING_MOVED, Between, Moved
from insights.rating.invoice import LineKind
from insights.values.exact import EXACT
from insights.values.money import Money, sum_money

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One of the two moments: a ledger position, and the instant that it stands for, if one is known."""

    position: int
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """The bill as it comes out of the usage known at a moment.

    `raw` is the quantity of each line by its key in the sum's own unit, of lines whose records add up to it.
    """

    moment: Moment
    lines: tuple[DraftLine, ...]
    raw: Mapping[str, Decimal]
    is_whole: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LineChange:
    """One line on both sides, None where a side has no such line; `position` is its place on the stored bill.

    `raw_then` and `raw_now` are None where a meter's records do not add up to its quantity.
    """

    then: DraftLine | None
    now: DraftLine | None
    currency: str
    position: int | None
    moved: Moved = NOTHING_MOVED
    raw_then: Decimal | None = None
    raw_now: Decimal | None = None

    @property
    def line(self) -> DraftLine:
        """The line as it is now, or was."""
        line = self.now or self.then
        if line is None:
            raise ValueError("a line is on at least one side")
        return line

    @property
    def amount_then(self) -> Money:
        """What it came to; nothing where it was not there."""
        return Money(self.then.minor if self.then else 0, self.currency)

    @property
    def amount_now(self) -> Money:
        """What it comes to; nothing where it is not there any more."""
        return Money(self.now.minor if self.now else 0, self.currency)

    @property
    def change(self) -> Money:
        """How much more it comes to now."""
        return self.amount_now - self.amount_then

    @property
    def quantity_then(self) -> Decimal | None:
        """What was metered; None of a line without usage."""
        return self._quantity(self.then)

    @property
    def quantity_now(self) -> Decimal | None:
        """What is metered now; None of a line without usage."""
        return self._quantity(self.now)

    def _quantity(self, line: DraftLine | None) -> Decimal | None:
        if not self.line.meter_key or self.line.metered_quantity is None:
            return None
        return ZERO if line is None else line.metered_quantity

    @property
    def residual(self) -> Decimal | None:
        """What of the quantity's difference no record accounts for: zero, or None where records do not add up."""
        if self.raw_then is None or self.raw_now is None:
            return None
        return EXACT.subtract(EXACT.subtract(self.raw_now, self.raw_then), self.moved.raw)

    @property
    def is_same(self) -> bool:
        """Whether nothing of it differs and no record of it came or went."""
        return (
            not self.change.minor
            and self.quantity_then == self.quantity_now
            and not self.moved.came
            and not self.moved.went
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ThenAndNow:
    """Both sides of a bill, line by line.

    `between` names the records, `places` the line that each of its places is of, as an index into `lines`, None for
    usage that no price of the bill is for. `is_rated` is false where a side cannot be rated, and then there are no
    lines. `is_own` tells that `then` is the position of the bill itself, `is_equal` that it came out there as stored.
    """

    then: Moment
    now: Moment
    currency: str
    lines: tuple[LineChange, ...]
    between: Between
    places: tuple[int | None, ...]
    moved: Moved
    unpriced: Moved
    stored: Money
    is_rated: bool = True
    is_own: bool = False
    is_equal: bool = True

    @property
    def total_then(self) -> Money:
        """What the bill came to."""
        return sum_money((line.amount_then for line in self.lines), self.currency)

    @property
    def total_now(self) -> Money:
        """What it would come to now."""
        return sum_money((line.amount_now for line in self.lines), self.currency)

    @property
    def change(self) -> Money:
        """How much more it would come to."""
        return self.total_now - self.total_then

    @property
    def residual(self) -> Money:
        """What of the totals' difference no line accounts for: nothing."""
        return self.change - sum_money((line.change for line in self.lines), self.currency)

    @property
    def took_back(self) -> bool:
        """Whether fees of the bill are gone, since a later one took them back."""
        gone = [line.then for line in self.lines if line.then and line.now is None]
        return any(then.kind is LineKind.CHARGE and not then.meter_key for then in gone)

    @property
    def is_accounted_for(self) -> bool:
        """Whether lines account for all money, records for all quantities, and the bill's own side is the bill."""
        nothing_left = not self.residual.minor and not any(line.residual for line in self.lines)
        return self.is_rated and nothing_left and self.is_equal


def pair_lines(
    then: Side, now: Side, *, stored: Mapping[str, BillLine], moved: Mapping[str, Moved], currency: str
) -> tuple[LineChange, ...]:
    """The lines of both sides by their names, in the order of now; those that are gone stand last."""
    before = {line.key: line for line in then.lines}
    after = {line.key: line for line in now.lines}
    return tuple(
        LineChange(
            then=before.get(key),
            now=after.get(key),
            currency=currency,
            position=stored[key].position if key in stored else None,
            moved=moved.get(key, NOTHING_MOVED),
            raw_then=then.raw.get(key),
            raw_now=now.raw.get(key),
        )
        for key in (*after, *(key for key in before if key not in after))
    )


def is_as_stored(lines: Sequence[DraftLine], stored: Sequence[BillLine]) -> bool:
    """Whether lines rated again are those of the bill, and each of the bill's comes to what its steps add to.

    Fees and corrections stand as they are whatever was used, so that only their steps can tell of them.
    """
    same = [(one.key, one.minor, one.metered_quantity, one.steps) for one in lines] == [
        (one.key, one.amount.minor, one.metered_quantity, one.steps) for one in stored
    ]
    return same and all(
        sum(step.amount_minor for step in one.steps) == one.amount.minor for one in stored if one.steps
    )
