"""What each cause changed in one match, exactly: from the old lines to the new ones in one fixed order of inputs.

The order, top to bottom in `split_change`: usage at the old prices, included usage, price or plan, then the parts of
the period. Every step is rated by the engine that bills and begins where the one before ended, so the steps add to the
whole change whatever they come to. The rule with an example is in docs/bill-difference.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fractions import Fraction

from insights.rating.charges import Flat, Package, Percentage, PerUnit, Tiered
from insights.rating.invoice import LineKind
from insights.rating.rate import Usage
from insights.rating.terms import PriceTerms
from insights.scenarios.facts import BilledLine, BillFacts
from insights.scenarios.figures import Figures, figures_of, sum_figures
from insights.scenarios.matching import METER, Match, Side
from insights.scenarios.rerate import (
    Charged,
    as_billed,
    charged_nothing,
    charged_of,
    rate_again,
    spread,
    total_usage,
)
from insights.values.exact import PER_CENT, exact_of, round_half_away
from insights.values.money import minor_of

_NOTHING = Fraction(0)


class Effect(StrEnum):
    """Why a bill changed, in the order in which it is told."""

    USAGE = "usage"
    INCLUDED = "included"
    TIER_MIX = "tier_mix"
    PRICE = "price"
    PLAN_CHANGE = "plan_change"
    ADD_ON = "add_on"
    FEES = "fees"
    PRORATION = "proration"
    DISCOUNTS = "discounts"
    MINIMUM = "minimum"
    MAXIMUM = "maximum"
    CORRECTIONS = "corrections"
    CREDITS = "credits"
    TAX = "tax"
    CARRIED = "carried"
    ROUNDING = "rounding"


_WHOLE_EFFECTS: Mapping[LineKind, Effect] = {
    LineKind.CORRECTION: Effect.CORRECTIONS,
    LineKind.DISCOUNT: Effect.DISCOUNTS,
    LineKind.MINIMUM: Effect.MINIMUM,
    LineKind.MAXIMUM: Effect.MAXIMUM,
    LineKind.CREDIT: Effect.CREDITS,
    LineKind.TAX: Effect.TAX,
    LineKind.CARRIED: Effect.CARRIED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The quantities behind a match, in the meter's unit or as a fee's count.

    `free_before` and `free_after` were included or exempt, both at the old terms. `each` is what a unit of the change
    is charged at, in major units, and `average_after` what a charged unit would have cost at the old prices.
    """

    before: Fraction
    after: Fraction
    free_before: Fraction
    free_after: Fraction
    each: Fraction
    average_after: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The causes of one match's change in exact minor units, none of them zero, and the quantities behind them.

    `stood` are the amounts on both bills, in exact minor units, of causes that are nothing but their difference.
    """

    parts: Mapping[Effect, Fraction]
    measured: Measured | None = None
    stood: Mapping[Effect, tuple[Fraction, Fraction]] = field(default_factory=dict)


def explain_match(match: Match, before: BillFacts, after: BillFacts) -> Change:
    """The causes of the change, which add to the difference of the lines exactly.

    A change of plan takes the rounding of the lines it leads to, less that of the one line which they stand for: so it
    is the very figure of the bill's own ruler, where the bill before was on one plan throughout.
    """
    if not match.is_priced:
        [kind] = {line.kind for line in (*match.before.lines, *match.after.lines)}
        whole = (Fraction(match.before.minor), Fraction(match.after.minor))
        return _change({}, {_WHOLE_EFFECTS[kind]: whole})
    sides = (match.before, match.after)
    old, new = (_stored(side.due) for side in sides)
    causes, measured = split_change(match, before, after, stored=(old, new))
    parts = {effect: minor_of(amount, before.currency) for effect, amount in causes.items()}
    billed = _minor(match.after.due) - _minor(match.before.due)
    rounded = billed - minor_of(new.amount - old.amount, before.currency)
    if Effect.PLAN_CHANGE in parts and len(match.before.due) <= 1 and match.after.due:
        reached = minor_of(new.charge, before.currency) - parts[Effect.PLAN_CHANGE]
        own = _minor(match.after.due) - minor_of(new.amount, before.currency) - _rounding_of(reached)
        parts[Effect.PLAN_CHANGE] += own
        rounded -= own
    parts[Effect.ROUNDING] = rounded
    stood = {
        effect: (minor_of(one, before.currency), minor_of(other, before.currency))
        for effect, one, other in (
            (Effect.DISCOUNTS, old.discount, new.discount),
            (Effect.MINIMUM, old.minimum, new.minimum),
            (Effect.MAXIMUM, old.maximum, new.maximum),
        )
    }
    corrected = [Fraction(side.minor - _minor(side.due)) for side in sides]
    stood[Effect.CORRECTIONS] = (corrected[0], corrected[1])
    return _change(parts, stood, measured)


def _change(
    causes: Mapping[Effect, Fraction],
    stood: Mapping[Effect, tuple[Fraction, Fraction]],
    measured: Measured | None = None,
) -> Change:
    parts = {**causes, **{effect: after - before for effect, (before, after) in stood.items()}}
    return Change(
        parts={effect: part for effect, part in parts.items() if part}, measured=measured, stood=stood
    )


def _minor(lines: Sequence[BilledLine]) -> int:
    return sum(line.minor for line in lines)


def _rounding_of(minor: Fraction) -> Fraction:
    """What rounding would take if it were the amount of a line."""
    return round_half_away(minor) - minor


def _stored(lines: Sequence[BilledLine]) -> Figures:
    return sum_figures(figures_of(line.steps, line.terms) for line in lines)


def split_change(
    match: Match, before: BillFacts, after: BillFacts, *, stored: tuple[Figures, Figures]
) -> tuple[dict[Effect, Fraction], Measured | None]:
    """The change of the charges before discounts and bounds, in major units, by what caused it.

    `stored` is what the lines of both sides come to as they are stored.
    """
    if not match.before.due and not match.after.due:
        return {}, None
    whole = stored[1].charge - stored[0].charge
    old, new = _charged(match.before), _charged(match.after)
    if not old or not new:
        return {_one_sided(match, before, after): whole}, None
    usages = _usages(match, old, new)
    start, used = as_billed(old), rate_again(old, usages, terms=None)
    causes, measured = _usage_causes(old, start, used)
    reached = used.charge
    if terms := _one_price(match, old, new):
        # Most prices are the same on both bills, and nothing has to be rated anew.
        is_same = all(line.terms == terms for line in old)
        included = used if is_same else rate_again(old, usages, terms=_with_included(old[0].terms, terms))
        priced = used if is_same else rate_again(old, usages, terms=terms)
        causes[Effect.INCLUDED] += included.charge - reached
        causes[Effect.PRICE] = priced.charge - included.charge
        reached = priced.charge
    causes[_last_cause(match, is_one_price=terms is not None)] = whole - (reached - start.charge)
    return causes, measured


def _charged(side: Side) -> list[Charged]:
    """What the side was rated of; where nothing was charged at a price it has, that price and nothing."""
    found = [charged for line in side.charges if (charged := charged_of(line)) is not None]
    is_due_anyway = side.offer is not None and side.offer.meter_key
    return found or ([charged_nothing(side.offer)] if side.offer and is_due_anyway else [])


def _usages(match: Match, old: Sequence[Charged], new: Sequence[Charged]) -> list[Usage]:
    """The new usage in the old segments; counts of a fee rise or fall by as much as the last one did."""
    if match.place[0] != METER:
        more = new[-1].usage - old[-1].usage
        return [(line.usage + more).or_nothing() for line in old]
    total = total_usage(new)
    if not any(_counts_another(line.terms) for line in new):
        # Nothing tells how often the other meter counts now, so its part stays as it was.
        total = replace(total, count=total_usage(old).count)
    return spread(old, total)


def _counts_another(terms: PriceTerms) -> bool:
    return isinstance(terms.charge, Percentage) and bool(terms.charge.count_meter)


def _usage_causes(
    old: Sequence[Charged], start: Figures, used: Figures
) -> tuple[dict[Effect, Fraction], Measured]:
    """Old prices throughout: units at the old price of a charged unit, what of them is free, and other tiers."""
    each = _price_each(old, start, used)
    change = used - start
    included = -change.free * each
    usage = change.quantity * each + change.counted
    if not any(isinstance(line.terms.charge, Tiered) for line in old):
        # Without tiers there is nothing that units could be mixed of; whole packages come in steps by usage alone.
        usage = change.charge - included
    measured = Measured(
        before=start.quantity,
        after=used.quantity,
        free_before=start.free,
        free_after=used.free,
        each=each,
        average_after=_average(used),
    )
    mix = change.charge - usage - included
    return {Effect.USAGE: usage, Effect.INCLUDED: included, Effect.TIER_MIX: mix}, measured


def _price_each(old: Sequence[Charged], start: Figures, used: Figures) -> Fraction:
    """What a charged unit cost on average, in the meter's unit; by the list where one package is the price."""
    if len(old) == 1 and isinstance(old[0].terms.charge, Package | PerUnit | Percentage):
        return _list_price(old[0])
    return _average(start) if start.billed else _average(used)


def _list_price(line: Charged) -> Fraction:
    terms, charge = line.terms, line.terms.charge
    if terms.exempt_reason:
        return _NOTHING
    match charge:
        case Package():
            each = exact_of(charge.amount) / exact_of(charge.size)
        case PerUnit():
            each = exact_of(charge.unit_amount)
        case Percentage():
            each = exact_of(charge.percent) * PER_CENT
        case _:
            return _NOTHING
    part = line.segment.share.fraction if terms.is_prorated else Fraction(1)
    return each * part / (exact_of(terms.conversion.units_per) if terms.conversion else 1)


def _average(figures: Figures) -> Fraction:
    return figures.by_unit / figures.billed if figures.billed else _NOTHING


def _one_price(match: Match, old: Sequence[Charged], new: Sequence[Charged]) -> PriceTerms | None:
    """The new terms, if both bills have one plan and one price each for this; then its parts can be told apart."""
    if len(_plans(match.before) | _plans(match.after)) > 1:
        return None
    terms = {line.terms for line in new}
    is_one = len(terms) == 1 and len({line.terms for line in old}) == 1
    return terms.pop() if is_one else None


def _plans(side: Side) -> set[str]:
    plans = {line.plan_key for line in side.due}
    return plans or ({side.offer.plan_key} if side.offer else set())


def _with_included(old: PriceTerms, new: PriceTerms) -> PriceTerms:
    """The old terms with the new included usage, where both are in one unit; else the old terms as they are."""
    same_unit = old.conversion == new.conversion and not isinstance(old.charge, Flat)
    return replace(old, included=new.included) if same_unit and not new.exempt_reason else old


def _last_cause(match: Match, *, is_one_price: bool) -> Effect:
    """What is left when usage and prices are as in the new bill: how the period is divided, and among which plans."""
    if match.is_add_on and len(match.before.charges) != len(match.after.charges):
        return Effect.ADD_ON
    if is_one_price:
        return Effect.PRORATION
    plans = _plans(match.before) | _plans(match.after)
    return Effect.PLAN_CHANGE if len(plans) > 1 else Effect.PRICE


def _one_sided(match: Match, before: BillFacts, after: BillFacts) -> Effect:
    """Why only one of the bills has such a line, or a price for it."""
    if match.is_add_on:
        return Effect.ADD_ON
    if before.plans != after.plans or len(after.plans) > 1:
        return Effect.PLAN_CHANGE
    if match.place[0] == METER:
        return Effect.PRICE
    return Effect.FEES if match.before.offer and match.after.offer else Effect.PRICE
