"""What a running bill comes to at its period's end, with a band. Pure; how often it held is `band_history.py`.

Quantities are looked ahead by `scenarios/forecast.py` and rated as a draft by the function that rates a stored bill
again, with its own fees, corrections, credits and taxes: with the quantities that it has, it comes to what it says.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from insights.billing.basis import Basis
from insights.billing.billed_quantities import billed_quantities
from insights.billing.corrections import rate_again
from insights.billing.forecast_quantities import Metered, MeterForecast, TooNew, as_of_day, look_ahead_all
from insights.billing.prospect import Prospect
from insights.values.money import Money

# Enough to see the bend of tiers; each is the whole bill rated once.
_POINTS_MAX = 8
_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningPoint:
    """What the bill had come to by the end of a day."""

    day: date
    amount: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class BillForecast:
    """What a bill comes to at its period's end. `until` is the first day that is not complete, `end` the day after.

    `too_new` names meters that began too recently; then there is no forecast. Of `tested` closed periods `inside` ended
    inside the band that the method gave at the same point.
    """

    until: date
    end: date
    so_far: Money
    low: Money
    expected: Money
    high: Money
    meters: tuple[MeterForecast, ...] = ()
    running: tuple[RunningPoint, ...] = ()
    too_new: tuple[str, ...] = ()
    inside: int = 0
    tested: int = 0

    @property
    def last_day(self) -> date:
        """The last day of the period."""
        return self.end - _ONE_DAY

    @property
    def is_known(self) -> bool:
        """Whether there is enough history to say anything."""
        return not self.too_new


def forecast_bill(prospect: Prospect, *, until: date) -> BillForecast:
    """The forecast of a running bill whose days before `until` are complete."""
    used = billed_quantities(prospect.bill, prospect.meters)
    so_far = Money(max(sum(stored.line.minor for stored in prospect.bill.lines), 0), prospect.currency)
    try:
        low, expected, high, meters = look_ahead_all(prospect, used, until)
    except TooNew as error:
        return BillForecast(
            until=until, end=prospect.end, so_far=so_far, low=so_far, expected=so_far, high=so_far,
            too_new=error.names,
        )  # fmt: skip
    totals = [total_of(prospect, metered) for metered in (low, expected, high)]
    return BillForecast(
        until=until,
        end=prospect.end,
        so_far=so_far,
        low=min(totals, key=_minor),
        expected=totals[1],
        high=max(totals, key=_minor),
        meters=meters,
    )


def _minor(money: Money) -> int:
    return money.minor


# --- Amounts -----------------------------------------------------------------------------------------
def total_of(prospect: Prospect, metered: Metered) -> Money:
    """What the bill comes to with these quantities; what is below zero is carried, so that it comes to nothing."""
    bill = prospect.bill
    basis = Basis(
        account_id=0,
        subscription_id=0,
        zone="UTC",
        currency=prospect.currency,
        whole=bill.whole,
        service=bill.period,
        segments=bill.segments,
        taxes=bill.taxes,
        credits=bill.credits,
    )
    lines = rate_again(basis, bill, prospect.meters, metered).lines
    return Money(max(sum(line.minor for line in lines), 0), prospect.currency)


def running_amounts(prospect: Prospect, *, until: date) -> tuple[RunningPoint, ...]:
    """What the bill had come to by the end of up to eight complete days, by the days as they are known now."""
    used = billed_quantities(prospect.bill, prospect.meters)
    count = (until - prospect.first).days
    step = max(-(-count // _POINTS_MAX), 1)
    days = [until - number * _ONE_DAY for number in range(1, count + 1, step)][::-1]
    return tuple(
        RunningPoint(day=day, amount=total_of(prospect, as_of_day(prospect, used, day + _ONE_DAY)))
        for day in days
    )
