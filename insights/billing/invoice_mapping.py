"""Invoices and lines between rows and the facts that billing works on, and the text that an invoice's hash is of."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any, TypeVar

from insights.billing.basis import CreditOffer, DraftLine, ServiceSegment, StoredLine
from insights.billing.bulk_operations import json_text
from insights.billing.line_segment_mapping import segment_document, segment_of
from insights.models import Invoice, LineItem
from insights.rating.credits import Credit
from insights.rating.invoice import LineKind
from insights.rating.plan_change import ChangePolicy
from insights.rating.sheet import PriceSheet, parse_sheet, sheet_document
from insights.rating.terms_json import parse_terms, terms_document
from insights.values.exact import exact_number_text, parse_exact_number
from insights.values.period import Period
from insights.values.quantity import exact_text
from insights.values.step import parse_step, step_document

# Part of the text that is hashed: another form gives another hash for the same invoice.
_HASH_VERSION = 2

Thing = TypeVar("Thing")
Made = TypeVar("Made")


class Documents:
    """Documents of what many invoices share, each made once. They are only written out, never changed."""

    def __init__(self) -> None:
        self.terms = _by_identity(terms_document)
        self.segments = _by_identity(_segments_text)


def _by_identity(make: Callable[[Thing], Made]) -> Callable[[Thing], Made]:
    """The document by the very object: prices are large, so that comparing them takes longer than writing one out."""
    # The object is kept beside its document, so that no other one gets its identity meanwhile.
    made: dict[int, tuple[Thing, Made]] = {}

    def document(thing: Thing) -> Made:
        known = made.get(id(thing))
        if known is None:
            known = made[id(thing)] = (thing, make(thing))
        return known[1]

    return document


# The columns of a line, in the order of `line_values`, and those of them whose values many lines share.
LINE_COLUMNS = (
    "key", "kind", "name", "price_key", "plan_key", "plan_version", "meter_key", "meter_version", "values",
    "service_start", "service_end", "metered_quantity", "billed_quantity", "unit", "terms", "segment", "steps",
    "allotted", "taxes", "takes_credit", "amount_minor", "corrects_id", "corrects_invoice_id",
)  # fmt: skip
SHARED_LINE_COLUMNS = ("terms", "segment", "service_start", "service_end")


def line_values(line: DraftLine, documents: Documents) -> tuple[Any, ...]:
    """What a row keeps of a line, with everything that its amount follows from, in the order of LINE_COLUMNS."""
    return (
        line.key,
        line.kind.value,
        line.name,
        line.price_key,
        line.plan_key,
        line.plan_version,
        line.meter_key,
        line.meter_version,
        line.values,
        line.service.start,
        line.service.end,
        line.metered_quantity,
        "" if line.billed_quantity is None else exact_number_text(line.billed_quantity),
        line.unit,
        None if line.terms is None else documents.terms(line.terms),
        segment_document(line.segment),
        [step_document(step) for step in line.steps],
        line.allotted,
        line.taxes,
        line.takes_credit,
        Decimal(line.minor),
        line.corrects_id,
        line.corrects_invoice_id,
    )


def line_of(row: LineItem) -> DraftLine:
    """The line that a row keeps."""
    return DraftLine(
        key=row.key,
        kind=LineKind(row.kind),
        name=row.name,
        service=Period(row.service_start, row.service_end),
        minor=int(row.amount_minor),
        price_key=row.price_key,
        plan_key=row.plan_key,
        plan_version=row.plan_version,
        meter_key=row.meter_key,
        meter_version=row.meter_version,
        values=row.values,
        metered_quantity=row.metered_quantity,
        billed_quantity=parse_exact_number(row.billed_quantity) if row.billed_quantity else None,
        unit=row.unit,
        terms=None if row.terms is None else parse_terms(row.terms),
        segment=segment_of(row.segment),
        steps=tuple(parse_step(step) for step in row.steps),
        allotted=row.allotted,
        taxes=tuple(row.taxes),
        takes_credit=row.takes_credit,
        corrects_id=row.corrects_id,
        corrects_invoice_id=row.corrects_invoice_id,
    )


def stored_line(row: LineItem, number: str) -> StoredLine:
    """A line with its id and its invoice's number, empty for a draft's."""
    return StoredLine(id=row.pk, invoice_id=row.invoice_id, invoice_number=number, line=line_of(row))


def _segments_text(segments: Sequence[ServiceSegment]) -> str:
    """Two fields of an invoice's details: its plans, and the add-ons beside them."""
    plans = segments_document(segment for segment in segments if segment.add_on_id is None)
    add_ons = segments_document(segment for segment in segments if segment.add_on_id is not None)
    return f'"segments":{json_text(plans)},"add_ons":{json_text(add_ons)}'


def segments_document(segments: Iterable[ServiceSegment]) -> list[dict[str, Any]]:
    """The plans of an invoice with all their prices, so that it can be rated again years later."""
    return [
        {
            "start": segment.service.start.isoformat(),
            "end": segment.service.end.isoformat(),
            "policy": segment.policy.value,
            "counts": {key: exact_text(count) for key, count in segment.counts.items()},
            "is_first": segment.is_first,
            "add_on_id": segment.add_on_id,
            "sheet": sheet_document(segment.sheet),
        }
        for segment in segments
    ]


def segments_of(document: Iterable[Mapping[str, Any]]) -> tuple[ServiceSegment, ...]:
    """The plans stored by `segments_document`."""
    return tuple(segment_with_sheet(each, parse_sheet(each["sheet"])) for each in document)


def segment_with_sheet(document: Mapping[str, Any], sheet: PriceSheet) -> ServiceSegment:
    """One of these plans, whose sheet is read already."""
    return ServiceSegment(
        service=Period(datetime.fromisoformat(document["start"]), datetime.fromisoformat(document["end"])),
        sheet=sheet,
        policy=ChangePolicy(document["policy"]),
        counts={key: Decimal(text) for key, text in document["counts"].items()},
        is_first=document["is_first"],
        add_on_id=document["add_on_id"],
    )


def credits_document(offers: Iterable[CreditOffer]) -> list[dict[str, Any]]:
    """The credits as they stood when the invoice was made."""
    return [
        {
            "key": offer.credit.key,
            "name": offer.name,
            "kind": offer.kind,
            "grant_id": offer.grant_id,
            "remaining_minor": offer.credit.remaining_minor,
            "granted_at": offer.credit.granted_at.isoformat(),
            "expires_at": offer.credit.expires_at and offer.credit.expires_at.isoformat(),
            "priority": offer.credit.priority,
            "covers": None if offer.credit.covers is None else sorted(offer.credit.covers),
            "is_before_tax": offer.credit.is_before_tax,
        }
        for offer in offers
    ]


def credits_of(document: Iterable[Mapping[str, Any]]) -> tuple[CreditOffer, ...]:
    """The credits stored by `credits_document`."""
    return tuple(
        CreditOffer(
            name=each["name"],
            kind=each["kind"],
            grant_id=each["grant_id"],
            credit=Credit(
                key=each["key"],
                name=each["name"],
                remaining_minor=each["remaining_minor"],
                granted_at=datetime.fromisoformat(each["granted_at"]),
                expires_at=each["expires_at"] and datetime.fromisoformat(each["expires_at"]),
                priority=each["priority"],
                covers=None if each["covers"] is None else frozenset(each["covers"]),
                is_before_tax=each["is_before_tax"],
            ),
        )
        for each in document
    )


# Ids of rows say nothing outside the database: a correction is named by its key, a seller by what it prints.
_INVOICE_FIELDS = (
    "public_id", "kind", "operation", "period_start", "period_end", "currency", "total_minor", "usage_as_of",
    "complete_to", "number", "number_in_series", "issued_at", "due_at",
)  # fmt: skip
_LINE_FIELDS = (
    "position", "key", "kind", "name", "price_key", "plan_key", "plan_version", "meter_key", "meter_version",
    "values", "service_start", "service_end", "metered_quantity", "billed_quantity", "unit", "terms", "segment",
    "steps", "allotted", "taxes", "takes_credit", "amount_minor",
)  # fmt: skip
_DETAILS_OF_ROWS = ("corrected", "uncorrected", "credit_uses")
_CREDITS_OF_ROWS = ("grant_id",)


def invoice_text(invoice: Invoice, lines: Sequence[LineItem]) -> bytes:
    """The one text of everything an issued invoice says; keys in order, numbers as text, no ids of rows.

    What the invoice's hash is of, and what the proof of a bill contains of it.
    """
    document = {
        "version": _HASH_VERSION,
        "invoice": {name: _plain(getattr(invoice, name)) for name in _INVOICE_FIELDS}
        | {"details": _details_outside(invoice.details)},
        "lines": [{name: _plain(getattr(line, name)) for name in _LINE_FIELDS} for line in lines],
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def invoice_hash(invoice: Invoice, lines: Sequence[LineItem]) -> bytes:
    """SHA-256 of the text of an issued invoice."""
    return sha256(invoice_text(invoice, lines)).digest()


def _details_outside(details: Mapping[str, Any]) -> dict[str, Any]:
    """The details without the ids of rows."""
    kept = {name: value for name, value in details.items() if name not in _DETAILS_OF_ROWS}
    offers = details.get("credits", ())
    kept["credits"] = [
        {name: value for name, value in offer.items() if name not in _CREDITS_OF_ROWS} for offer in offers
    ]
    return kept


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return exact_text(value)
    if isinstance(value, datetime):
        # Which offset an instant comes back with from the database says nothing.
        return value.astimezone(UTC).isoformat()
    return value if value is None or isinstance(value, str | int | bool | list | dict) else str(value)
