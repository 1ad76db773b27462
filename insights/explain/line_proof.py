"""What stands behind one line of a bill: its days, its dimension values and its recheck, each adding to the line. Pure.

Amounts of days and values come from `rating.parts`; nothing here knows another way to price anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache, reduce
from itertools import accumulate
from typing import NamedTuple

from insights.billing.bill import BillLine
from insights.metering.windows import Slot
from insights.rating.parts import cost_by_value, cost_in_order
from insights.rating.rate import Segment, UnableToRate, Usage, rate_line
from insights.rating.terms import PriceTerms
from insights.values.exact import EXACT
from insights.values.money import Money, UnableToAllot

ZERO = Decimal(0)
VALUES_SHOWN = 10
# Some five megabytes of lines with a day for each of two months.
LINES_KEPT = 256


class DayPart(NamedTuple):
    """One day of a line, or a piece of one: its own quantity and amount, and what the line had come to by its end.

    `quantity` is in the meter's unit, None where nothing arrived. Of a correction, `before` is the quantity that was
    known when the corrected bill was made, and the amounts are of the change. A page in money has thousands, hence a
    tuple.
    """

    slot: Slot
    quantity: Decimal | None
    records: int
    amount: Money | None = None
    running: Money | None = None
    before: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ValuePart:
    """What one value of a dimension was for: quantity, records, and its share of the line's amount."""

    value: str
    quantity: Decimal
    records: int
    amount: Money | None
    members: int = 1

    @property
    def is_rest(self) -> bool:
        """Whether it stands for several values that are not shown alone."""
        return self.members > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """A line by the values of one dimension, largest first; amounts add to the line's unless there are none."""

    name: str
    values: tuple[ValuePart, ...]

    def shown(self, most: int = VALUES_SHOWN) -> tuple[ValuePart, ...]:
        """The largest values, and all others as one."""
        if len(self.values) <= most + 1:
            return self.values
        rest = self.values[most:]
        amounts = [one.amount for one in rest]
        return (
            *self.values[:most],
            ValuePart(
                value="",
                quantity=reduce(EXACT.add, (one.quantity for one in rest)),
                records=sum(one.records for one in rest),
                amount=None if None in amounts else _sum(amounts),
                members=len(rest),
            ),
        )


class Verdict(StrEnum):
    """What rechecking a line from its records came to."""

    EQUAL = "equal"
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recheck:
    """The line once more: counted from the records as known at the bill's position, rated again at its stored terms.

    `quantity` and `amount` are what that gave. `now` is the quantity known today and `records_now` its records; their
    difference is exactly what came, or went, since.
    """

    quantity: Decimal
    records: int
    amount: Money
    steps_are_equal: bool
    stored_quantity: Decimal
    stored_amount: Money
    now: Decimal
    records_now: int
    amount_now: Money | None

    @property
    def verdict(self) -> Verdict:
        """Whether quantity, amount and every step came out as they are stored."""
        same = (self.quantity, self.amount) == (self.stored_quantity, self.stored_amount)
        return Verdict.EQUAL if same and self.steps_are_equal else Verdict.DIFFERENT

    @property
    def since(self) -> Decimal:
        """How much more is known now than at the bill's position."""
        return EXACT.subtract(self.now, self.quantity)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineProof:
    """A line with everything behind it. Lines without usage have no days, dimensions or recheck of quantities."""

    line: BillLine
    meter_unit: str = ""
    days: tuple[DayPart, ...] = ()
    dimensions: tuple[Dimension, ...] = ()
    recheck: Recheck | None = None
    adds_over_time: bool = True
    is_archived: bool = False
    neighbours: tuple[BillLine, ...] = ()

    @property
    def records(self) -> int:
        """How many records the line is made of."""
        return sum(day.records for day in self.days)


def recheck_line(
    line: BillLine,
    *,
    terms: PriceTerms,
    segment: Segment,
    then: tuple[Usage, int],
    now: tuple[Usage, int],
    before: Usage | None = None,
) -> Recheck:
    """Rate what the records come to, then and now, at the line's stored terms and place in its period.

    `then` and `now` are the usage and its number of records; `before` is what is in the tiers already. Raises
    UnableToRate where then adds to less than nothing.
    """
    again = rate_line(terms, then[0], already_rated=before, segment=segment)
    return Recheck(
        quantity=then[0].quantity,
        records=then[1],
        amount=again.amount,
        steps_are_equal=again.steps == line.steps,
        stored_quantity=line.metered_quantity or ZERO,
        stored_amount=line.amount,
        now=now[0].quantity,
        records_now=now[1],
        amount_now=_amount_or_none(terms, now[0], before, segment),
    )


def _amount_or_none(terms: PriceTerms, usage: Usage, before: Usage | None, segment: Segment) -> Money | None:
    try:
        return rate_line(terms, usage, already_rated=before, segment=segment).amount
    except UnableToRate:
        return None


def cost_of_days(
    days: Sequence[tuple[Slot, Decimal | None, int]],
    *,
    terms: PriceTerms,
    segment: Segment,
    counts: Sequence[Decimal] = (),
    before: Usage | None = None,
) -> tuple[DayPart, ...]:
    """Give each day its amount: what the line had come to by its end, less by its beginning. They add to the line.

    Of each day what was used and how many records there are is given.
    `counts` is what the count meter of a percentage counted on each day, `before` what is in the tiers already. Days
    come back without amounts where the line has no price for them together.
    """
    quantities = tuple([quantity or ZERO for _, quantity, _ in days])
    try:
        amounts = _amounts(terms, quantities, tuple(counts), segment, before)
    except UnableToRate:
        return tuple(DayPart(*day) for day in days)
    return tuple(
        [DayPart(*day, amount, running) for day, (amount, running) in zip(days, amounts, strict=True)]
    )


@lru_cache(maxsize=LINES_KEPT)
def _amounts(
    terms: PriceTerms,
    quantities: tuple[Decimal, ...],
    counts: tuple[Decimal, ...],
    segment: Segment,
    before: Usage | None,
) -> tuple[tuple[Money, Money], ...]:
    """Each day's amount and what the line has come to with it.

    Kept, since it follows from what is given alone and pages ask for a bill again and again.
    """
    usages = [
        Usage(quantity, counts[number] if counts else ZERO) for number, quantity in enumerate(quantities)
    ]
    first = [] if before is None else [before]
    amounts = cost_in_order(terms, [*first, *usages], segment=segment)[len(first) :]
    return tuple(zip(amounts, list(accumulate(amounts)), strict=True))


def change_of_days(before: Sequence[DayPart], after: Sequence[DayPart]) -> tuple[DayPart, ...]:
    """The days that a correction is about: what was known, what is known, and how the day's amount changed."""
    changed, running = [], None
    for old, new in zip(before, after, strict=True):
        if (old.quantity, old.records) == (new.quantity, new.records) and old.amount == new.amount:
            continue
        amount = None if old.amount is None or new.amount is None else new.amount - old.amount
        running = amount if running is None or amount is None else running + amount
        changed.append(
            DayPart(
                slot=new.slot,
                quantity=new.quantity,
                records=new.records - old.records,
                amount=amount,
                running=running,
                before=old.quantity,
            )
        )
    return tuple(changed)


def cost_of_values(
    name: str, quantities: Mapping[str, tuple[Decimal, int]], amount: Money, *, adds_up: bool
) -> Dimension:
    """A line by the values of a dimension: each has its part of the amount by its part of the quantity.

    Without amounts where quantities do not add up, or where a fee has no quantity to go by.
    """
    amounts: Mapping[str, int] = {}
    if adds_up:
        try:
            amounts = cost_by_value(amount.minor, {value: found[0] for value, found in quantities.items()})
        except UnableToAllot:
            amounts = {}
    parts = [
        ValuePart(
            value=value,
            quantity=quantity,
            records=records,
            amount=Money(amounts[value], amount.currency) if value in amounts else None,
        )
        for value, (quantity, records) in quantities.items()
    ]
    return Dimension(name=name, values=tuple(sorted(parts, key=lambda part: (-part.quantity, part.value))))


def _sum(amounts: Sequence[Money | None]) -> Money | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known[1:], known[0]) if known else None
