"""The difference of two bills in plain words: what each cause is called, the answer, and why each part. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from insights.billing.bill import BillHead
from insights.billing.price_words import (
    amount_each,
    cell_words,
    money_words,
    number_words,
    price_amount,
    price_words,
    quantity_words,
    share_words,
)
from insights.rating.terms import PriceTerms
from insights.scenarios.difference import Bar, BillDifference, Part
from insights.scenarios.effects import Effect, Measured
from insights.scenarios.facts import BilledLine
from insights.scenarios.matching import CORRECTED, Match, Side
from insights.values.exact import exact_of
from insights.values.money import Money, sum_money
from insights.values.share import Share

EFFECT_TITLES: Mapping[Effect, str] = {
    Effect.USAGE: "Usage",
    Effect.INCLUDED: "Included usage",
    Effect.TIER_MIX: "Tier mix",
    Effect.PRICE: "Prices",
    Effect.PLAN_CHANGE: "Plan change",
    Effect.ADD_ON: "Add-ons",
    Effect.FEES: "Fees of one bill only",
    Effect.PRORATION: "Parts of a period",
    Effect.DISCOUNTS: "Discounts",
    Effect.MINIMUM: "Minimum",
    Effect.MAXIMUM: "Maximum",
    Effect.CORRECTIONS: "Corrections",
    Effect.CREDITS: "Credits",
    Effect.TAX: "Tax",
    Effect.CARRIED: "Carried over",
    Effect.ROUNDING: "Rounding",
}
EFFECT_MEANINGS: Mapping[Effect, str] = {
    Effect.USAGE: "More or fewer units, each at what a charged unit cost on average before.",
    Effect.INCLUDED: "More or fewer units that are free.",
    Effect.TIER_MIX: "At the same prices, units fall in other tiers, so that one costs more or less on average.",
    Effect.PRICE: "The same units at the new price.",
    Effect.PLAN_CHANGE: "The same units, and the fees, on other plans or in other parts of the period; before "
    "discounts on the whole bill, credits and tax.",
    Effect.ADD_ON: "Add-ons that are new or gone.",
    Effect.FEES: "Fees that are due in only one of the two bills.",
    Effect.PRORATION: "What is charged for a part of the period, and how the period is divided.",
    Effect.DISCOUNTS: "What discounts take off.",
    Effect.MINIMUM: "What lifts lines or the bill to a minimum.",
    Effect.MAXIMUM: "What lowers lines or the bill to a maximum.",
    Effect.CORRECTIONS: "Corrections of earlier bills.",
    Effect.CREDITS: "What credits pay.",
    Effect.TAX: "Tax on all of the above.",
    Effect.CARRIED: "What a bill below zero leaves for the next one.",
    Effect.ROUNDING: "Each line is rounded once, to the last decimal of its currency, and so is each row here.",
}
_IN_A_SENTENCE: Mapping[Effect, str] = {
    Effect.USAGE: "usage",
    Effect.INCLUDED: "included usage",
    Effect.TIER_MIX: "the tiers reached",
    Effect.PRICE: "changed prices",
    Effect.PLAN_CHANGE: "the change of plan",
    Effect.ADD_ON: "add-ons",
    Effect.FEES: "fees of one bill only",
    Effect.PRORATION: "parts of a period",
    Effect.DISCOUNTS: "discounts",
    Effect.MINIMUM: "the minimum",
    Effect.MAXIMUM: "the maximum",
    Effect.CORRECTIONS: "corrections of earlier bills",
    Effect.CREDITS: "credits",
    Effect.TAX: "tax",
    Effect.CARRIED: "what is carried to the next bill",
    Effect.ROUNDING: "rounding",
}
_CAUSES_IN_SENTENCE_MAX = 4
_NAMES_IN_SENTENCE_MAX = 2
_HOUR = 3_600


def difference_sentence(difference: BillDifference, than: str, *, part: Share | None = None) -> str:
    """The answer: 3.20 USD more than October 2026: 4.10 more for usage (Requests), 0.90 less for credits.

    `part` is how much of its period the bill speaks for, if that is not all of it: a part is compared with a whole.
    """
    causes = causes_words(difference)
    answer = change_words(difference, than if part is None else f"all of {than}")
    if part is not None:
        answer = f"So far, after {share_words(part)} of its period, {answer[0].lower()}{answer[1:]}"
    return f"{answer}: {causes}." if causes else f"{answer}."


def counted_part(head: BillHead) -> Share | None:
    """How much of its period the usage of a bill is complete for; None where no source has said that yet."""
    end = head.complete_to and min(max(head.complete_to, head.period.start), head.period.end)
    if end is None:
        return None
    return Share(int((end - head.period.start).total_seconds()), int(head.period.duration.total_seconds()))


def open_part(head: BillHead) -> Share | None:
    """The same of a bill that is not all of its period yet, in whole hours; None of any other."""
    part = None if head.is_issued else counted_part(head)
    if part is None or part.is_whole:
        return None
    return Share(part.seconds - part.seconds % _HOUR, part.of_seconds)


def change_words(difference: BillDifference, than: str) -> str:
    """How much more or less it is, without a full stop."""
    change = difference.change
    if change.minor:
        return f"{money_words(_size(change))} {_more(change)} than {than}"
    return f"As much as {than}{'' if difference.parts else ', and nothing in it differs'}"


def causes_words(difference: BillDifference) -> str:
    """The causes, the largest first, each with what it changed most; empty if there are none."""
    bars = sorted(
        (bar for bar in difference.bars if bar.amount.minor), key=lambda bar: -abs(bar.amount.minor)
    )
    # Where the total did not change, nothing before the first cause has said the currency.
    said = [
        _bar_words(bar, names_currency=not number and not difference.change.minor)
        for number, bar in enumerate(bars[:_CAUSES_IN_SENTENCE_MAX])
    ]
    smaller = bars[_CAUSES_IN_SENTENCE_MAX:]
    if smaller:
        together = sum_money((bar.amount for bar in smaller), difference.change.currency)
        is_one = len(smaller) == 1
        count = f"{len(smaller)} smaller cause{'' if is_one else 's'}"
        said.append(f"{count} come{'s' if is_one else ''} to {_change_words(together)}")
    return ", ".join(said)


def _bar_words(bar: Bar, *, names_currency: bool) -> str:
    size = money_words(_size(bar.amount)) if names_currency else f"{abs(bar.amount.amount):,f}"
    words = f"{size} {_more(bar.amount)} for {_IN_A_SENTENCE[bar.effect]}"
    changed = [part for part in bar.parts if part.amount.minor and part.match.is_priced]
    names = list(dict.fromkeys(part.match.name for part in changed))
    if not names or bar.effect is Effect.ROUNDING:
        return words
    left = len(names) - _NAMES_IN_SENTENCE_MAX
    shown = ", ".join(names[:_NAMES_IN_SENTENCE_MAX])
    return f"{words} ({shown}{f' and {left} more' if left > 0 else ''})"


def _change_words(change: Money) -> str:
    return f"{abs(change.amount):,f} {_more(change)}"


def _more(change: Money) -> str:
    return "less" if change.minor < 0 else "more"


def _size(money: Money) -> Money:
    return Money(abs(money.minor), money.currency)


def match_words(match: Match) -> str:
    """What a match is for: its name, and its dimension values where it has some."""
    values = cell_words(dict(match.values))
    name = f"{match.name}, of an earlier bill" if match.place[0] == CORRECTED else match.name
    return f"{name}, {values}" if values else name


def part_words(part: Part, plan_names: Mapping[str, str]) -> str:
    """Why the part is what it is, from the figures of both bills; plans by the names given for their keys."""
    match, measured = part.match, part.measured
    terms = _terms(match)
    if part.stood is not None:
        return _before_and_now(*(_minor_words(minor, part.amount.currency) for minor in part.stood))
    match part.effect:
        case Effect.USAGE if measured and terms:
            return _usage_words(measured, terms)
        case Effect.INCLUDED if measured and terms:
            return _included_words(match, measured, terms)
        case Effect.TIER_MIX if measured and terms:
            return _mix_words(measured, terms)
        case Effect.PRICE:
            return _before_and_now(_prices(match.before), _prices(match.after))
        case Effect.PLAN_CHANGE:
            return _before_and_now(*(_plans(side, plan_names) for side in (match.before, match.after)))
        case Effect.PRORATION | Effect.ADD_ON | Effect.FEES:
            return _before_and_now(_stretches(match.before), _stretches(match.after))
        case Effect.ROUNDING:
            words = _minor_words(part.exact, part.amount.currency)
            return f"{words[0].upper()}{words[1:]} before it was rounded." if words else ""
        case _:
            return ""


def _minor_words(minor: Fraction, currency: str) -> str:
    """An exact number of minor units as an amount; empty for none."""
    return price_amount(minor * Fraction(Money(1, currency).amount), currency) if minor else ""


def _terms(match: Match) -> PriceTerms | None:
    """The old terms, which usage is valued at; the new ones where there are no old ones."""
    for side in (match.before, match.after):
        for one in (*side.charges, side.offer):
            if one is not None and one.terms is not None:
                return one.terms
    return None


def _units(quantity: Fraction, terms: PriceTerms) -> str:
    """A quantity of the meter in the unit of the price."""
    per = exact_of(terms.conversion.units_per) if terms.conversion else 1
    return quantity_words(quantity / per, terms.priced_unit)


def _each(amount: Fraction, terms: PriceTerms) -> str:
    """What one unit of the price costs, for an amount for one of the meter's."""
    return amount_each(amount * (exact_of(terms.conversion.units_per) if terms.conversion else 1), terms)


def _usage_words(measured: Measured, terms: PriceTerms) -> str:
    words = f"{_units(measured.before, terms)} before, {_units(measured.after, terms)} now"
    change = measured.after - measured.before
    if not measured.each or not change:
        return f"{words}."
    more = "more" if change > 0 else "less"
    return f"{words}: {_units(abs(change), terms)} {more} at {_each(measured.each, terms)}."


def _included_words(match: Match, measured: Measured, terms: PriceTerms) -> str:
    used = f"{_units(measured.free_before, terms)} before, {_units(measured.free_after, terms)} now"
    words = f"Free at the old terms: {used}."
    included = [
        {line.terms.included for line in side.charges if line.terms} for side in (match.before, match.after)
    ]
    if all(len(one) == 1 for one in included) and included[0] != included[1]:
        old, new = (number_words(Fraction(one.pop())) for one in included)
        words += f" Included are {old} {terms.priced_unit} before and {new} now."
    return words


def _mix_words(measured: Measured, terms: PriceTerms) -> str:
    if measured.each == measured.average_after:
        return "An amount that is due once for a tier is due now, or no more."
    return (
        f"At the old prices it was {_each(measured.each, terms)} on average before and would be "
        f"{_each(measured.average_after, terms)} now."
    )


def _before_and_now(before: str, after: str) -> str:
    if not before and not after:
        return ""
    if before == after:
        return f"{before[:1].upper()}{before[1:]} in both."
    return f"Before: {before or 'nothing'}. Now: {after or 'nothing'}."


def _prices(side: Side) -> str:
    terms = dict.fromkeys(line.terms for line in side.charges if line.terms)
    if not terms and side.offer:
        terms = {side.offer.terms: None}
    return "; ".join(price_words(one) for one in terms)


def _plans(side: Side, plan_names: Mapping[str, str]) -> str:
    """The plans in the order of time, and for how much of the period where a line is for a part of one."""
    return ", then ".join(dict.fromkeys(_stretch(line, plan_names) for line in side.due))


def _stretch(line: BilledLine, plan_names: Mapping[str, str]) -> str:
    part = "" if line.segment.share.is_whole else f" for {share_words(line.segment.share)}"
    back = ", given back" if line.is_given_back else ""
    return f"{plan_names.get(line.plan_key, line.plan_key)}{part}{back}"


def _stretches(side: Side) -> str:
    return ", ".join(dict.fromkeys(_part_of_period(line) for line in side.due))


def _part_of_period(line: BilledLine) -> str:
    part = "the whole period" if line.segment.share.is_whole else share_words(line.segment.share)
    return f"{part}, given back" if line.is_given_back else part
