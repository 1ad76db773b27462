"""Reads what usage cost: the lines of bills that are for a stretch of time, and the parts of them that were asked for.

Inside the account's scope. A line is parted as its own page does it (`line_queries.py`), as known at its bill's
position.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from accounts.models import Account
from insights.billing.bill import BillHead, group_of
from insights.billing.bill_queries import BillOfTime, list_bills_of_time
from insights.explain.cost import Left, LineCost, Stretches
from insights.explain.cost_answer import (
    CostAnswer,
    CostState,
    CurrencyCost,
    LineTotal,
    bill_cost,
    currency_cost,
)
from insights.explain.cost_line_queries import Asking, Part, read_parts
from insights.explain.line_reading_queries import Measured
from insights.metering.aggregations import unit_of
from insights.metering.faults import UsageFilterRefused
from insights.metering.known_queries import rows_of
from insights.metering.usage_filter import UsageFilter
from insights.metering.windows import ONE_DAY, Slot, days_of, slots_before, slots_of
from insights.models import Invoice, LineItem, Settlement, SettlementState, Subscription
from insights.rating.invoice import LineKind
from insights.values.money import Money
from insights.values.period import Period


@dataclass(frozen=True, slots=True)
class _Stretch:
    """One question and the time it is about."""

    question: UsageFilter
    period: Period
    slots: tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    """What was read for the questions of one answer, which are about the same meter."""

    account: Account
    now: datetime
    rows: Sequence[LineItem]
    bills: Mapping[int, BillOfTime]
    measured: Measured
    details: Mapping[int, Mapping[str, object]]

    def lines_of(self, stretch: _Stretch) -> list[LineItem]:
        """The lines that are for some of the time."""
        if not stretch.slots:
            return []
        period = stretch.period
        return [
            row
            for row in self.rows
            if row.service_start < period.end
            and row.service_end > period.start
            and self.bills[row.invoice_id].head.period.end > period.start
        ]


def read_cost(account: Account, question: UsageFilter, now: datetime) -> CostAnswer:
    """Answer a question about cost.

    Raises UsageFilterRefused if it takes archived records, or more lines than are parted at once.
    """
    stretch = _stretch(account, question, now)
    return _answer(_find(account, [stretch], now), stretch)


def read_cost_and_before(
    account: Account, question: UsageFilter, now: datetime
) -> tuple[CostAnswer, CostAnswer | None]:
    """The same with the period before, whose answer has no bills beside it; lines of both are read at once.

    None where the period before is not asked for, or where it cannot be told.
    """
    stretch = _stretch(account, question, now)
    earlier = _stretch_before(account, stretch, now) if question.compares else None
    found = _find(account, [stretch, *([earlier] if earlier else [])], now)
    answer = _answer(found, stretch)
    if earlier is None or not answer.is_priced:
        return answer, None
    try:
        return answer, _answer(found, earlier, has_bills=False)
    except UsageFilterRefused:
        return answer, None


def _stretch(account: Account, question: UsageFilter, now: datetime) -> _Stretch:
    zone = ZoneInfo(account.billing_zone)
    period = question.period(zone)
    return _Stretch(question, period, slots_of(period, granularity=question.granularity, zone=zone, now=now))


def _stretch_before(account: Account, stretch: _Stretch, now: datetime) -> _Stretch | None:
    """As many stretches of time just before, without groups."""
    question, zone = stretch.question, ZoneInfo(account.billing_zone)
    count = len(stretch.slots)
    slots = slots_before(stretch.period, granularity=question.granularity, zone=zone, count=count)
    if not slots:
        return None
    first, end = days_of(slots, zone)
    earlier = replace(question, preset="", first_day=first, last_day=end - ONE_DAY, group_by="")
    return _stretch(account, earlier, now)


def _find(account: Account, stretches: Sequence[_Stretch], now: datetime) -> _Found:
    """Read the lines and bills of all stretches of time; the first one is what bills are listed for."""
    rows, bills = _rows(account, stretches), {}
    if stretches[0].slots:
        also = {row.invoice_id for row in rows}
        bills = list_bills_of_time(account, stretches[0].period, also=also, now=now)
    # A bill that is voided meanwhile takes its lines with it.
    rows = [row for row in rows if row.invoice_id in bills]
    return _Found(account, now, rows, bills, Measured(account), _details(account, rows, bills))


def _answer(found: _Found, stretch: _Stretch, *, has_bills: bool = True) -> CostAnswer:
    """What one question comes to."""
    question, period, account = stretch.question, stretch.period, found.account
    rows = found.lines_of(stretch)
    lined = {row.invoice_id for row in rows}
    bills = {
        number: bill.head
        for number, bill in found.bills.items()
        if number in lined or (has_bills and bill.head.period.overlaps(period))
    }
    own = [row for row in rows if _is_own(question, row.meter_version)]
    asking = Asking(
        account=account,
        question=question,
        period=period,
        slots=stretch.slots,
        stretches=Stretches(stretch.slots),
        now=found.now,
        measured=found.measured,
        details=found.details,
        positions={number: bill.usage_as_of for number, bill in found.bills.items()},
    )
    parts = list(read_parts(asking, own, rows, bills))
    totals = _totals(account, asking, bills) if has_bills else {}
    currencies = dict.fromkeys(head.currency for head in bills.values())
    return CostAnswer(
        filter=question,
        unit=unit_of(question.meter),
        slots=stretch.slots,
        currencies=tuple(
            _currency(one, asking, own, bills, parts, totals, has_bills=has_bills) for one in currencies
        ),
        is_subscribed=bool(bills) or Subscription.objects.for_account(account).exists(),
    )


def _rows(account: Account, stretches: Sequence[_Stretch]) -> list[LineItem]:
    """The lines for the meter, of any version, from the first stretch to the last; of bills that are not void."""
    periods = [stretch.period for stretch in stretches if stretch.slots]
    if not periods:
        return []
    start, end = min(period.start for period in periods), max(period.end for period in periods)
    void = Settlement.objects.for_account(account).filter(state=SettlementState.VOID).values("invoice_id")
    rows = LineItem.objects.for_account(account).filter(
        invoice__account=account,
        invoice__period_end__gt=start,
        meter_key=stretches[0].question.meter.key,
        service_start__lt=end,
        service_end__gt=start,
    )
    found = list(rows.exclude(invoice__in=void).defer("steps", "allotted", "taxes").order_by("pk"))
    for row in found:
        # What a line came to is parted by its amount and usage; how it came to it is not asked.
        row.steps, row.allotted, row.taxes = [], {}, []
    return found


def _is_own(question: UsageFilter, version: int | None) -> bool:
    return version in (None, question.meter.version)


def _details(
    account: Account, rows: Iterable[LineItem], bills: Mapping[int, BillOfTime]
) -> dict[int, Mapping[str, object]]:
    """The plans that lines are under: of a correction, those of the bill that it corrects."""
    found: dict[int, Mapping[str, object]] = {number: bill.details for number, bill in bills.items()}
    corrected = {row.corrects_invoice_id for row in rows if row.corrects_invoice_id is not None}
    if others := corrected - found.keys():
        bills_before = Invoice.objects.for_account(account).filter(pk__in=others)
        found |= dict(bills_before.values_list("pk", "details"))
    return found


_TOTALS = """
    SELECT invoice_id, kind, meter_key, meter_version, amount_minor FROM insights_lineitem
    WHERE account_id = %s AND invoice_id = ANY(%s) ORDER BY position
"""


def _totals(account: Account, asking: Asking, bills: Mapping[int, BillHead]) -> dict[int, list[LineTotal]]:
    """Every line of the bills, as their sums need it."""
    rows = rows_of(_TOTALS, [account.pk, list(bills)])
    names = {meter.key: meter.name for meter in asking.measured.meters} if bills else {}
    question = asking.question
    found: dict[int, list[LineTotal]] = defaultdict(list)
    for invoice_id, kind, meter_key, version, minor in rows:
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
    asking: Asking,
    own: Sequence[LineItem],
    bills: Mapping[int, BillHead],
    parts: Sequence[Part],
    totals: Mapping[int, Sequence[LineTotal]],
    *,
    has_bills: bool,
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
            if has_bills and head.currency == currency
        ),
        left=tuple(part.found for part in inside if isinstance(part.found, Left)),
    )


def _states(asking: Asking, own: Sequence[LineItem], bills: Mapping[int, BillHead]) -> Iterator[CostState]:
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
