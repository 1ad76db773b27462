"""Reads what the forecast of a running bill follows from: its draft, closed bills of the subscription, and days.

In an account's scope: two statements for the bills, one for their lines, and one for all days of all meters.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from accounts.models import Account
from insights.billing.basis import IssuedBill, counted_meters
from insights.billing.closed_period_queries import bill_as_made, lines_of_invoices, list_closed_periods
from insights.billing.forecast import BillForecast, Histories, MeterDays, Prospect, forecast_bill
from insights.billing.left_out_queries import list_left_out
from insights.billing.usage_queries import meter_of_bill
from insights.metering.daily_queries import read_daily_quantities
from insights.metering.metered_queries import BilledMeter, list_billed_meters
from insights.models import Invoice, InvoiceKind, InvoiceState
from insights.scenarios.forecast import WEEKS_MAX, Growth
from insights.values.exact import EXACT
from insights.values.period import local_day

PERIODS_TESTED = 12
_GROWTH = {"max": Growth.LARGEST, "latest": Growth.LAST}
_ONE_DAY = timedelta(days=1)


def get_bill_forecast(account: Account, *, public_id: UUID, now: datetime) -> BillForecast | None:
    """Read the forecast of a draft whose period runs, or None for any other bill."""
    draft = (
        Invoice.objects.for_account(account)
        .filter(
            public_id=public_id,
            kind=InvoiceKind.PERIOD,
            state=InvoiceState.DRAFT,
            period_start__lte=now,
            period_end__gt=now,
        )
        .select_related("subscription")
        .first()
    )
    if draft is None:
        return None
    zone = ZoneInfo(account.billing_zone)
    bill = bill_as_made(draft, lines_of_invoices(account, [draft])[draft.pk])
    closed = [one.bill for one in list_closed_periods(account, draft.subscription, limit=PERIODS_TESTED)]
    versions = list_billed_meters()
    first = local_day(min(one.period.start for one in (bill, *closed)), zone) - WEEKS_MAX * 7 * _ONE_DAY
    prospect = Prospect(
        bill=bill,
        currency=draft.currency,
        meters=tuple(map(meter_of_bill, versions)),
        histories=_histories(
            account, draft, (bill, *closed), versions, first, local_day(now, zone) + _ONE_DAY
        ),
        zone=zone,
    )
    complete = min(now, draft.complete_to or now)
    return forecast_bill(prospect, until=local_day(complete, zone), closed=closed)


def _histories(
    account: Account,
    draft: Invoice,
    bills: Sequence[IssuedBill],
    versions: Sequence[BilledMeter],
    first: date,
    end: date,
) -> Histories:
    """The days of every meter that the bills have prices for, or count."""
    keys = _priced(bills)
    asked = [meter for meter in versions if meter.key in keys]
    left_out = list_left_out(account, draft.details)
    found = read_daily_quantities(account, asked, first=first, end=end, left_out=left_out)
    return _by_unit(asked, found)


def _priced(bills: Sequence[IssuedBill]) -> frozenset[str]:
    segments = [segment for bill in bills for segment in bill.segments]
    metered = {key for segment in segments for key in segment.sheet.by_meter}
    return frozenset(metered) | counted_meters(segments)


def _by_unit(
    versions: Sequence[BilledMeter], found: Mapping[int, Mapping[date, Decimal]]
) -> dict[tuple[str, str], MeterDays]:
    """The versions of a meter in one unit together: what one began the other goes on with."""
    together: dict[tuple[str, str], dict[date, Decimal]] = defaultdict(dict)
    growth = {}
    for version in versions:
        place = (version.key, meter_of_bill(version).unit)
        growth[place] = _GROWTH.get(version.aggregation, Growth.ADDED)
        for day, quantity in found.get(version.id, {}).items():
            together[place][day] = EXACT.add(together[place].get(day, Decimal(0)), quantity)
    return {place: MeterDays(growth=growth[place], days=together[place]) for place in growth}
