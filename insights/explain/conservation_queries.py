"""Reads what became of all usage of a bill's period, as known at the bill's position; inside the account's scope."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.db.models import Count, F, Sum

from accounts.models import Account
from insights.billing.bill import Bill
from insights.billing.left_out_queries import list_left_out
from insights.billing.uncovered_queries import list_beside
from insights.explain.conservation import (
    Conservation,
    Elsewhere,
    LineVerdicts,
    MeterBalance,
    usage_on_lines,
)
from insights.metering.aggregations import MeterFacts, adds_over_time, unit_of
from insights.metering.line_usage_queries import LineScope, LineSeries, list_line_series, read_line_total
from insights.metering.meter_queries import list_meters
from insights.models import BatchPart, Invoice
from insights.values.exact import EXACT
from insights.values.period import Period

_COUNTS = ("received", "new", "replaced", "duplicate", "stale", "rejected")


def account_for(account: Account, bill: Bill) -> Conservation:
    """Say for each meter with usage in the bill's period what became of it, and for each line that was sent."""
    invoice = Invoice.objects.for_account(account).only("details").get(public_id=bill.head.public_id)
    left_out = list_left_out(account, invoice.details)
    meters = (
        [meter for meter in list_meters(account) if meter.has_usage] if bill.head.kind == "period" else []
    )
    balances = []
    for together in _by_key(meter for meter in meters if adds_over_time(meter.aggregation)):
        balance = _balance(account, bill, together, left_out)
        if balance.records or balance.positions:
            balances.append(balance)
    return Conservation(
        meters=tuple(balances),
        lines=_verdicts(account, bill.head.period),
        not_additive=tuple(
            dict.fromkeys(meter.name for meter in meters if not adds_over_time(meter.aggregation))
        ),
        uncovered=list_beside(account, bill.head.period) if bill.head.kind == "period" else (),
    )


def _by_key(meters: Iterable[MeterFacts]) -> Iterator[list[MeterFacts]]:
    """The versions of each meter together: a bill's lines name both, and usage is of one of them."""
    found: dict[str, list[MeterFacts]] = {}
    for meter in meters:
        found.setdefault(meter.key, []).append(meter)
    return iter(found.values())


def _balance(
    account: Account,
    bill: Bill,
    versions: Sequence[MeterFacts],
    left_out: frozenset[int],
) -> MeterBalance:
    meter = versions[-1]
    scopes = [_scope(account, bill, version) for version in versions]
    known, records = _total(scopes, bill.usage_as_of)
    free_sources = [_of_sources(scope, left_out, is_in=True) for scope in scopes]
    charged = [_of_sources(scope, left_out, is_in=False) for scope in scopes]
    lines = usage_on_lines(bill.lines, meter.key)
    return MeterBalance(
        meter_key=meter.key,
        meter_name=meter.name,
        unit=unit_of(meter),
        known=known,
        records=records,
        charged=lines.charged,
        included=lines.included,
        free=lines.free,
        not_charged=_total(free_sources, bill.usage_as_of)[0] if left_out else Decimal(0),
        elsewhere=tuple(_elsewhere(account, bill, meter.key, charged)),
        positions=lines.positions,
    )


def _scope(account: Account, bill: Bill, meter: MeterFacts) -> LineScope:
    series = list_line_series(account.pk, meter)
    return LineScope(account.pk, ZoneInfo(bill.head.zone), meter, bill.head.period, series)


def _of_sources(scope: LineScope, sources: frozenset[int], *, is_in: bool) -> LineScope:
    def is_wanted(one: LineSeries) -> bool:
        return (one.facts.source_id in sources) is is_in

    return LineScope(
        scope.account_id, scope.zone, scope.meter, scope.service, tuple(filter(is_wanted, scope.series))
    )


def _total(scopes: Iterable[LineScope], position: int) -> tuple[Decimal, int]:
    quantity, records = Decimal(0), 0
    for scope in scopes:
        found = read_line_total(scope, position=position)
        quantity, records = EXACT.add(quantity, found[0]), records + found[1]
    return quantity, records


def _elsewhere(
    account: Account,
    bill: Bill,
    meter_key: str,
    scopes: Sequence[LineScope],
) -> Iterator[Elsewhere]:
    """Usage in the parts of the period in which this bill's plans have no price for the meter."""
    priced = [
        segment.period
        for segment in bill.segments
        if not segment.is_add_on and any(price.meter_key == meter_key for price in segment.sheet.prices)
    ]
    for gap in _gaps(bill.head.period, priced):
        quantity, records = _total([scope.within(gap) for scope in scopes], bill.usage_as_of)
        if records:
            yield Elsewhere(
                quantity=quantity, records=records, subscription=_priced_by(account, bill, meter_key, gap)
            )


def _gaps(period: Period, covered: Iterable[Period]) -> Iterator[Period]:
    """The parts of a period that none of the others covers, in order."""
    at = period.start
    for one in sorted(covered):
        if one.start > at:
            yield Period(at, min(one.start, period.end))
        at = max(at, one.end)
        if at >= period.end:
            return
    if at < period.end:
        yield Period(at, period.end)


def _priced_by(account: Account, bill: Bill, meter_key: str, gap: Period) -> str:
    """The name of another subscription whose bills price the meter then; empty for none."""
    others = (
        Invoice.objects.for_account(account)
        .filter(kind="period", period_start__lt=gap.end, period_end__gt=gap.start)
        .exclude(public_id=bill.head.public_id)
        .filter(lines__meter_key=meter_key, lines__kind="charge")
        .order_by("period_start", "id")
    )
    return others.values_list("subscription__name", flat=True).first() or ""


def _verdicts(account: Account, period: Period) -> LineVerdicts:
    parts = BatchPart.objects.for_account(account).filter(
        first_window__lt=period.end, last_window_end__gt=period.start
    )
    sums = parts.aggregate(batches=Count("pk"), **{name: Sum(F(name), default=0) for name in _COUNTS})
    return LineVerdicts(**{name: int(found) for name, found in sums.items()})
