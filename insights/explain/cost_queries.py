"""Reads what usage cost: the lines of bills that are for a stretch of time, and the parts of them that were asked for.

Inside the account's scope. A line is parted as its own page does it (`line_queries.py`), as known at its bill's
position.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from accounts.models import Account
from insights.billing.bill import BillHead, group_of
from insights.billing.bill_queries import list_bills_of_time
from insights.explain.cost import Left, LineCost
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
from insights.metering.usage_filter import UsageFilter
from insights.metering.windows import slots_of
from insights.models import Invoice, LineItem, Settlement, SettlementState, Subscription
from insights.rating.invoice import LineKind
from insights.values.money import Money
from insights.values.period import Period


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
    asking = Asking(account, question, period, slots, now, Measured(account), _details(account, own))
    parts = list(read_parts(asking, own, rows, bills))
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
    found = list(
        rows.exclude(invoice__in=void)
        .select_related("invoice")
        .defer("invoice__details", "steps")
        .order_by("pk")
    )
    for row in found:
        # What a line came to is parted by its amount and usage; how it came to it is not asked.
        row.steps = []
    return found


def _is_own(question: UsageFilter, version: int | None) -> bool:
    return version in (None, question.meter.version)


def _details(account: Account, rows: Iterable[LineItem]) -> dict[int, Mapping[str, object]]:
    """The plans that lines are under: of a correction, those of the bill that it corrects."""
    wanted = {row.corrects_invoice_id or row.invoice_id for row in rows}
    found = Invoice.objects.for_account(account).filter(pk__in=wanted).values_list("pk", "details")
    return dict(found) if wanted else {}


def _totals(account: Account, asking: Asking, bills: Mapping[int, BillHead]) -> dict[int, list[LineTotal]]:
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
    asking: Asking,
    own: Sequence[LineItem],
    bills: Mapping[int, BillHead],
    parts: Sequence[Part],
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
