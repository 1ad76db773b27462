"""Reads an account's overview: one statement for each kind of aggregation in use, not for each meter."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from accounts.models import Account
from accounts.tenancy import connection
from insights.metering import overview_sql
from insights.metering.aggregations import MeterFacts, adds_over_time, adds_up, settled
from insights.metering.completeness import Completeness, completeness_of
from insights.metering.meter_queries import list_marks, list_meters
from insights.metering.overview import (
    AccountOverview,
    ComparedDays,
    DaySum,
    MonthTotals,
    Share,
    compared_days,
    make_card,
    totals_of_days,
)
from insights.metering.queries import explore
from insights.metering.usage_filter import UsageFilter
from insights.metering.windows import ONE_DAY, MonthSoFar, month_so_far
from insights.values.period import start_of_day

Days = Mapping[date, DaySum]


@dataclass(frozen=True, slots=True)
class _Feeding:
    """Where a meter's usage comes from, and since when."""

    source_ids: tuple[int, ...]
    is_distinct: bool
    first_day: date | None


def get_account_overview(account: Account, now: datetime) -> AccountOverview:
    """Answer how much was used so far this month, meter by meter."""
    zone = ZoneInfo(account.billing_zone)
    month = month_so_far(now, zone)
    marks = list_marks(account)
    feeding = _feeding(account)
    meters = tuple(meter for meter in list_meters(account) if meter.id in feeding)
    first, previous_first = (start_of_day(day, zone) for day in (month.first, month.previous_first))

    def completeness_since(meters: Iterable[MeterFacts], since: datetime) -> Completeness:
        source_ids = {source_id for meter in meters for source_id in feeding[meter.id].source_ids}
        return completeness_of(marks, source_ids=source_ids, now=now, since=since)

    # Both months must be complete where they are compared, but a badge is about this one.
    compared = {
        meter.id: compared_days(month, completeness_since([meter], previous_first), zone) for meter in meters
    }
    days = _days(account, meters, feeding, month, now)
    totals = _totals(account, meters, days, compared)
    shares = _shares(account, [meter for meter in meters if feeding[meter.id].is_distinct], month)
    cards = tuple(
        make_card(
            meter,
            days=days[meter.id],
            totals=totals[meter.id],
            compared=compared[meter.id],
            shares=shares[meter.id],
            completeness=completeness_since([meter], first),
            first_day=feeding[meter.id].first_day,
            zone=zone,
        )
        for meter in meters
    )
    return AccountOverview(month, cards, completeness_since(meters, first))


def _feeding(account: Account) -> dict[int, _Feeding]:
    rows = _rows(overview_sql.FEEDING, {"account": account.pk})
    return {
        meter_id: _Feeding(tuple(source_ids), is_distinct, first_day)
        for meter_id, source_ids, is_distinct, first_day in rows
    }


def _days(
    account: Account,
    meters: Sequence[MeterFacts],
    feeding: Mapping[int, _Feeding],
    month: MonthSoFar,
    now: datetime,
) -> dict[int, Days]:
    days: dict[int, dict[date, DaySum]] = defaultdict(dict)
    for aggregation, together in _by_aggregation(m for m in meters if feeding[m.id].is_distinct):
        parameters = {
            "account": account.pk,
            "meters": [meter.id for meter in together],
            "first_day": month.read_from,
            "end_day": month.today + ONE_DAY,
        }
        for meter_id, day, quantity, records in _rows(overview_sql.days_of(aggregation), parameters):
            days[meter_id][day] = DaySum(quantity, records)
    for meter in meters:
        if not feeding[meter.id].is_distinct:
            days[meter.id] = _days_of_shared_windows(account, meter, month, now)
    return {meter.id: days[meter.id] for meter in meters}


def _days_of_shared_windows(
    account: Account, meter: MeterFacts, month: MonthSoFar, now: datetime
) -> dict[date, DaySum]:
    """Days of a meter whose windows several series report: only the records tell them apart."""
    question = UsageFilter(
        meter, "", month.read_from, month.today, "day", "", (), compares=False, clock="billing"
    )
    buckets = explore(account, question, now).buckets
    return {bucket.slot.day: DaySum(bucket.quantity, bucket.records) for bucket in buckets if bucket.records}


def _totals(
    account: Account,
    meters: Sequence[MeterFacts],
    days: Mapping[int, Days],
    compared: Mapping[int, ComparedDays],
) -> dict[int, MonthTotals]:
    totals = {meter.id: totals_of_days(days[meter.id], compared[meter.id]) for meter in meters}
    for meter in meters:
        if not adds_over_time(meter.aggregation):
            totals[meter.id] = _picked_totals(account, meter, compared[meter.id])
    return totals


def _picked_totals(account: Account, meter: MeterFacts, compared: ComparedDays) -> MonthTotals:
    """Totals of a peak or of a latest value, which no sum of days can give."""
    periods = compared.periods()
    parameters = {
        "account": account.pk,
        "meter": meter.id,
        "first_days": [first for first, _ in periods],
        "end_days": [end for _, end in periods],
    }
    found: dict[int, Decimal] = dict(_rows(overview_sql.period_totals(meter.aggregation), parameters))
    return MonthTotals(*(found.get(number + 1) for number in range(len(periods))))


def _shares(
    account: Account, meters: Sequence[MeterFacts], month: MonthSoFar
) -> Mapping[int, tuple[Share, ...]]:
    shares: dict[int, tuple[Share, ...]] = defaultdict(tuple)
    splittable = (meter for meter in meters if meter.dimensions and adds_up(meter, meter.dimensions[0]))
    for aggregation, together in _by_aggregation(splittable):
        parameters = {
            "account": account.pk,
            "meters": [meter.id for meter in together],
            "keys": sorted({meter.dimensions[0] for meter in together}),
            "first_day": month.first,
            "end_day": month.today + ONE_DAY,
        }
        for meter_id, value, is_rest, quantity, members in _rows(
            overview_sql.shares_of(aggregation), parameters
        ):
            shares[meter_id] += (Share(value, is_rest, members, settled(aggregation, quantity)),)
    return shares


def _by_aggregation(meters: Iterable[MeterFacts]) -> list[tuple[str, list[MeterFacts]]]:
    grouped: dict[str, list[MeterFacts]] = defaultdict(list)
    for meter in meters:
        grouped[meter.aggregation].append(meter)
    return sorted(grouped.items())


def _rows(statement: str, parameters: dict[str, Any]) -> list[Any]:
    with connection().cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()
