"""What the next unit costs in plain words: its price, how many until that changes, and what then happens. Pure."""

from __future__ import annotations

from fractions import Fraction

from insights.billing.price_words import amount_each, number_words, price_amount, tier_price_words
from insights.rating.charges import Graduated, GraduatedPercentage, Package, Packages, Stairstep, Volume
from insights.rating.next_unit import Edge, EdgeKind, NextUnit
from insights.rating.terms import PriceTerms
from insights.values.exact import decimal_of, round_half_away
from insights.values.quantity import grouped_text, is_multiple, one_of
from insights.values.step import StepKind

_DIGITS = 2


def next_price_words(terms: PriceTerms, found: NextUnit) -> str:
    """The price of the next unit: 0.10 USD for the next GB."""
    if terms.exempt_reason:
        return f"Free: {terms.exempt_reason.rstrip('.')}"
    words = _next_words(found.amount, terms)
    if found.is_charged_before:
        return f"{words}: what was charged before the plan changed pays for it"
    if found.held_by is StepKind.MINIMUM and terms.minimum:
        return f"{words}, up to the minimum of {price_amount(terms.minimum.amount, terms.currency)}"
    if found.held_by is StepKind.MAXIMUM and terms.maximum:
        return f"{words}, at the maximum of {price_amount(terms.maximum.amount, terms.currency)}"
    return words


def _next_words(amount: Fraction, terms: PriceTerms) -> str:
    """What the next unit costs; of packages that are charged in proportion as they are published."""
    charge = terms.charge
    if amount and isinstance(charge, Package) and charge.counting is Packages.PRO_RATA:
        return f"{amount_each(amount, terms)}, for the next one too"
    return f"{price_amount(amount, terms.currency)} for the next {one_of(terms.priced_unit) or 'unit'}"


def countdown_words(terms: PriceTerms, found: NextUnit) -> str:
    """How many more units until the price changes, and to what; empty where it stays."""
    edge = found.edge
    if edge is None:
        return ""
    left = _units_words(edge.left, terms)
    behind = price_amount(edge.amount, terms.currency)
    if edge.kind is EdgeKind.INCLUDED:
        return f"{left} of included usage left, then {_next_words(edge.amount, terms)}"
    if edge.kind is EdgeKind.PACKAGE:
        charge = terms.charge
        begins = isinstance(charge, Package) and edge.left == Fraction(charge.size)
        inside = "in the package that it begins" if begins else "left in the package that is begun"
        return f"{left} {inside}, then {behind} for another"
    return f"{_units_words(edge.left, terms, more=True)} until {_tier_words(terms, edge)}"


def reprice_words(terms: PriceTerms, found: NextUnit) -> str:
    """A warning where going over the edge changes the price of everything; empty where it does not."""
    edge = found.edge
    if edge is None or not edge.reprices:
        return ""
    return f"Going over it prices all {_units_words(edge.reprices, terms)} anew"


def effect_words(terms: PriceTerms, found: NextUnit) -> str:
    """What pricing everything anew changes; empty where nothing is."""
    edge = found.edge
    if edge is None or not edge.reprices:
        return ""
    one = one_of(terms.priced_unit) or "unit"
    return f"The next {one} then changes the line by {price_amount(edge.amount, terms.currency)}"


def _units_words(units: Fraction, terms: PriceTerms, *, more: bool = False) -> str:
    """So many units, to a hundredth: as they are metered where the price is for a pack of them, such as 100k units."""
    unit = terms.priced_unit
    if terms.conversion and not is_multiple(terms.unit, unit):
        units, unit = units * Fraction(terms.conversion.units_per), terms.unit
    hundredths = units * 10**_DIGITS
    if hundredths.denominator == 1:
        number = number_words(units)
    else:
        number = f"about {grouped_text(decimal_of(round_half_away(hundredths), _DIGITS))}"
    unit = one_of(unit) if units == 1 else unit
    return f"{number} more {unit}".rstrip() if more else f"{number} {unit}".rstrip()


def _tier_words(terms: PriceTerms, edge: Edge) -> str:
    charge = terms.charge
    if edge.tier is None or not isinstance(charge, Graduated | GraduatedPercentage | Volume | Stairstep):
        return price_amount(edge.amount, terms.currency)
    return tier_price_words(
        charge.tiers[edge.tier - 1],
        terms,
        is_percent=isinstance(charge, GraduatedPercentage),
        is_step=isinstance(charge, Stairstep),
    )
