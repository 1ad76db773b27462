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
from insights.rating.charges import Package, Packages, Stairstep, Volume
from insights.rating.invoice import LineKind
from insights.rating.terms import PriceTerms
from insights.values.money import Money

_VOLUME = (
    "everything is charged at the price of the tier that it reaches, so a day that reaches a cheaper one lowers the "
    "days before it too"
)
_OF_A_BILL = {
    LineKind.DISCOUNT: "a discount is taken off all of it",
    LineKind.MINIMUM: "the minimum of the bill is due until the lines come to more",
    LineKind.MAXIMUM: "the bill is at its maximum",
    LineKind.CREDIT: "a credit pays what is added until it is used up",
    LineKind.CORRECTION: "an earlier bill is corrected",
}


def quiet_days_words(terms: PriceTerms | None, days: Iterable[tuple[Decimal | None, Money | None]]) -> str:
    """Why days with usage cost nothing or take back, given each day's quantity and amount; empty where none does."""
    amounts = [amount for quantity, amount in days if quantity and amount is not None and amount.minor <= 0]
    if terms is None or not amounts:
        return ""
    takes_back = any(amount.minor < 0 for amount in amounts)
    what = "costs nothing or less than nothing" if takes_back else "costs nothing"
    reasons = "; or ".join(_reasons(terms))
    return f"Why a day with usage {what}: {reasons}."


def _reasons(terms: PriceTerms) -> list[str]:
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
    if terms.included:
        found.append(f"{exact_words(terms.included)} {terms.priced_unit} are included and last so far")
    if terms.minimum:
        amount = price_amount(terms.minimum.amount, currency)
        found.append(f"the minimum of {amount} is due from the first day, until usage comes to more")
    if terms.maximum:
        found.append(f"the line is at its maximum of {price_amount(terms.maximum.amount, currency)}")
    if any(discount.amount for discount in terms.discounts):
        found.append("a discount takes the first amounts")
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


def running_words(amounts: Sequence[Money], lines: Iterable[BillLine]) -> str:
    """Why what a bill had come to falls or stays from one point to the next; empty where it only rises."""
    falls = any(later.minor < earlier.minor for earlier, later in pairwise(amounts))
    stays = any(later.minor == earlier.minor for earlier, later in pairwise(amounts))
    if not falls and not stays:
        return ""
    reasons = list(dict.fromkeys(_reasons_of_a_bill(lines)))
    what = "falls or stays level" if falls and stays else "falls" if falls else "stays level"
    if not reasons:
        return f"It {what} where a later day takes back usage, or adds none that is charged."
    return f"It {what} where {'; or where '.join(reasons)}."


def _reasons_of_a_bill(lines: Iterable[BillLine]) -> Iterable[str]:
    for line in lines:
        if line.kind in _OF_A_BILL:
            yield _OF_A_BILL[line.kind]
        elif line.terms and line.meter_key:
            if isinstance(line.terms.charge, Volume):
                yield f"a cheaper tier of {line.name} is reached, which is then the price of all of it"
            if line.terms.minimum:
                yield f"the minimum of {line.name} is due until usage comes to more"
            if line.terms.maximum:
                yield f"{line.name} is at its maximum"
            if line.terms.included:
                yield f"included {line.name} lasts"
