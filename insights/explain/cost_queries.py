"""Reads what usage cost: the lines of bills that are for a stretch of time, and the parts of them that were asked for.

Inside the account's scope. A line is parted as its own page does it (`line_queries.py`), as known at its bill's
position.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from accounts.models import Account
from insights.billing.bill import BillHead, group_of
from insights.billing.bill_mapping import line_of
from insights.billing.bill_queries import list_bills_of_time
from insights.explain.cost import AskedLine, Left, LineCost, Share, part_of_line, slot_number
from insights.explain.cost_answer import (
    CostAnswer,
    CostState,
    CurrencyCost,
    LineTotal,
    bill_cost,
    currency_cost,
)
from insights.explain.line_queries import LineRead, Measured, read_changed_days, read_days, read_line
from insights.metering.aggregations import adds_over_time, adds_up, settled, unit_of
from insights.metering.archived_queries import list_archived_months, refused_for
from insights.metering.faults import Fault, UsageFilterRefused
from insights.metering.line_usage_queries import last_instant, read_line_by_series
from insights.metering.usage_filter import UsageFilter
from insights.metering.windows import Slot, slots_of
from insights.models import Invoice, LineItem, Settlement, SettlementState, Subscription
from insights.rating.invoice import LineKind
from insights.values.exact import EXACT
from insights.values.money import Money
from insights.values.period import Period

ZERO = Decimal(0)
# As many lines as are parted in about half a second.
LINES_PARTED_MAX = 100
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class _Asking:
    """One question, and what all lines of its answer share."""

    account: Account
    question: UsageFilter
    period: Period
    slots: tuple[Slot, ...]
    now: datetime
    measured: Measured
    details: Mapping[int, Mapping[str, object]]


def read_cost(account: Account, question: UsageFilter, now: datetime) -> CostAnswer:
    """Answer a question about cost.

    Raises UsageFilterRefused if it takes archived records, or more lines than are parted at once.
    """
    zone = ZoneInfo(account.billing_zone)
    period = question.period(zone)
    slots = slots_of(period, granularity=question.granularity, zone=zone, now=now)
    rows = _rows(account, question, period) if slots else []
    bills = (
        list_bills_of_time(account, period, also={row.invoice_id for row in rows}, now=now) if slots else {}
    )
    own = [row for row in rows if _is_own(question, row.meter_version)]
    asking = _Asking(account, question, period, slots, now, Measured(account), _details(account, own))
    parts = list(_parts(asking, own, rows, bills))
    totals = _totals(account, asking, bills)
    currencies = dict.fromkeys(head.currency for head in bills.values())
    return CostAnswer(
        filter=question,
        unit=unit_of(question.meter),
        slots=slots,
        currencies=tuple(_currency(one, asking, own, bills, parts, totals) for one in currencies),
        is_subscribed=bool(bills) or Subscription.objects.for_account(account).exists(),
    )


def _rows(account: Account, question: UsageFilter, period: Period) -> list[LineItem]:
    """The lines for the meter, of any version, whose time meets the period; of bills that are not void."""
    void = Settlement.objects.for_account(account).filter(state=SettlementState.VOID).values("invoice_id")
    rows = LineItem.objects.for_account(account).filter(
        invoice__account=account,
        invoice__period_end__gt=period.start,
        meter_key=question.meter.key,
        service_start__lt=period.end,
        service_end__gt=period.start,
    )
    return list(
        rows.exclude(invoice__in=void).select_related("invoice").defer("invoice__details").order_by("pk")
    )


def _is_own(question: UsageFilter, version: int | None) -> bool:
    return version in (None, question.meter.version)


def _details(account: Account, rows: Iterable[LineItem]) -> dict[int, Mapping[str, object]]:
    """The plans that lines are under: of a correction, those of the bill that it corrects."""
    wanted = {row.corrects_invoice_id or row.invoice_id for row in rows}
    found = Invoice.objects.for_account(account).filter(pk__in=wanted).values_list("pk", "details")
    return dict(found) if wanted else {}


@dataclass(frozen=True, slots=True)
class _Part:
    invoice_id: int
    currency: str
    found: LineCost | Left


def _parts(
    asking: _Asking, own: Sequence[LineItem], rows: Sequence[LineItem], bills: Mapping[int, BillHead]
) -> Iterator[_Part]:
    parted = [row for row in own if not _in_one_slot(asking, row) or _names_values(asking.question)]
    if len(parted) > LINES_PARTED_MAX:
        message = (
            f"{len(parted):,} lines of bills are for these days; {LINES_PARTED_MAX} can be parted at once."
            " Choose fewer days, or month without values."
        )
        raise UsageFilterRefused([Fault("range_too_large", "granularity", message)])
    for row in own:
        head = bills[row.invoice_id]
        older = [other for other in rows if other.invoice_id == row.invoice_id]
        found = part_of_line(_asked(asking, row, head, older), asking.slots)
        if found is not None:
            yield _Part(row.invoice_id, head.currency, found)
    if parted:
        _refuse_archived(asking, parted)


def _refuse_archived(asking: _Asking, rows: Iterable[LineItem]) -> None:
    """Told after records were read: a month that is detached in between is then known to be missing."""
    services = [(row.service_start, row.service_end) for row in rows]
    whole = Period(min(start for start, _ in services), max(end for _, end in services))
    if months := list_archived_months(asking.account, whole):
        way_out = "Parts of lines are told from them; ask by month without values, or choose later days."
        raise refused_for(months, field="granularity", way_out=way_out)


def _names_values(question: UsageFilter) -> bool:
    return bool(question.group_by or question.values)


def _in_one_slot(asking: _Asking, row: LineItem) -> bool:
    """Whether the whole time of the line was asked for, and lies in one stretch of it."""
    number = slot_number(asking.slots, row.service_start)
    return number >= 0 and number == slot_number(asking.slots, row.service_end - _INSTANT)


def _asked(asking: _Asking, row: LineItem, head: BillHead, older: Sequence[LineItem]) -> AskedLine:
    service = Period(row.service_start, row.service_end)
    line = line_of(row, head.currency, meter_names={})
    read = read_line(
        asking.account,
        line,
        row,
        zone=head.zone,
        position=row.invoice.usage_as_of,
        told=asking.details[row.corrects_invoice_id or row.invoice_id],
        older=older,
        measured=asking.measured,
    )
    is_correction = line.kind is LineKind.CORRECTION
    until = min(last_instant(service, asking.now), asking.period.end)
    days = None
    if not _in_one_slot(asking, row):
        days = (
            read_changed_days(asking.account, read, until=until)
            if is_correction
            else read_days(read, until=until)
        )
    question = asking.question
    names = [name for name in (question.group_by, *(key for key, _ in question.values)) if name]
    return AskedLine(
        bill_id=head.public_id,
        line=line,
        service=service,
        is_whole=asking.period.start <= service.start and service.end <= asking.period.end,
        days=days,
        shares=_shares(asking, read, service, is_correction=is_correction) if names else None,
        is_filtered=bool(question.values),
        adds_over_time=adds_over_time(question.meter.aggregation),
        adds_up=all(adds_up(question.meter, name) for name in names),
        is_correction=is_correction,
    )


def _shares(asking: _Asking, read: LineRead, service: Period, *, is_correction: bool) -> dict[Share, Decimal]:
    """The line's quantity in the days asked for by the values that are asked for or grouped by."""
    question, scope = asking.question, read.scope
    if scope is None or not scope.series:
        # Without any usage the values that the price is for are all there is to go by.
        return {_share_of(question, read.line.values): ZERO} if read.line.values else {}
    inside = service.intersection(asking.period)
    if is_correction or inside is None:
        return {_share_of(question, one.dimensions): ZERO for one in scope.series}
    totals = read_line_by_series(scope.within(inside), position=read.position)
    used: dict[Share, Decimal] = {}
    for one in scope.series:
        if one.facts.id in totals:
            key = _share_of(question, one.dimensions)
            used[key] = EXACT.add(used.get(key, ZERO), totals[one.facts.id][0])
    if not used:
        return {_share_of(question, one.dimensions): ZERO for one in scope.series}
    return {key: settled(question.meter.aggregation, raw) for key, raw in used.items()}


def _share_of(question: UsageFilter, dimensions: Mapping[str, str]) -> Share:
    """Where usage with these dimension values belongs; an absent one is the empty value."""
    return Share(
        narrowed=tuple(dimensions.get(key, "") for key, _ in question.values),
        is_wanted=all(dimensions.get(key, "") in values for key, values in question.values),
        value=dimensions.get(question.group_by, "") if question.group_by else "",
    )


def _totals(account: Account, asking: _Asking, bills: Mapping[int, BillHead]) -> dict[int, list[LineTotal]]:
    """Every line of the bills, as their sums need it."""
    rows = (
        LineItem.objects.for_account(account).filter(invoice__in=list(bills)).order_by("invoice", "position")
    )
    names = {meter.key: meter.name for meter in asking.measured.meters} if bills else {}
    question = asking.question
    found: dict[int, list[LineTotal]] = defaultdict(list)
    fields = ("invoice_id", "kind", "meter_key", "meter_version", "amount_minor")
    for invoice_id, kind, meter_key, version, minor in rows.values_list(*fields):
        group = group_of(LineKind(kind), meter_key)
        found[invoice_id].append(
            LineTotal(
                group=group,
                meter_key=meter_key,
                meter_name=names.get(meter_key, meter_key),
                is_own=meter_key == question.meter.key and _is_own(question, version),
                amount=Money(int(minor), bills[invoice_id].currency),
            )
        )
    return found


def _currency(
    currency: str,
    asking: _Asking,
    own: Sequence[LineItem],
    bills: Mapping[int, BillHead],
    parts: Sequence[_Part],
    totals: Mapping[int, Sequence[LineTotal]],
) -> CurrencyCost:
    inside = [part for part in parts if part.currency == currency]
    costs = [(part.invoice_id, part.found) for part in inside if isinstance(part.found, LineCost)]
    shown: dict[int, int] = defaultdict(int)
    for invoice_id, cost in costs:
        shown[invoice_id] += cost.amount
    return currency_cost(
        currency,
        asking.slots,
        list(_states(asking, [row for row in own if bills[row.invoice_id].currency == currency], bills)),
        [cost for _, cost in costs],
        is_grouped=bool(asking.question.group_by),
        bills=tuple(
            bill_cost(head, totals.get(invoice_id, ()), shown[invoice_id])
            for invoice_id, head in bills.items()
            if head.currency == currency
        ),
        left=tuple(part.found for part in inside if isinstance(part.found, Left)),
    )


def _states(asking: _Asking, own: Sequence[LineItem], bills: Mapping[int, BillHead]) -> Iterator[CostState]:
    """What stands behind each stretch of time: the bills with a line for usage of it."""
    charges = [
        (row.service_start, row.service_end, bills[row.invoice_id].is_issued)
        for row in own
        if row.kind == LineKind.CHARGE
    ]
    for slot in asking.slots:
        are_final = [final for start, end, final in charges if start < slot.end and end > slot.start]
        if not are_final:
            yield CostState.NO_PRICE
        else:
            yield CostState.BILLED if all(are_final) else CostState.SO_FAR
