"""What usage cost, in the days and dimension values of one question: parts of the lines of bills. Pure.

A part is taken in the one way that a line is split (`line_proof.py`): by days as the line rose, by values as their
share of its quantity. So the parts of a question add to the same sum by days and by values, and those of all of a
line's time to what the line comes to. The two ways cross only where that needs no third one: what of a line is in
several stretches of time and of several values has no parts by value inside each stretch. Nothing here knows a price.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import reduce
from typing import NamedTuple
from uuid import UUID

from insights.billing.bill import BillLine
from insights.explain.line_proof import DayPart
from insights.metering.windows import Slot
from insights.rating.parts import cost_by_value
from insights.values.exact import EXACT
from insights.values.money import Money, UnableToAllot
from insights.values.period import Period

ZERO = Decimal(0)


class NotParted(StrEnum):
    """Why a part of a line cannot be told from the rest of it."""

    HELD = "held"
    VALUES = "values"
    CORRECTION = "correction"
    UNRATED = "unrated"


@dataclass(frozen=True, slots=True, kw_only=True)
class LineCost:
    """A line's part in a question, in minor units. What `by_slot` or `by_value` leave of it is of no single one.

    `quantities` are the meter's, by stretch of time, where the line has them.
    """

    bill_id: UUID
    position: int
    name: str
    amount: int
    by_slot: Mapping[int, int]
    by_value: Mapping[str, int]
    quantities: Mapping[int, Decimal]
    value_quantities: Mapping[str, Decimal]

    @property
    def undated(self) -> int:
        """What is of no single stretch of time."""
        return self.amount - sum(self.by_slot.values())

    @property
    def unvalued(self) -> int:
        """What is of no single value."""
        return self.amount - sum(self.by_value.values())

    @property
    def slot(self) -> int | None:
        """The stretch of time that all of it is in, if there is one: only then values have parts inside it."""
        return next(iter(self.by_slot)) if len(self.by_slot) == 1 and not self.undated else None

    @property
    def crosses(self) -> bool:
        """Whether it is told by time and by value at once: all of it is in one stretch, or of one value."""
        is_of_one_value = len(self.by_value) == 1 and not self.unvalued and not self.undated
        return self.slot is not None or is_of_one_value

    def part(self, slot: int, value: str) -> int:
        """What of it is of a value in a stretch of time, where it crosses."""
        if self.slot is not None:
            return self.by_value.get(value, 0)
        return self.by_slot.get(slot, 0) if value in self.by_value else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A line of which a part was asked for that cannot be told; nothing of it is counted."""

    bill_id: UUID
    position: int
    name: str
    amount: Money
    reason: NotParted


class Share(NamedTuple):
    """Usage of the same values: those of the dimensions that are narrowed, whether they were asked for, and the value
    of the dimension that is grouped by.
    """

    narrowed: tuple[str, ...]
    is_wanted: bool
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedLine:
    """A line as a question meets it.

    `days` are its days up to the end of the question, None where all of it is in one stretch; `is_whole` says that its
    whole time was asked for. `shares` are the quantities in the days asked for, None where every value was and none is
    told apart; `adds_up` is whether shares of quantity are shares of the line.
    """

    bill_id: UUID
    line: BillLine
    service: Period
    is_whole: bool
    days: tuple[DayPart, ...] | None
    shares: Mapping[Share, Decimal] | None
    is_filtered: bool
    adds_over_time: bool
    adds_up: bool
    is_correction: bool


class Stretches:
    """The stretches of time of a question, each found by an instant."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self._ends = [slot.end for slot in slots]
        # Looked up for every day of every line.
        self._starts = [slot.start for slot in slots]

    def number_of(self, instant: datetime) -> int:
        """The place of the one that holds an instant, -1 where none does."""
        number = bisect_right(self._starts, instant) - 1
        return number if number >= 0 and instant < self._ends[number] else -1


def part_of_line(asked: AskedLine, stretches: Stretches) -> LineCost | Left | None:
    """What of a line is in the stretches of time and the values asked for; None where nothing of it can be."""
    dated = _by_slot(asked, stretches)
    if isinstance(dated, NotParted):
        return _left(asked, dated)
    by_slot, quantities, amount = dated
    is_matched = _matches(asked)
    if is_matched is False:
        return None
    if is_matched is None:
        return _of_some_values(asked, by_slot, amount)
    by_value, value_quantities = _by_value(asked, _by_narrowed(asked, amount) or {(): amount})
    return _cost(asked, amount, by_slot, by_value, quantities, value_quantities)


def _by_slot(
    asked: AskedLine, stretches: Stretches
) -> tuple[dict[int, int], dict[int, Decimal], int] | NotParted:
    """Minor units and quantities by stretch of time, and what all asked for comes to."""
    amount = asked.line.amount.minor
    if asked.days is None:
        number = stretches.number_of(asked.service.start)
        quantity = asked.line.metered_quantity
        return {number: amount}, {} if quantity is None else {number: quantity}, amount
    if any(day.amount is None for day in asked.days) or (not asked.days and amount):
        if asked.is_whole:
            return {}, {}, amount
        return NotParted.UNRATED if asked.adds_over_time else NotParted.HELD
    by_slot: dict[int, int] = {}
    quantities: dict[int, Decimal] = {}
    for day in asked.days:
        number = stretches.number_of(day.slot.start)
        if number < 0 or day.amount is None:
            continue
        by_slot[number] = by_slot.get(number, 0) + day.amount.minor
        if day.quantity is not None:
            change = EXACT.subtract(day.quantity, day.before) if day.before else day.quantity
            known = quantities.get(number)
            quantities[number] = change if known is None else EXACT.add(known, change)
    return by_slot, quantities, amount if asked.is_whole else sum(by_slot.values())


def _matches(asked: AskedLine) -> bool | None:
    """Whether all of the line is for values asked for, or nothing; None where some of it is."""
    if not asked.is_filtered:
        return True
    found = {share.is_wanted for share in asked.shares or {}}
    return None if len(found) == 2 else found == {True}


def _of_some_values(asked: AskedLine, by_slot: Mapping[int, int], amount: int) -> LineCost | Left:
    """Some values of a line have their share of its quantity, and no days unless one stretch has all of it."""
    if asked.is_correction:
        return _left(asked, NotParted.CORRECTION)
    minor = _by_narrowed(asked, amount)
    if minor is None:
        return _left(asked, NotParted.VALUES)
    own = sum(minor.values())
    by_value, quantities = _by_value(asked, minor)
    # The one stretch that holds all of the line holds all of a part of it.
    number = next((slot for slot, part in by_slot.items() if part == amount and len(by_slot) == 1), None)
    return _cost(
        asked,
        own,
        {} if number is None else {number: own},
        by_value,
        {} if number is None else {number: reduce(EXACT.add, quantities.values(), ZERO)},
        quantities,
    )


def _by_narrowed(asked: AskedLine, amount: int) -> dict[tuple[str, ...], int] | None:
    """What of an amount is of each combination of the values asked for, by its share of the quantity.

    None where it cannot be told. First of all, so that a value comes to the same however it is grouped.
    """
    if not asked.is_filtered:
        return {(): amount}
    if not asked.adds_up:
        return None
    shares = asked.shares or {}
    wanted = {share.narrowed for share in shares if share.is_wanted}
    parts = _split(amount, ((share.narrowed, quantity) for share, quantity in shares.items()))
    return None if parts is None else {key: part for key, part in parts.items() if key in wanted}


def _by_value(
    asked: AskedLine, minor: Mapping[tuple[str, ...], int]
) -> tuple[dict[str, int], dict[str, Decimal]]:
    """Each combination's amount by the value grouped by, as the page of the line splits it; nothing where it cannot."""
    by_value: dict[str, int] = {}
    quantities: dict[str, Decimal] = {}
    if asked.is_correction or asked.shares is None or not asked.adds_up:
        return by_value, quantities
    for narrowed, amount in minor.items():
        inside = {(share.value,): each for share, each in asked.shares.items() if share.narrowed == narrowed}
        for (value,), part in (_split(amount, inside.items()) or {}).items():
            by_value[value] = by_value.get(value, 0) + part
            quantities[value] = EXACT.add(quantities.get(value, ZERO), inside[value,])
    return by_value, quantities


def _split(
    amount: int, quantities: Iterable[tuple[tuple[str, ...], Decimal]]
) -> dict[tuple[str, ...], int] | None:
    totals: dict[tuple[str, ...], Decimal] = {}
    for key, quantity in quantities:
        totals[key] = EXACT.add(totals.get(key, ZERO), quantity)
    try:
        return cost_by_value(amount, totals)
    except UnableToAllot:
        return None


def _cost(
    asked: AskedLine,
    amount: int,
    by_slot: Mapping[int, int],
    by_value: Mapping[str, int],
    quantities: Mapping[int, Decimal],
    value_quantities: Mapping[str, Decimal],
) -> LineCost:
    return LineCost(
        bill_id=asked.bill_id,
        position=asked.line.position,
        name=asked.line.name,
        amount=amount,
        by_slot=by_slot,
        by_value=by_value,
        quantities=quantities,
        value_quantities=value_quantities,
    )


def _left(asked: AskedLine, reason: NotParted) -> Left:
    line = asked.line
    return Left(
        bill_id=asked.bill_id, position=line.position, name=line.name, amount=line.amount, reason=reason
    )
