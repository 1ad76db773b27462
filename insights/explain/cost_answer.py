"""The answer about cost: what the parts of lines come to by time and by value, and each bill beside it. Pure.

Everything adds: buckets and what is of no single one to the total, groups likewise, and of a bill what is shown and
what is not to what it comes to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from functools import reduce

from insights.billing.bill import BillHead, LineGroup
from insights.explain.cost import Left, LineCost
from insights.metering.usage_filter import GROUPS_SHOWN, UsageFilter
from insights.metering.windows import Slot
from insights.values.exact import EXACT
from insights.values.money import Money

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineTotal:
    """A line of a bill as its sum needs it."""

    group: LineGroup
    meter_key: str
    meter_name: str
    is_own: bool
    amount: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class BillPart:
    """What of a bill is not in the answer: other days or values of the meter, other meters, or not from usage.

    `group` is None for the rest of the meter asked for.
    """

    group: LineGroup | None
    meter_key: str
    meter_name: str
    amount: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class BillCost:
    """A bill beside the answer: what of it is shown, and everything else; together its total.

    A bill of the time asked for may have nothing to show of this meter.
    """

    head: BillHead
    shown: Money
    rest: tuple[BillPart, ...]

    @property
    def total(self) -> Money:
        """What the bill comes to."""
        return reduce(lambda total, part: total + part.amount, self.rest, self.shown)


def bill_cost(head: BillHead, lines: Iterable[LineTotal], shown_minor: int) -> BillCost:
    """A bill as what is shown of it and what is not, in the order of the bill."""
    shown = Money(shown_minor, head.currency)
    others: dict[tuple[LineGroup | None, str], BillPart] = {}
    for line in lines:
        key = (None, "") if line.is_own else (line.group, line.meter_key)
        known = others.get(key)
        if known is None:
            others[key] = BillPart(
                group=key[0], meter_key=line.meter_key, meter_name=line.meter_name, amount=line.amount
            )
        else:
            others[key] = replace(known, amount=known.amount + line.amount)
    own = others.pop((None, ""), None)
    rest = () if own is None else (replace(own, amount=own.amount - shown),)
    order = list(LineGroup)
    in_order = sorted(others.values(), key=lambda part: order.index(part.group or LineGroup.USAGE))
    return BillCost(head=head, shown=shown, rest=(*rest, *in_order))


class CostState(StrEnum):
    """What stands behind the cost of a stretch of time: bills that are final, one that is not, or no price."""

    BILLED = "billed"
    SO_FAR = "so_far"
    NO_PRICE = "no_price"


@dataclass(frozen=True, slots=True, kw_only=True)
class CostBucket:
    """One stretch of time: amount and quantity as billed, None where there are none; parts in the order of groups."""

    slot: Slot
    state: CostState
    amount: Money | None
    quantity: Decimal | None
    parts: tuple[Money, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CostGroup:
    """One dimension value, or the rest of them; an absent value is None."""

    value: str | None
    members: int
    amount: Money
    quantity: Decimal

    @property
    def is_rest(self) -> bool:
        """Whether it stands for several values."""
        return self.members > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrencyCost:
    """The answer in one currency. `total` is the buckets and `undated`; with groups it is these and `unvalued` too.

    `has_parts` says that every line is in one stretch of time or of one value, so that groups have parts in each.
    """

    total: Money
    buckets: tuple[CostBucket, ...]
    undated: Money
    groups: tuple[CostGroup, ...]
    unvalued: Money
    has_parts: bool
    bills: tuple[BillCost, ...]
    left: tuple[Left, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CostAnswer:
    """What a question about cost came to, in each currency that was billed.

    `is_subscribed` is whether the account ever had a subscription; `unit` is the meter's.
    """

    filter: UsageFilter
    unit: str
    slots: tuple[Slot, ...]
    currencies: tuple[CurrencyCost, ...]
    is_subscribed: bool

    @property
    def is_priced(self) -> bool:
        """Whether any bill has a line for this usage in the time asked for."""
        return any(state.amount is not None for one in self.currencies for state in one.buckets) or any(
            one.left or one.total.minor for one in self.currencies
        )


def currency_cost(
    currency: str,
    slots: Sequence[Slot],
    states: Sequence[CostState],
    costs: Sequence[LineCost],
    *,
    is_grouped: bool,
    bills: tuple[BillCost, ...],
    left: tuple[Left, ...],
) -> CurrencyCost:
    """Put the parts of lines of one currency together; `states` say what stands behind each stretch of time."""
    plan = _plan(costs) if is_grouped else ()
    has_parts = is_grouped and all(cost.crosses or not cost.amount for cost in costs)
    return CurrencyCost(
        total=Money(sum(cost.amount for cost in costs), currency),
        buckets=tuple(
            _bucket(number, slot, state, costs, plan if has_parts else (), currency)
            for number, (slot, state) in enumerate(zip(slots, states, strict=True))
        ),
        undated=Money(sum(cost.undated for cost in costs), currency),
        groups=tuple(_group(values, costs, currency) for values in plan),
        unvalued=Money(sum(cost.unvalued for cost in costs) if is_grouped else 0, currency),
        has_parts=has_parts,
        bills=bills,
        left=left,
    )


def _plan(costs: Iterable[LineCost]) -> tuple[tuple[str, ...], ...]:
    """The values of each group shown: the dearest alone, all others together."""
    totals: dict[str, int] = {}
    for cost in costs:
        for value, minor in cost.by_value.items():
            totals[value] = totals.get(value, 0) + minor
    ranked = sorted(totals, key=lambda value: (-totals[value], value))
    shown = len(ranked) if len(ranked) <= GROUPS_SHOWN + 1 else GROUPS_SHOWN
    rest = tuple(ranked[shown:])
    return (*((value,) for value in ranked[:shown]), *((rest,) if rest else ()))


def _bucket(
    number: int,
    slot: Slot,
    state: CostState,
    costs: Sequence[LineCost],
    plan: Sequence[tuple[str, ...]],
    currency: str,
) -> CostBucket:
    inside = [cost for cost in costs if number in cost.by_slot]
    quantities = [cost.quantities[number] for cost in inside if number in cost.quantities]
    is_known = state is not CostState.NO_PRICE or bool(inside)
    return CostBucket(
        slot=slot,
        state=state,
        amount=Money(sum(cost.by_slot[number] for cost in inside), currency) if is_known else None,
        quantity=reduce(EXACT.add, quantities) if quantities else None,
        parts=tuple(
            Money(sum(cost.part(number, value) for value in values for cost in inside), currency)
            for values in plan
        ),
    )


def _sum_of(values: Iterable[str], costs: Sequence[LineCost]) -> int:
    return sum(cost.by_value.get(value, 0) for value in values for cost in costs)


def _group(values: tuple[str, ...], costs: Sequence[LineCost], currency: str) -> CostGroup:
    quantities = [
        cost.value_quantities[value] for value in values for cost in costs if value in cost.value_quantities
    ]
    return CostGroup(
        value=(values[0] or None) if len(values) == 1 else None,
        members=len(values),
        amount=Money(_sum_of(values, costs), currency),
        quantity=reduce(EXACT.add, quantities, ZERO),
    )
