"""What an account used so far this month, meter by meter, made of daily sums that were read.

Compares complete days with the same days of the month before, and nothing else: half a day is not a day.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, tzinfo
from decimal import Decimal

from insights.metering.aggregations import MeterFacts, settled, unit_of
from insights.metering.assemble import sum_known
from insights.metering.completeness import Completeness
from insights.metering.explore import change_of
from insights.metering.windows import ONE_DAY, Kind, MonthSoFar, Slot, kind_of
from insights.values.period import local_day, start_of_day


@dataclass(frozen=True, slots=True)
class DaySum:
    """One meter on one day."""

    quantity: Decimal | None
    records: int


@dataclass(frozen=True, slots=True)
class TrendPoint:
    """One day of the last thirty."""

    day: date
    kind: Kind
    quantity: Decimal | None


@dataclass(frozen=True, slots=True)
class Share:
    """What one value of a dimension used this month, or all the smaller ones together."""

    value: str | None
    is_rest: bool
    members: int
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class MeterOverview:
    """One card: so far, against the same complete days before, the whole month before, and the last days."""

    meter: MeterFacts
    unit: str
    so_far: Decimal | None
    comparable: Decimal | None
    same_days_before: Decimal | None
    compared_to: date | None
    previous_whole: Decimal | None
    trend: tuple[TrendPoint, ...]
    share_by: str
    shares: tuple[Share, ...]
    completeness: Completeness

    @property
    def change(self) -> Decimal | None:
        """By which share usage rose or fell against the same days."""
        return change_of(self.comparable, self.same_days_before)


@dataclass(frozen=True, slots=True)
class AccountOverview:
    """The page's whole content."""

    month: MonthSoFar
    meters: tuple[MeterOverview, ...]
    completeness: Completeness


@dataclass(frozen=True, slots=True)
class MonthTotals:
    """Totals of this month so far, its complete days, the same days before, and the month before."""

    so_far: Decimal | None
    comparable: Decimal | None
    same_days: Decimal | None
    previous_whole: Decimal | None


@dataclass(frozen=True, slots=True)
class ComparedDays:
    """The days of this month that are complete, and the same days of the month before; ends are excluded."""

    month: MonthSoFar
    end: date
    previous_end: date

    @property
    def last(self) -> date | None:
        """The last day compared, if any day is complete."""
        return self.end - ONE_DAY if self.end > self.month.first else None

    def periods(self) -> tuple[tuple[date, date], ...]:
        """The four stretches of MonthTotals, in its order."""
        month = self.month
        return (
            (month.first, month.today + ONE_DAY),
            (month.first, self.end),
            (month.previous_first, self.previous_end),
            (month.previous_first, month.first),
        )


def compared_days(month: MonthSoFar, completeness: Completeness, zone: tzinfo) -> ComparedDays:
    """Which days may be compared; in a month shorter than the days passed, all of it is."""
    end = month.first
    if completeness.is_settled:
        end = month.today + ONE_DAY
    elif completeness.complete_to is not None:
        end = min(max(month.first, local_day(completeness.complete_to, zone)), month.today + ONE_DAY)
    same_end = month.previous_first + (end - month.first)
    return ComparedDays(month, end, min(same_end, month.first))


def totals_of_days(days: Mapping[date, DaySum], compared: ComparedDays) -> MonthTotals:
    """Totals of a meter whose days add up."""
    return MonthTotals(*(_sum_between(days, first, end) for first, end in compared.periods()))


def _sum_between(days: Mapping[date, DaySum], first: date, end: date) -> Decimal | None:
    return sum_known(one.quantity for day, one in days.items() if first <= day < end)


def make_card(
    meter: MeterFacts,
    *,
    days: Mapping[date, DaySum],
    totals: MonthTotals,
    compared: ComparedDays,
    shares: Iterable[Share],
    completeness: Completeness,
    first_day: date | None,
    zone: tzinfo,
) -> MeterOverview:
    """Put one meter's card together."""
    aggregation = meter.aggregation
    # A month in which usage only began is no measure of this one.
    is_measure = (
        first_day is not None and first_day <= compared.month.previous_first and compared.last is not None
    )
    return MeterOverview(
        meter=meter,
        unit=unit_of(meter),
        so_far=_shown(aggregation, totals.so_far),
        comparable=_shown(aggregation, totals.comparable),
        same_days_before=_shown(aggregation, totals.same_days) if is_measure else None,
        compared_to=compared.last if is_measure else None,
        previous_whole=_shown(aggregation, totals.previous_whole),
        trend=_trend(meter, days, compared.month, completeness, first_day, zone),
        share_by=meter.dimensions[0] if meter.dimensions else "",
        shares=tuple(shares),
        completeness=completeness,
    )


def _trend(
    meter: MeterFacts,
    days: Mapping[date, DaySum],
    month: MonthSoFar,
    completeness: Completeness,
    first_day: date | None,
    zone: tzinfo,
) -> tuple[TrendPoint, ...]:
    first_used_at = start_of_day(first_day, zone) if first_day else None
    points = []
    for number in range((month.today - month.trend_first).days + 1):
        day = month.trend_first + number * ONE_DAY
        found = days.get(day, DaySum(None, 0))
        slot = Slot(start_of_day(day, zone), start_of_day(day + ONE_DAY, zone), day)
        kind = kind_of(
            slot,
            records=found.records,
            is_zero=not found.quantity,
            is_complete=completeness.covers(slot.start, slot.end),
            first_used_at=first_used_at,
            is_in_daily_total=False,
        )
        points.append(TrendPoint(day, kind, _shown(meter.aggregation, found.quantity)))
    return tuple(points)


def _shown(aggregation: str, raw: Decimal | None) -> Decimal | None:
    return None if raw is None else settled(aggregation, raw)
