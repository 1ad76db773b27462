"""A bill whose end is looked for, and the days that this follows from. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta, tzinfo
from decimal import Decimal

from insights.billing.basis import IssuedBill, MeterOfBill
from insights.scenarios.forecast import Growth
from insights.values.exact import EXACT
from insights.values.period import Period, local_day

_ZERO = Decimal(0)
_INSTANT = timedelta(microseconds=1)
_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterDays:
    """All that is known of a meter by local day, over its versions of one unit, and how its days make a period."""

    growth: Growth
    days: Mapping[date, Decimal]

    @property
    def since(self) -> date | None:
        """The first day with usage."""
        return min(self.days, default=None)

    def between(self, first: date, end: date) -> Decimal:
        """What the days of a stretch come to."""
        days = (first + number * _ONE_DAY for number in range((end - first).days))
        known = [day for day in days if day in self.days]
        match self.growth:
            case Growth.ADDED:
                total = _ZERO
                for day in known:
                    total = EXACT.add(total, self.days[day])
                return total
            case Growth.LARGEST:
                return max((self.days[day] for day in known), default=_ZERO)
            case Growth.LAST:
                return self.days[known[-1]] if known else _ZERO


# By the key of a meter and its unit, which a price is for.
Histories = Mapping[tuple[str, str], MeterDays]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospect:
    """A bill whose end is looked for: its lines with all that they follow from, its meters, and the zone of days.

    Where open days are not known, the bill is looked at as if each day ended with nothing begun.
    """

    bill: IssuedBill
    currency: str
    meters: tuple[MeterOfBill, ...]
    histories: Histories
    zone: tzinfo
    knows_open_days: bool = True

    @property
    def first(self) -> date:
        """The first day of the period."""
        return days_of_period(self.bill.period, self.zone)[0]

    @property
    def end(self) -> date:
        """The day after the last of the period."""
        return days_of_period(self.bill.period, self.zone)[1]


def days_of_period(period: Period, zone: tzinfo) -> tuple[date, date]:
    """The first day of a period and the day after its last."""
    return local_day(period.start, zone), local_day(period.end - _INSTANT, zone) + _ONE_DAY
