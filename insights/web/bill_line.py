"""One line of a bill, explained in place and at an address of its own; its days, values and records as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta, tzinfo
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import account_page
from insights.billing.bill import Bill
from insights.billing.day_words import day_rounding_words, quiet_days_words
from insights.billing.own_price_queries import list_own_prices
from insights.billing.price_words import (
    money_words,
    number_words,
    scale_of_price,
    tier_range,
    unit_size_words,
)
from insights.billing.words import correction_rounding_words, line_price_words, line_sentence, step_rows
from insights.explain.day_stack import DayStack
from insights.explain.line_proof import DayPart, LineProof, Verdict
from insights.explain.line_queries import prove_line, prove_line_by_value
from insights.explain.tier_bars import TierBar, tier_bars
from insights.exports.line_rows import day_rows, value_rows
from insights.values.period import Period
from insights.values.quantity import scale_for
from insights.web import words
from insights.web.bill_line_charts import quantity_figure, running_figure, slot_label, stack_legend
from insights.web.bills import bill_or_404, file_stem, period_of, values_of
from insights.web.csv_files import csv_file

_BAR_WIDTH = 1000
_WINDOW = timedelta(hours=1)


@account_page
@require_safe
def bill_line(request: Any, bill_uuid: UUID, position: int) -> HttpResponse:
    """Explain one line: sentence, steps and tiers, days, dimension values, terms, recheck."""
    now = timezone.now()
    bill = bill_or_404(request, bill_uuid, now=now)
    found = prove_line_by_value(request.account, bill, position=position, now=now)
    if found is None:
        raise Http404
    proof, stack = found
    zone = ZoneInfo(bill.head.zone)
    line = proof.line
    priced = scale_of_price(line.terms)
    days = days_with_windows(proof.days) if _is_used(proof) else []
    context = {
        "nav": "bills",
        "bill": bill,
        "head": bill.head,
        "line": line,
        "proof": proof,
        "sentence": line_sentence(line),
        "values": values_of(line, (*proof.neighbours, line)),
        "price": line_price_words(line),
        "priced": priced,
        "unit": priced.unit if priced else proof.meter_unit,
        "unit_size": unit_size_words(line.terms),
        "quantity": "" if line.billed_quantity is None else number_words(line.billed_quantity),
        "amount": money_words(line.amount),
        "period": period_of(bill.head.period, zone),
        "service": _service(line.service_start, line.service_end, zone),
        "steps": [
            {
                "words": row.words,
                "quantity": row.quantity,
                "exact": row.exact,
                "amount": money_words(row.amount),
            }
            for row in step_rows(line)
        ],
        "tiers": [_tier(bar) for bar in tier_bars(line)],
        "days": [_day(day, zone) for day in days],
        "unused": "" if days or not proof.days else "No usage on any day of it.",
        "is_correction": line.corrects is not None,
        "correction_rounding": correction_rounding_words(bill.head.currency),
        **_drawn(bill, proof, stack, days),
        "unplaced": _unplaced(proof),
        "quiet_days": quiet_days_words(
            line.terms,
            ((day.quantity, day.amount) for day in proof.days),
            is_correction=line.corrects is not None,
        ),
        "day_rounding": day_rounding_words(bill.head.currency),
        "is_own_price": bool(list_own_prices(request.account, [line])),
        "dimensions": [
            (dimension, _value_rows(proof, dimension.name, dimension.shown()))
            for dimension in proof.dimensions
        ],
        "recheck": proof.recheck,
        "is_equal": proof.recheck is not None and proof.recheck.verdict is Verdict.EQUAL,
        "neighbours": [
            (
                other,
                values_of(other, (*proof.neighbours, line)),
                _service(other.service_start, other.service_end, zone),
            )
            for other in proof.neighbours
        ],
        "zone": bill.head.zone,
        "page": {},
    }
    return render(request, "bills/line.html", context)


@account_page
@require_safe
def bill_line_days_csv(request: Any, bill_uuid: UUID, position: int) -> HttpResponse:
    """Download the line day by day, with what it had come to."""
    bill, proof = _proof_or_404(request, bill_uuid, position)
    name = f"{file_stem(bill.head)}-line-{position}-days.csv"
    return csv_file(day_rows(proof, ZoneInfo(bill.head.zone)), name)


@account_page
@require_safe
def bill_line_values_csv(request: Any, bill_uuid: UUID, position: int) -> HttpResponse:
    """Download the line by every value of every dimension."""
    bill, proof = _proof_or_404(request, bill_uuid, position)
    return csv_file(value_rows(proof), f"{file_stem(bill.head)}-line-{position}-values.csv")


def _proof_or_404(request: Any, bill_uuid: UUID, position: int) -> tuple[Bill, LineProof]:
    bill = bill_or_404(request, bill_uuid, now=timezone.now())
    proof = prove_line(request.account, bill, position=position, now=timezone.now())
    if proof is None:
        raise Http404
    return bill, proof


def _drawn(bill: Bill, proof: LineProof, stack: DayStack | None, days: Sequence[DayPart]) -> dict[str, Any]:
    """The figures of the days, and which of their values a bar is made of."""
    largest = max((abs(day.quantity or Decimal(0)) for day in proof.days), default=Decimal(0))
    return {
        "figure": quantity_figure(
            days,
            unit=proof.meter_unit,
            scale=scale_of_price(proof.line.terms) or scale_for(proof.meter_unit, largest),
            until=bill.head.complete_to,
            stack=stack,
        ),
        "stack": stack,
        "legend": stack_legend(stack) if stack else [],
        "is_split": any(len(dimension.values) > 1 for dimension in proof.dimensions),
        "running": running_figure(days, currency=bill.head.currency),
    }


def _service(start: Any, end: Any, zone: tzinfo) -> str:
    return period_of(Period(start, end), zone) if start < end else ""


def _tier(bar: TierBar) -> dict[str, Any]:
    """A tier as a row and as a bar; one without an end is drawn full where anything fell into it."""
    filled = (Fraction(1) if bar.quantity else Fraction(0)) if bar.filled is None else bar.filled
    return {
        "number": bar.number,
        "range": tier_range(bar.above, bar.up_to),
        "quantity": number_words(bar.quantity),
        "amount": money_words(bar.amount),
        "width": int(filled * _BAR_WIDTH),
        "total": _BAR_WIDTH,
        "is_reached": bool(bar.quantity),
    }


def days_with_windows(days: Sequence[DayPart]) -> list[DayPart]:
    """The days without pieces in which no window can begin, as before the edge of a period off the whole hour."""
    return [
        day
        for day in days
        if day.records
        or day.quantity is not None
        or (day.amount is not None and day.amount.minor)
        or day.slot.end - day.slot.start >= _WINDOW
    ]


def _is_used(proof: LineProof) -> bool:
    """Whether there is anything of the line on any day; else its charts and tables would be empty."""
    return any(
        day.records or day.quantity is not None or (day.amount is not None and day.amount.minor)
        for day in proof.days
    )


def _day(day: DayPart, zone: tzinfo) -> dict[str, Any]:
    return {
        "label": slot_label(day, zone),
        "quantity": day.quantity,
        "before": day.before,
        "records": day.records,
        "amount": "" if day.amount is None else money_words(day.amount),
        "running": "" if day.running is None else money_words(day.running),
    }


def _unplaced(proof: LineProof) -> str:
    """What of a line no day accounts for: tiers that other usage of the period moved."""
    amounts = [day.amount for day in proof.days]
    if not amounts or None in amounts or not proof.adds_over_time:
        return ""
    rest = proof.line.amount
    for amount in amounts:
        if amount is not None:
            rest = rest - amount
    return money_words(rest) if rest.minor else ""


@dataclass(frozen=True, slots=True)
class ValueRow:
    """A dimension value, ready to print, with its share of the line's quantity for the bar."""

    label: str
    quantity: Decimal
    records: int
    amount: str
    width: int
    total: int


def _value_rows(proof: LineProof, name: str, parts: Any) -> list[ValueRow]:
    largest = max((abs(part.quantity) for part in parts), default=Decimal(0))
    return [
        ValueRow(
            label=words.group_words(part.value or None, is_rest=part.is_rest, members=part.members),
            quantity=part.quantity,
            records=part.records,
            amount="" if part.amount is None else money_words(part.amount),
            width=int(abs(part.quantity) / largest * _BAR_WIDTH) if largest else 0,
            total=_BAR_WIDTH,
        )
        for part in parts
    ]
