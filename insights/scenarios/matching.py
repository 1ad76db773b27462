"""Which lines of two bills are for the same thing. In no way a matter of the order of lines.

Usage is matched by meter, unit and dimension values; a fee by its price; what holds for a whole bill by its key. Where
the plans split a meter by other values, all lines of the meter are one match, since no value is the same thing then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from insights.rating.invoice import LineKind
from insights.scenarios.facts import BilledLine, BillFacts, OfferedPrice, Values

# What a match is for: its kind, then what tells it apart.
Place = tuple[str, ...]
METER, FEE, CORRECTED, WHOLE = "meter", "fee", "corrected", "whole"
_BY_PRICE = (LineKind.CHARGE, LineKind.CORRECTION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One bill's part of a match, in the order of time; `offer` is its last price for the same thing, if it has one."""

    lines: tuple[BilledLine, ...] = ()
    offer: OfferedPrice | None = None

    @property
    def minor(self) -> int:
        """What its lines come to."""
        return sum(line.minor for line in self.lines)

    @property
    def charges(self) -> tuple[BilledLine, ...]:
        """The lines that follow from a price."""
        return tuple(line for line in self.lines if line.kind is LineKind.CHARGE and not line.is_given_back)

    @property
    def due(self) -> tuple[BilledLine, ...]:
        """The lines that follow from a price, and what was given back of such lines of earlier bills."""
        return tuple(line for line in self.lines if line.kind is LineKind.CHARGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """The lines of both bills that are for one thing."""

    place: Place
    name: str
    meter_key: str = ""
    values: Values = ()
    is_add_on: bool = False
    before: Side = field(default_factory=Side)
    after: Side = field(default_factory=Side)

    @property
    def is_priced(self) -> bool:
        """Whether its lines have prices, and not only what follows from other lines."""
        return self.place[0] in (METER, FEE)


def match_bills(before: BillFacts, after: BillFacts) -> tuple[Match, ...]:
    """Every line of both bills in exactly one match, in the order of the places."""
    merged = _split_otherwise(before, after)
    sides = [_sides(bill, merged) for bill in (before, after)]
    offers = [_offers(bill, merged) for bill in (before, after)]
    places = sorted({*sides[0], *sides[1]})
    return tuple(
        _match(
            place,
            Side(lines=tuple(sides[0].get(place, ())), offer=offers[0].get(place)),
            Side(lines=tuple(sides[1].get(place, ())), offer=offers[1].get(place)),
        )
        for place in places
    )


def _split_otherwise(before: BillFacts, after: BillFacts) -> frozenset[str]:
    """The meters that both bills charge for, and that they split by other dimension values."""
    charged = [_meters(bill.lines) for bill in (before, after)]
    return frozenset(
        meter for meter in charged[0] & charged[1] if _cells(before, meter) != _cells(after, meter)
    )


def _meters(lines: Iterable[BilledLine]) -> frozenset[str]:
    return frozenset(line.meter_key for line in lines if line.kind is LineKind.CHARGE and line.meter_key)


def _cells(bill: BillFacts, meter_key: str) -> frozenset[Values]:
    priced: Iterable[BilledLine | OfferedPrice] = (*bill.lines, *bill.offers)
    return frozenset(one.values for one in priced if one.meter_key == meter_key)


def _place(one: BilledLine | OfferedPrice, merged: frozenset[str]) -> Place:
    if one.meter_key:
        values = () if one.meter_key in merged else one.values
        unit = one.terms.unit if one.terms else ""
        return (METER, one.meter_key, unit, *(part for pair in values for part in pair))
    if isinstance(one, OfferedPrice) or (one.price_key and one.kind in _BY_PRICE):
        return (FEE, one.price_key, one.plan_key if one.is_add_on else "")
    if one.kind is LineKind.CORRECTION:
        return (CORRECTED, one.name)
    return (WHOLE, one.kind.value, one.key)


def _sides(bill: BillFacts, merged: frozenset[str]) -> dict[Place, list[BilledLine]]:
    found: dict[Place, list[BilledLine]] = {}
    for line in sorted(bill.lines, key=lambda line: (line.service_start, line.key)):
        found.setdefault(_place(line, merged), []).append(line)
    return found


def _offers(bill: BillFacts, merged: frozenset[str]) -> dict[Place, OfferedPrice]:
    """The last price for each place."""
    return {
        _place(offer, merged): offer
        for offer in sorted(bill.offers, key=lambda offer: (offer.service_start, offer.values))
    }


def _match(place: Place, before: Side, after: Side) -> Match:
    newest = _named(after.lines) or _named(before.lines)
    first = newest[0]
    is_meter = place[0] == METER
    return Match(
        place=place,
        name=first.name,
        meter_key=first.meter_key if is_meter else "",
        # A meter that is split otherwise has values on its lines and none in its place.
        values=first.values if is_meter and len(place) > 3 else (),
        is_add_on=first.is_add_on,
        before=before,
        after=after,
    )


def _named(lines: Sequence[BilledLine]) -> Sequence[BilledLine]:
    """The lines to take a name from, the newest charge first."""
    return sorted(lines, key=lambda line: (line.kind is not LineKind.CHARGE, -line.position))
