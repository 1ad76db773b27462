"""Lines that were drafted and are not stored, as everybody reads lines of a bill. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from insights.billing.basis import DraftLine
from insights.billing.bill import BillLine
from insights.rating.terms_json import terms_document
from insights.values.money import Money
from insights.values.step import step_document


def bill_lines(
    lines: Iterable[DraftLine], currency: str, *, meter_names: Mapping[str, str]
) -> tuple[BillLine, ...]:
    """The lines in their order, with positions from 1."""
    return tuple(_line(number, line, currency, meter_names) for number, line in enumerate(lines, 1))


def _line(position: int, line: DraftLine, currency: str, meter_names: Mapping[str, str]) -> BillLine:
    return BillLine(
        position=position,
        key=line.key,
        kind=line.kind,
        name=line.name,
        price_key=line.price_key,
        plan_key=line.plan_key,
        plan_version=line.plan_version,
        meter_key=line.meter_key,
        meter_name=meter_names.get(line.meter_key, line.meter_key.replace("_", " ")),
        values=line.values,
        service_start=line.service.start,
        service_end=line.service.end,
        metered_quantity=line.metered_quantity,
        billed_quantity=line.billed_quantity,
        unit=line.unit,
        terms=line.terms,
        terms_document=None if line.terms is None else terms_document(line.terms),
        steps=line.steps,
        step_documents=tuple(step_document(step) for step in line.steps),
        amount=Money(line.minor, currency),
        segment=line.segment,
    )
