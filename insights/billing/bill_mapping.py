"""Rows of invoices into bills. What a stored document does not say is left empty; what it says wrongly is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from functools import reduce
from typing import Any
from uuid import UUID

from insights.billing.basis import DraftLine
from insights.billing.bill import (
    Bill,
    BillHead,
    BillLine,
    CorrectedLine,
    Party,
    PlanSegment,
    Unpriced,
    bill_status,
)
from insights.billing.line_segment_mapping import segment_of
from insights.models import Invoice, InvoiceState, LineItem, Settlement
from insights.rating.invoice import LineKind
from insights.rating.sheet import parse_sheet
from insights.rating.terms_json import parse_terms
from insights.values.exact import EXACT, exact_number_text, parse_exact_number
from insights.values.money import Money
from insights.values.period import Period
from insights.values.step import parse_step


def head_of(
    invoice: Invoice, settlement: Settlement | None, *, now: datetime, is_filed: bool = False
) -> BillHead:
    """The bill of an invoice without its lines; its subscription must be loaded."""
    state = settlement.state if settlement else ""
    return BillHead(
        public_id=invoice.public_id,
        kind=invoice.kind,
        status=bill_status(invoice.state, state, due_at=invoice.due_at, now=now),
        number=invoice.number or "",
        currency=invoice.currency,
        period=Period(invoice.period_start, invoice.period_end),
        zone=invoice.subscription.billing_zone,
        total=Money(int(invoice.total_minor), invoice.currency),
        drafted_at=invoice.drafted_at,
        complete_to=invoice.complete_to,
        issued_at=invoice.issued_at,
        due_at=invoice.due_at,
        subscription_name=invoice.subscription.name,
        is_filed=is_filed,
    )


def bill_of(
    head: BillHead,
    invoice: Invoice,
    lines: Sequence[BillLine],
    *,
    settlement: Settlement | None,
    corrected_by: Sequence[tuple[UUID, str]],
) -> Bill:
    """The whole bill of an invoice; `corrected_by` are the ids and numbers of bills that correct it."""
    details: Mapping[str, Any] = invoice.details
    is_issued = invoice.state == InvoiceState.ISSUED
    return Bill(
        head=head,
        usage_as_of=invoice.usage_as_of,
        issue_from=invoice.issue_from,
        sha256=bytes(invoice.sha256).hex() if invoice.sha256 else "",
        seller=_party(details.get("seller") or {}),
        buyer=_party(details.get("buyer") or {}),
        segments=segments_of(details),
        lines=tuple(lines),
        unpriced=tuple(_unpriced(one) for one in details.get("unpriced") or ()),
        tax_exempt_reason=details.get("tax_exempt_reason") or "",
        void_reason=settlement.reason if settlement and settlement.state == "void" else "",
        settled_at=settlement.changed_at if settlement and is_issued else None,
        corrected_by=tuple(corrected_by),
        whole=whole_of(details, head.period),
    )


def whole_of(details: Mapping[str, Any], own: Period) -> Period:
    """The billing period that shares are taken of."""
    edges = details.get("whole")
    return Period(*(datetime.fromisoformat(edge) for edge in edges)) if edges else own


def segments_of(details: Mapping[str, Any]) -> tuple[PlanSegment, ...]:
    """The stretches of the period on one plan version each, those of add-ons last."""
    base = tuple(_segment(one, is_add_on=False) for one in details.get("segments") or ())
    return base + tuple(_segment(one, is_add_on=True) for one in details.get("add_ons") or ())


def line_of(row: LineItem, currency: str, *, meter_names: Mapping[str, str]) -> BillLine:
    """A line without what it corrects. Raises InvalidStep or InvalidTerms when what is stored is no line."""
    return BillLine(
        position=row.position,
        key=row.key,
        kind=LineKind(row.kind),
        name=row.name,
        price_key=row.price_key,
        plan_key=row.plan_key,
        plan_version=row.plan_version,
        meter_key=row.meter_key,
        meter_name=meter_names.get(row.meter_key, row.meter_key.replace("_", " ")),
        values=dict(row.values),
        service_start=row.service_start,
        service_end=row.service_end,
        metered_quantity=row.metered_quantity,
        billed_quantity=_number(row.billed_quantity),
        unit=row.unit,
        terms=None if row.terms is None else parse_terms(row.terms),
        terms_document=row.terms,
        steps=tuple(parse_step(step) for step in row.steps),
        step_documents=tuple(row.steps),
        amount=Money(int(row.amount_minor), currency),
        segment=segment_of(row.segment),
    )


def line_of_draft(draft: DraftLine, row: LineItem, currency: str) -> BillLine:
    """The same line by what was read of its row already, for those who ask for no names of meters."""
    return BillLine(
        position=row.position,
        key=draft.key,
        kind=draft.kind,
        name=draft.name,
        price_key=draft.price_key,
        plan_key=draft.plan_key,
        plan_version=draft.plan_version,
        meter_key=draft.meter_key,
        meter_name=draft.meter_key,
        values=draft.values,
        service_start=row.service_start,
        service_end=row.service_end,
        metered_quantity=draft.metered_quantity,
        billed_quantity=draft.billed_quantity,
        unit=draft.unit,
        terms=draft.terms,
        terms_document=row.terms,
        steps=draft.steps,
        step_documents=tuple(row.steps),
        amount=Money(draft.minor, currency),
        segment=draft.segment,
    )


def with_correction(line: BillLine, row: LineItem, *, earlier: Sequence[LineItem]) -> BillLine:
    """The line with what it corrects; `earlier` are the corrections of the same line before this one."""
    if row.corrects_invoice is None:
        return line
    corrected = row.corrects
    before = Fraction(0) if corrected is None else _number(corrected.billed_quantity)
    for correction in earlier:
        more = _number(correction.billed_quantity)
        before = None if before is None or more is None else before + more
    change = line.billed_quantity
    metered = _metered_before(corrected, earlier)
    return replace(
        line,
        corrects=CorrectedLine(
            bill_id=row.corrects_invoice.public_id,
            number=row.corrects_invoice.number or "",
            period=Period(row.corrects_invoice.period_start, row.corrects_invoice.period_end),
            line_name=corrected.name if corrected else line.name,
            quantity_before=before,
            quantity_after=None if before is None or change is None else before + change,
            metered_before=metered,
            metered_after=None
            if metered is None or line.metered_quantity is None
            else EXACT.add(metered, line.metered_quantity),
            position=corrected.position if corrected else None,
        ),
    )


def _metered_before(corrected: LineItem | None, earlier: Sequence[LineItem]) -> Decimal | None:
    """What was metered for a line when it was last billed: on its own bill, and by the corrections since."""
    quantities = [Decimal(0) if corrected is None else corrected.metered_quantity]
    quantities += [correction.metered_quantity for correction in earlier]
    known = [quantity for quantity in quantities if quantity is not None]
    return reduce(EXACT.add, known) if len(known) == len(quantities) else None


def quantity_text(number: Fraction | None) -> str:
    """A quantity for a file: exact, as it is stored; empty for none."""
    return "" if number is None else exact_number_text(number)


def _number(text: str) -> Fraction | None:
    return parse_exact_number(text) if text else None


def _party(stored: Mapping[str, Any]) -> Party:
    name = stored.get("company_name") or stored.get("name") or ""
    return Party(
        name=name,
        address=tuple(part.strip() for part in (stored.get("address") or "").splitlines() if part.strip()),
        tax_id=stored.get("tax_id") or "",
        email=stored.get("email") or "",
        reference=stored.get("reference") or "",
        purchase_order=stored.get("purchase_order") or "",
    )


def _segment(stored: Mapping[str, Any], *, is_add_on: bool) -> PlanSegment:
    return PlanSegment(
        period=Period(datetime.fromisoformat(stored["start"]), datetime.fromisoformat(stored["end"])),
        policy=stored.get("policy") or "",
        sheet=parse_sheet(stored["sheet"]),
        counts={key: str(count) for key, count in (stored.get("counts") or {}).items()},
        is_add_on=is_add_on,
    )


def _unpriced(stored: Mapping[str, Any]) -> Unpriced:
    return Unpriced(
        meter_key=stored["meter_key"], quantity=str(stored["quantity"]), unit=stored.get("unit") or ""
    )
