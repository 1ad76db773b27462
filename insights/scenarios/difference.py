"""The difference of two bills: what each cause changed in each thing billed, to the minor unit. `compare_bills`.

Every part has a cause of its own; nothing is left over. What whole minor units take from exact amounts is the part
`rounding`, and it is never more than the roundings of the lines.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from insights.scenarios.effects import Effect, Measured, explain_match
from insights.scenarios.facts import BillFacts, DifferentCurrencies
from insights.scenarios.matching import Match, Place, match_bills
from insights.values.money import Money, allot, sum_money


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one cause changed in one thing: exactly, in minor units, and rounded so that all parts add up.

    `stood` is what it came to on both bills, where it is nothing but the difference of that.
    """

    match: Match
    effect: Effect
    exact: Fraction
    amount: Money
    measured: Measured | None = None
    stood: tuple[Fraction, Fraction] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """What one cause changed in everything."""

    effect: Effect
    amount: Money
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BillDifference:
    """Both totals, and parts that add to their difference; the largest of a match and of all matches first."""

    before: Money
    after: Money
    parts: tuple[Part, ...]

    @property
    def change(self) -> Money:
        """How much more the second bill comes to."""
        return self.after - self.before

    @property
    def unchanged(self) -> Money:
        """What everything comes to that has no part here, on both bills alike."""
        changed = sum(match.before.minor for match, _, _ in self.by_match)
        return self.before - Money(changed, self.before.currency)

    @property
    def bars(self) -> tuple[Bar, ...]:
        """The parts by cause, in the order in which causes are told."""
        return tuple(
            Bar(effect=effect, amount=self._sum(parts), parts=parts)
            for effect in Effect
            if (parts := tuple(part for part in self.parts if part.effect is effect))
        )

    @property
    def by_match(self) -> tuple[tuple[Match, Money, tuple[Part, ...]], ...]:
        """The parts by what they are for."""
        found: dict[Place, list[Part]] = {}
        for part in self.parts:
            found.setdefault(part.match.place, []).append(part)
        return tuple((parts[0].match, self._sum(parts), tuple(parts)) for parts in found.values())

    def _sum(self, parts: Iterable[Part]) -> Money:
        return sum_money((part.amount for part in parts), self.before.currency)


def compare_bills(before: BillFacts, after: BillFacts) -> BillDifference:
    """Every change from the first bill to the second by its cause; raises DifferentCurrencies."""
    if before.currency != after.currency:
        raise DifferentCurrencies(f"{before.currency} and {after.currency}")
    found = [_parts_of(match, before, after) for match in match_bills(before, after)]
    groups = sorted(filter(None, found), key=lambda parts: (-_size(parts), parts[0].match.place))
    return BillDifference(
        before=Money(before.total_minor, before.currency),
        after=Money(after.total_minor, after.currency),
        parts=tuple(part for parts in groups for part in parts),
    )


def _parts_of(match: Match, before: BillFacts, after: BillFacts) -> list[Part]:
    change = explain_match(match, before, after)
    whole = match.after.minor - match.before.minor
    minor = allot(whole, {effect.value: part for effect, part in change.parts.items()})
    order = list(Effect)
    return [
        Part(
            match=match,
            effect=effect,
            exact=change.parts[effect],
            amount=Money(minor[effect.value], before.currency),
            measured=change.measured,
            stood=change.stood.get(effect),
        )
        for effect in sorted(change.parts, key=order.index)
    ]


def _size(parts: Iterable[Part]) -> int:
    return sum(abs(part.amount.minor) for part in parts)
