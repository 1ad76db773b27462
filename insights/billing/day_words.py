"""Why a day with usage costs nothing or less, and why a bill so far falls or stays: in plain words, by its terms. Pure.

A day's amount is what the line had come to by its end less by its beginning, so whatever takes back or was due already
shows on days. Only what the terms can do is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import pairwise

from insights.billing.bill import BillLine
from insights.billing.price_words import exact_words, money_words, price_amount
from insights.rating.charges import Package, Packages, Stairstep, Tiered, Volume
from insights.rating.invoice import LineKind
from insights.rating.terms import PriceTerms
from insights.values.money import Money

_VOLUME = (
    "everything is charged at the price of the tier that it reaches, so a day that reaches a cheaper one lowers the "
    "days before it too"
)
_CHEAPER_TIER = "usage that came late on an earlier day has moved it into a cheaper tier"
_ROUNDED_TWICE = "what was billed and what it comes to now were rounded to different sides"
_OF_A_BILL = {
    LineKind.DISCOUNT: "a discount is taken off all of it",
    LineKind.MAXIMUM: "the bill is at its maximum",
    LineKind.CORRECTION: "an earlier bill is corrected",
}
_NAMES_MAX = 2


def quiet_days_words(
    terms: PriceTerms | None,
    days: Iterable[tuple[Decimal | None, Money | None]],
    *,
    is_correction: bool = False,
) -> str:
    """Why days with usage cost nothing or take back, given each day's quantity and amount; empty where none does."""
    amounts = [amount for quantity, amount in days if quantity and amount is not None and amount.minor <= 0]
    if terms is None or not amounts:
        return ""
    takes_back, is_nothing = any(one.minor < 0 for one in amounts), any(not one.minor for one in amounts)
    what = " or ".join(
        words for words, holds in (("costs nothing", is_nothing), ("takes back", takes_back)) if holds
    )
    found = _reasons(terms, is_nothing=is_nothing)
    if is_correction and takes_back:
        found += [_CHEAPER_TIER, _ROUNDED_TWICE] if isinstance(terms.charge, Tiered) else [_ROUNDED_TWICE]
    reasons = "; or ".join(found)
    return f"Why a day with usage {what}: {reasons}."


def _reasons(terms: PriceTerms, *, is_nothing: bool) -> list[str]:
    """What the terms can do; rounding makes nothing of little, and takes nothing back."""
    if terms.exempt_reason:
        return [f"it is free: {terms.exempt_reason.rstrip('.')}"]
    charge, currency = terms.charge, terms.currency
    found = []
    if isinstance(charge, Volume):
        found.append(_VOLUME)
    if isinstance(charge, Stairstep):
        found.append("one amount is due for the tier reached, and the day stays in it")
    if isinstance(charge, Package) and charge.counting is Packages.WHOLE:
        found.append("the package that it is in was charged whole when it was begun")
    if terms.included and is_nothing:
        found.append(f"{exact_words(terms.included)} {terms.priced_unit} are included and last so far")
    if terms.minimum:
        amount = price_amount(terms.minimum.amount, currency)
        found.append(f"the minimum of {amount} is due from the first day, until usage comes to more")
    if terms.maximum:
        found.append(f"the line is at its maximum of {price_amount(terms.maximum.amount, currency)}")
    if any(discount.amount for discount in terms.discounts):
        found.append("a discount takes the first amounts")
    if is_nothing:
        found.append(
            f"it comes to less than half of {money_words(Money(1, currency))}, which a later day then brings"
        )
    return found


def day_rounding_words(currency: str) -> str:
    """How rounding shows on days."""
    return (
        f"The line is rounded once and a day is what the rounded line rose by, so a day may be "
        f"{money_words(Money(1, currency))} more or less than its own usage comes to; together they are the line."
    )


def running_words(amounts: Sequence[Money], lines: Sequence[BillLine], minimum: str = "") -> str:
    """Why what a bill had come to falls or stays from one point to the next; empty where it only rises.

    `minimum` is the least that the plan lets a period come to, in words, whether or not it still adds anything.
    """
    falls = any(later.minor < earlier.minor for earlier, later in pairwise(amounts))
    stays = any(later.minor == earlier.minor for earlier, later in pairwise(amounts))
    if not falls and not stays:
        return ""
    reasons = [*_of_all_lines(lines, minimum), *_of_single_lines(lines)]
    what = "falls or stays level" if falls and stays else "falls" if falls else "stays level"
    if not reasons:
        return f"It {what} where a later day takes back usage, or adds none that is charged."
    return f"It {what} where {'; or where '.join(reasons)}."


def _of_all_lines(lines: Sequence[BillLine], minimum: str) -> Iterable[str]:
    """What holds for the bill as a whole."""
    kinds = {line.kind for line in lines}
    has_minimum = minimum or LineKind.MINIMUM in kinds
    least = f"the minimum of {minimum}" if minimum else "the minimum of the bill"
    if has_minimum and LineKind.CREDIT in kinds:
        yield f"a credit pays for usage, which takes the place of what {least} had added and a credit does not pay for"
    elif has_minimum:
        yield f"{least} is due until the lines come to more"
    elif LineKind.CREDIT in kinds:
        yield "a credit pays what is added until it is used up"
    for kind, words in _OF_A_BILL.items():
        if kind in kinds:
            yield words


def _of_single_lines(lines: Sequence[BillLine]) -> Iterable[str]:
    """What a price does by itself, with the names of the lines that it is of."""
    priced = [(line.name, line.terms) for line in lines if line.terms and line.meter_key]
    cheaper = [
        line.name
        for line in lines
        if line.terms
        and isinstance(line.terms.charge, Volume)
        and any((step.tier or 1) > 1 for step in line.steps)
    ]
    if cheaper:
        yield f"all of {_names(cheaper)} gets the price of a cheaper tier"
    for words, names in (
        ("the minimum of {} is due until usage comes to more", [name for name, one in priced if one.minimum]),
        ("{} is at a maximum", [name for name, one in priced if one.maximum]),
        ("included usage of {} lasts", [name for name, one in priced if one.included]),
    ):
        if names:
            yield words.format(_names(names))


def _names(names: Sequence[str]) -> str:
    """Each name once, at most two of them."""
    shown = list(dict.fromkeys(names))
    left = len(shown) - _NAMES_MAX
    return f"{', '.join(shown[:_NAMES_MAX])}{f' and {left} more' if left > 0 else ''}"
