"""What the next unit costs in plain words: its price, how many until that changes, and what then happens. Pure."""

from __future__ import annotations

from fractions import Fraction

from insights.billing.price_words import one_of, price_amount, quantity_words, tier_price_words
from insights.rating.charges import Graduated, GraduatedPercentage, Package, Stairstep, Volume
from insights.rating.next_unit import Edge, EdgeKind, NextUnit
from insights.rating.terms import PriceTerms
from insights.values.step import StepKind


def next_price_words(terms: PriceTerms, found: NextUnit) -> str:
    """The price of the next unit: 0.10 USD for the next GB."""
    if terms.exempt_reason:
        return f"Free: {terms.exempt_reason}"
    words = f"{price_amount(found.amount, terms.currency)} for the next {one_of(terms.priced_unit) or 'unit'}"
    if found.held_by is StepKind.MINIMUM and terms.minimum:
        return f"{words}, up to the minimum of {price_amount(terms.minimum.amount, terms.currency)}"
    if found.held_by is StepKind.MAXIMUM and terms.maximum:
        return f"{words}, at the maximum of {price_amount(terms.maximum.amount, terms.currency)}"
    return words


def countdown_words(terms: PriceTerms, found: NextUnit) -> str:
    """How many more units until the price changes, and to what; empty where it stays."""
    edge = found.edge
    if edge is None:
        return ""
    left = quantity_words(edge.left, terms.priced_unit)
    behind = price_amount(edge.amount, terms.currency)
    one = one_of(terms.priced_unit) or "unit"
    if edge.kind is EdgeKind.INCLUDED:
        return f"{left} of included usage left, then {behind} for the next {one}"
    if edge.kind is EdgeKind.PACKAGE:
        charge = terms.charge
        begins = isinstance(charge, Package) and edge.left == Fraction(charge.size)
        inside = "in the package that it begins" if begins else "left in the package that is begun"
        return f"{left} {inside}, then {behind} for another"
    return f"{left} more until {_tier_words(terms, edge)}"


def reprice_words(terms: PriceTerms, found: NextUnit) -> str:
    """A warning where going over the edge changes the price of everything; empty where it does not."""
    edge = found.edge
    if edge is None or not edge.reprices:
        return ""
    return (
        f"Going over it prices all {quantity_words(edge.reprices, terms.priced_unit)} anew: the next"
        f" {one_of(terms.priced_unit) or 'unit'} then changes the line by {price_amount(edge.amount, terms.currency)}"
    )


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
