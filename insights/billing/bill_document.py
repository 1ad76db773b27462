"""A bill as plain JSON values: the API's answer and the download of the page. Amounts and quantities are texts.

A number of JSON is a float to most readers, and a float is no amount of money. Pure.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from insights.billing.bill import Bill, BillHead, BillLine, BillSection, Party, PlanSegment
from insights.billing.price_words import money_number, price_words
from insights.billing.words import bill_why, line_sentence, step_words
from insights.rating.sheet import sheet_document
from insights.values.exact import exact_number_text
from insights.values.quantity import exact_text


def instant_text(instant: datetime | None) -> str | None:
    """An instant in UTC to the second, or None."""
    return None if instant is None else f"{instant:%Y-%m-%dT%H:%M:%S}Z"


def head_document(head: BillHead) -> dict[str, Any]:
    """A bill without its lines."""
    return {
        "id": str(head.public_id),
        "number": head.number or None,
        "kind": head.kind,
        "status": str(head.status),
        "subscription": head.subscription_name,
        "currency": head.currency,
        "period_start": instant_text(head.period.start),
        "period_end": instant_text(head.period.end),
        "zone": head.zone,
        "total": money_number(head.total),
        "amount_due": money_number(head.due),
        "complete_to": instant_text(head.complete_to),
        "drafted_at": instant_text(head.drafted_at),
        "issued_at": instant_text(head.issued_at),
        "due_at": instant_text(head.due_at),
    }


def bill_document(bill: Bill) -> dict[str, Any]:
    """The whole bill, with the steps and terms of every line."""
    return {
        **head_document(bill.head),
        "why": bill_why(bill.head.kind),
        "total": money_number(bill.total),
        "usage_as_of": bill.usage_as_of,
        "sha256": bill.sha256 or None,
        "seller": _party(bill.seller),
        "buyer": _party(bill.buyer),
        "tax_exempt_reason": bill.tax_exempt_reason,
        "void_reason": bill.void_reason,
        "plans": [segment_document(segment) for segment in bill.segments],
        "subtotals": [_subtotal(section) for section in bill.sections],
        "lines": [line_document(line) for line in bill.lines],
        "unpriced": [
            {"meter": one.meter_key, "quantity": one.quantity, "unit": one.unit} for one in bill.unpriced
        ],
        "corrected_by": [
            {"id": str(public_id), "number": number or None} for public_id, number in bill.corrected_by
        ],
    }


def line_document(line: BillLine) -> dict[str, Any]:
    """One line, with its steps as stored and in words."""
    corrected = line.corrects
    return {
        "position": line.position,
        "key": line.key,
        "kind": str(line.kind),
        "group": str(line.group),
        "name": line.name,
        "sentence": line_sentence(line),
        "price": line.price_key or None,
        "plan": line.plan_key or None,
        "plan_version": line.plan_version,
        "meter": line.meter_key or None,
        "values": dict(line.values),
        "service_start": instant_text(line.service_start),
        "service_end": instant_text(line.service_end),
        "metered_quantity": None if line.metered_quantity is None else exact_text(line.metered_quantity),
        "quantity": None if line.billed_quantity is None else exact_number_text(line.billed_quantity),
        "unit": line.unit,
        "amount": money_number(line.amount),
        "price_words": price_words(line.terms) if line.terms else "",
        "terms": None if line.terms_document is None else dict(line.terms_document),
        "steps": [
            {**stored, "words": step_words(step, line)}
            for step, stored in zip(line.steps, line.step_documents, strict=True)
        ],
        "corrects": corrected
        and {
            "bill": str(corrected.bill_id),
            "number": corrected.number or None,
            "line": corrected.line_name,
            "line_position": corrected.position,
            "quantity_before": _number(corrected.quantity_before),
            "quantity_after": _number(corrected.quantity_after),
        },
    }


def segment_document(segment: PlanSegment) -> dict[str, Any]:
    """A stretch of the period on one plan version, with all its prices."""
    return {
        "start": instant_text(segment.period.start),
        "end": instant_text(segment.period.end),
        "is_add_on": segment.is_add_on,
        "policy": segment.policy,
        "counts": dict(segment.counts),
        "sheet": sheet_document(segment.sheet),
    }


def _subtotal(section: BillSection) -> dict[str, Any]:
    return {
        "group": str(section.group),
        "title": section.title,
        "meter": section.meter_key or None,
        "amount": money_number(section.subtotal),
    }


def _party(party: Party) -> dict[str, Any]:
    return {
        "name": party.name,
        "address": list(party.address),
        "tax_id": party.tax_id,
        "email": party.email,
        "reference": party.reference,
        "purchase_order": party.purchase_order,
    }


def _number(number: Any) -> str | None:
    return None if number is None else exact_number_text(number)
