"""How often the band of a forecast held: the method tried at the same point of periods that are closed. Pure.

By the days as they are known now, at each bill's own prices, fees, credits and taxes. What of a meter goes to which
dimension value is taken from the bill as it was issued.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

from insights.billing.basis import IssuedBill
from insights.billing.billed_quantities import billed_quantities
from insights.billing.forecast import total_of
from insights.billing.forecast_quantities import TooNew, as_of_day, look_ahead_all
from insights.billing.prospect import Prospect
from insights.rating.charges import Volume
from insights.scenarios.forecast import BandTest

_ONE_DAY = timedelta(days=1)


def band_test(prospect: Prospect, *, point: int) -> BandTest | None:
    """The band so many days after the beginning of a closed period, and how that ended; None if it was too new then.

    The prospect is of the closed bill. The method sees what came before that day alone.
    """
    prospect = replace(prospect, knows_open_days=False)
    until = day_of_point(prospect.first, prospect.end, point)
    shares = billed_quantities(prospect.bill, prospect.meters)
    try:
        low, expected, high, _ = look_ahead_all(prospect, as_of_day(prospect, shares, until), until)
    except TooNew:
        return None
    ended = as_of_day(prospect, shares, prospect.end)
    to_rate = (low, expected, high) if _may_fall(prospect.bill) else (low, high)
    amounts = [total_of(prospect, metered).minor for metered in to_rate]
    return BandTest(low=min(amounts), high=max(amounts), ended=total_of(prospect, ended).minor)


def day_of_point(first: date, end: date, point: int) -> date:
    """The day so many days after a period's first, or its last one; `end` is the day after that."""
    return min(first + point * _ONE_DAY, end - _ONE_DAY)


def _may_fall(bill: IssuedBill) -> bool:
    """Whether more usage may cost less, so that what is expected may be outside of what the edges come to."""
    prices = (price for segment in bill.segments for price in segment.sheet.prices)
    return any(isinstance(terms.charge, Volume) for price in prices for _, terms in price.every_terms())
