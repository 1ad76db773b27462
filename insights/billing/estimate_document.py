"""An estimate as plain JSON values: amounts and quantities as texts, lines as those of an invoice. Pure."""

from __future__ import annotations

from typing import Any

from insights.billing.bill_document import instant_text, line_document
from insights.billing.estimate import Estimate, EstimatedPeriod, RatedSide
from insights.billing.estimate_words import estimate_sentence, left_out_sentences, period_notes
from insights.billing.price_words import money_number
from insights.values.money import Money
from insights.values.quantity import exact_text


def estimate_document(estimate: Estimate) -> dict[str, Any]:
    """The whole estimate, with the steps of every line."""
    return {
        "plan": estimate.plan_key,
        "plan_name": estimate.plan_name,
        "currency": estimate.currency,
        "zone": estimate.zone,
        "sentence": estimate_sentence(estimate),
        "left_out": left_out_sentences(estimate),
        "billed": _money(estimate.billed),
        "estimated": money_number(estimate.estimated),
        "difference": _money(estimate.difference),
        "periods": [_period(period) for period in estimate.periods],
    }


def _period(period: EstimatedPeriod) -> dict[str, Any]:
    return {
        "period_start": instant_text(period.period.start),
        "period_end": instant_text(period.period.end),
        "plan_version": period.sheet.version,
        "invoice": None if period.head is None else str(period.head.public_id),
        "number": (period.head.number or None) if period.head else None,
        "invoice_total": None if period.head is None else money_number(period.head.total),
        "billed": None if period.billed is None else money_number(period.billed.total),
        "estimated": money_number(period.estimate.total),
        "difference": _money(period.difference),
        "counts": dict(period.counts),
        "notes": period_notes(period),
        "billed_lines": [] if period.billed is None else _lines(period.billed),
        "lines": _lines(period.estimate),
        "unpriced": [
            {"meter": one.meter_key, "quantity": exact_text(one.quantity), "unit": one.unit}
            for one in period.estimate.unpriced
        ],
    }


def _lines(side: RatedSide) -> list[dict[str, Any]]:
    return [line_document(line) for line in side.lines]


def _money(money: Money | None) -> str | None:
    return None if money is None else money_number(money)
