"""A stored bill as scenarios take it: lines with what they were rated of, and every price of its plans. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal

from insights.billing.bill import Bill, BillLine, PlanSegment
from insights.rating.invoice import LineKind
from insights.rating.plan_change import ChangePolicy
from insights.rating.rate import WHOLE_PERIOD, Segment, Usage
from insights.scenarios.facts import BilledLine, BillFacts, OfferedPrice, Values
from insights.scenarios.ruler import PlanRuler, PlanStretch, measure_period

# How `line_key` names a line that gives back what was billed ahead.
_GIVEN_BACK = "correction:"
_NO_USAGE = Usage(Decimal(0))


def bill_facts(bill: Bill) -> BillFacts:
    """Everything that the bill's amounts follow from."""
    add_ons = frozenset(segment.sheet.plan_key for segment in bill.segments if segment.is_add_on)
    return BillFacts(
        currency=bill.head.currency,
        lines=tuple(_billed_line(line, add_ons) for line in bill.lines),
        offers=tuple(_offers(bill)),
    )


def _billed_line(line: BillLine, add_ons: frozenset[str]) -> BilledLine:
    return BilledLine(
        key=line.key,
        position=line.position,
        kind=line.kind,
        name=line.name,
        minor=line.amount.minor,
        service_start=line.service_start,
        price_key=line.price_key,
        plan_key=line.plan_key,
        meter_key=line.meter_key,
        values=_values(line.values),
        quantity=line.metered_quantity,
        terms=line.terms,
        segment=line.segment,
        steps=line.steps,
        is_add_on=line.plan_key in add_ons,
        is_given_back=line.kind is LineKind.CHARGE and line.key.startswith(_GIVEN_BACK),
    )


def _values(values: Mapping[str, str]) -> Values:
    return tuple(sorted(values.items()))


def _offers(bill: Bill) -> Iterator[OfferedPrice]:
    parts = _parts_of_period(bill)
    for segment in bill.segments:
        yield from _offers_of(segment, _part_of(segment, parts))


def _offers_of(segment: PlanSegment, part: Segment) -> Iterator[OfferedPrice]:
    for price in segment.sheet.prices:
        names = price.matrix.dimensions if price.matrix else ()
        for cell, terms in price.every_terms():
            yield OfferedPrice(
                price_key=price.key,
                plan_key=segment.sheet.plan_key,
                meter_key=price.meter_key,
                values=_values(dict(zip(names, cell, strict=True))) if cell else (),
                terms=terms,
                service_start=segment.period.start,
                name=price.name,
                segment=part,
                is_counted=price.is_counted,
                is_add_on=segment.is_add_on,
            )


def _parts_of_period(bill: Bill) -> dict[tuple[datetime, datetime], Segment]:
    """What part of the period each stretch of usage is, as its lines say."""
    return {
        (line.service_start, line.service_end): line.segment
        for line in bill.lines
        if line.kind is LineKind.CHARGE and line.meter_key
    }


def _part_of(segment: PlanSegment, parts: Mapping[tuple[datetime, datetime], Segment]) -> Segment:
    """The part that lines beside it have; where their tiers go on, its own do so from nothing."""
    part = parts.get((segment.period.start, segment.period.end), WHOLE_PERIOD)
    before = None if part.counted_before is None else _NO_USAGE
    return Segment(share=part.share, tier_share=part.tier_share, counted_before=before)


def bill_ruler(bill: Bill) -> PlanRuler | None:
    """The plans of the period in turn and what they changed; None for a bill of one plan throughout."""
    stretches = [
        PlanStretch(
            service=segment.period,
            plan_key=segment.sheet.plan_key,
            policy=ChangePolicy(segment.policy or ChangePolicy.RESTART),
            offers=tuple(_offers_of(segment, WHOLE_PERIOD)),
            counts={key: Decimal(count) for key, count in segment.counts.items()},
        )
        for segment in bill.plan_changes
    ]
    if not stretches or bill.whole is None:
        return None
    return measure_period(bill_facts(bill), bill.whole, stretches)


def plan_names(*bills: Bill) -> dict[str, str]:
    """The names of the bills' plans by their keys; of a plan that was named anew, the last one."""
    return {segment.sheet.plan_key: segment.sheet.plan_name for bill in bills for segment in bill.segments}
