"""Reads what the forecast of a running bill follows from: its draft, closed bills of the subscription, and days.

In an account's scope. All days of all meters are one statement; closed bills are read with their lines only where the
band of one of them is not known to this process yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from accounts.models import Account
from insights.billing.band_history import band_test, day_of_point
from insights.billing.band_memory import BandKey, days_mark, keep, recall
from insights.billing.closed_period_queries import (
    ClosedPlace,
    bill_as_made,
    lines_of_invoices,
    list_closed_periods,
    list_closed_places,
)
from insights.billing.forecast import BillForecast, forecast_bill, running_amounts
from insights.billing.left_out_queries import list_left_out
from insights.billing.prospect import Histories, MeterDays, Prospect, days_of_period
from insights.billing.usage_queries import meter_of_bill
from insights.metering.daily_queries import read_daily_quantities
from insights.metering.metered_queries import BilledMeter, list_billed_meters
from insights.models import Invoice, InvoiceKind, InvoiceState
from insights.scenarios.forecast import WEEKS_MAX, BandTest, Growth, count_inside
from insights.values.exact import EXACT
from insights.values.period import local_day

PERIODS_TESTED = 12
_GROWTH = {"max": Growth.LARGEST, "latest": Growth.LAST}
_ONE_DAY = timedelta(days=1)
_BEFORE = WEEKS_MAX * 7 * _ONE_DAY


def get_bill_forecast(account: Account, *, public_id: UUID, now: datetime) -> BillForecast | None:
    """Read the forecast of a draft whose period runs, with what it had come to so far; None for any other bill."""
    reading = _read(account, public_id, now)
    if reading is None:
        return None
    return replace(reading.forecast(), running=running_amounts(reading.prospect, until=reading.until))


def get_outlook(account: Account, *, public_id: UUID, now: datetime) -> BillForecast | None:
    """Read the same without how often the band held and what each day had come to, for a page about something else."""
    reading = _read(account, public_id, now)
    return None if reading is None else forecast_bill(reading.prospect, until=reading.until)


@dataclass(frozen=True, slots=True)
class _Reading:
    """A running draft with all days, and the closed bills of its subscription. Days before `until` are complete."""

    account: Account
    draft: Invoice
    prospect: Prospect
    closed: tuple[ClosedPlace, ...]
    until: date

    def forecast(self) -> BillForecast:
        """The forecast, with how many of the closed bills ended inside the band of the same point of their period."""
        found = forecast_bill(self.prospect, until=self.until)
        if not found.is_known:
            return found
        inside, tested = count_inside(self._tests())
        return replace(found, inside=inside, tested=tested)

    def _tests(self) -> Iterable[BandTest]:
        point = (self.until - self.prospect.first).days
        keys = {place.id: self._key(place, point) for place in self.closed}
        if not all(recall(key)[0] for key in keys.values()):
            for one in list_closed_periods(self.account, self.draft.subscription, limit=PERIODS_TESTED):
                key = keys.get(one.bill.id)
                if key is not None and not recall(key)[0]:
                    keep(key, band_test(replace(self.prospect, bill=one.bill), point=point))
        return [test for key in keys.values() if (test := recall(key)[1]) is not None]

    def _key(self, place: ClosedPlace, point: int) -> BandKey:
        first, end = days_of_period(place.period, self.prospect.zone)
        until = day_of_point(first, end, point)
        mark = days_mark(self.prospect.histories, until - _BEFORE, end)
        return BandKey(self.account.pk, place.id, until, mark)


def _read(account: Account, public_id: UUID, now: datetime) -> _Reading | None:
    draft = _running_draft(account, public_id, now)
    if draft is None or not draft.details.get("segments"):
        # Without a plan in force there is nothing to rate what is looked ahead to.
        return None
    zone = ZoneInfo(account.billing_zone)
    closed = list_closed_places(account, draft.subscription, limit=PERIODS_TESTED)
    versions = list_billed_meters()
    first = local_day(min((draft.period_start, *(one.period.start for one in closed))), zone) - _BEFORE
    prospect = Prospect(
        bill=bill_as_made(draft, lines_of_invoices(account, [draft])[draft.pk]),
        currency=draft.currency,
        meters=tuple(map(meter_of_bill, versions)),
        histories=_by_unit(
            versions,
            read_daily_quantities(
                account,
                versions,
                first=first,
                end=local_day(now, zone) + _ONE_DAY,
                left_out=list_left_out(account, draft.details),
            ),
        ),
        zone=zone,
    )
    return _Reading(account, draft, prospect, closed, local_day(min(now, draft.complete_to or now), zone))


def _running_draft(account: Account, public_id: UUID, now: datetime) -> Invoice | None:
    drafts = Invoice.objects.for_account(account).filter(kind=InvoiceKind.PERIOD, state=InvoiceState.DRAFT)
    running = drafts.filter(public_id=public_id, period_start__lte=now, period_end__gt=now)
    return running.select_related("subscription").first()


def _by_unit(versions: Iterable[BilledMeter], found: Mapping[int, Mapping[date, Decimal]]) -> Histories:
    """The versions of a meter in one unit together: what one began the other goes on with."""
    together: dict[tuple[str, str], dict[date, Decimal]] = {}
    growth = {}
    for version in versions:
        place = (version.key, meter_of_bill(version).unit)
        growth[place] = _GROWTH.get(version.aggregation, Growth.ADDED)
        days = together.setdefault(place, {})
        for day, quantity in found.get(version.id, {}).items():
            days[day] = EXACT.add(days[day], quantity) if day in days else quantity
    return {place: MeterDays(growth=growth[place], days=together[place]) for place in growth}
