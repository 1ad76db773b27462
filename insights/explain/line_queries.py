"""Reads what stands behind one line of a bill and puts its proof together; inside the account's scope.

Everything is read as known at the position that the bill was made at, and once more as known now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from accounts.models import Account
from insights.billing.bill import Bill, BillLine
from insights.explain.day_stack import VALUES_STACKED, DayStack, StackedValue, stack_days
from insights.explain.line_proof import (
    DayPart,
    Dimension,
    LineProof,
    Recheck,
    change_of_days,
    cost_of_days,
    cost_of_values,
    recheck_line,
)
from insights.explain.line_reading_queries import LineRead, find_line
from insights.metering.aggregations import adds_over_time, adds_up, settled
from insights.metering.archived_queries import list_archived_months
from insights.metering.line_usage_queries import (
    NOW,
    DayUsage,
    LineScope,
    LineSeries,
    LineUsage,
    last_instant,
    read_days_of_lines,
    read_line_by_series,
    read_line_days,
    read_line_total,
    read_line_usage,
)
from insights.models import Invoice, InvoiceState, Settlement, SettlementState
from insights.rating.invoice import LineKind
from insights.rating.rate import Usage
from insights.rating.terms import PriceTerms
from insights.values.exact import EXACT

ZERO = Decimal(0)


def prove_line(account: Account, bill: Bill, *, position: int, now: datetime) -> LineProof | None:
    """Everything behind one line of a bill, or None where the bill has no such line."""
    read = find_line(account, bill, position=position)
    return None if read is None else _prove(account, bill, read, now)


def prove_line_by_value(
    account: Account, bill: Bill, *, position: int, now: datetime
) -> tuple[LineProof, DayStack | None] | None:
    """The same for a page that draws it, with its days by the values of the first dimension that splits the line."""
    read = find_line(account, bill, position=position)
    if read is None:
        return None
    proof = _prove(account, bill, read, now)
    return proof, _stack(read, proof, until=last_instant(read.draft.service, now))


def _stack(read: LineRead, proof: LineProof, *, until: datetime) -> DayStack | None:
    """None where no dimension has several values, or their quantities do not add to days."""
    scope = read.scope
    if scope is None or not proof.adds_over_time:
        return None
    split = (one for one in proof.dimensions if len(one.values) > 1 and adds_up(scope.meter, one.name))
    dimension = next(split, None)
    if dimension is None:
        return None
    shown = dimension.shown(VALUES_STACKED)
    named = {part.value for part in shown if not part.is_rest}
    of_value: dict[str | None, list[LineSeries]] = {}
    for one in scope.series:
        value = one.dimensions.get(dimension.name, "")
        of_value.setdefault(value if value in named else None, []).append(one)
    scopes = [scope.of(of_value[None if part.is_rest else part.value]) for part in shown]
    days = read_days_of_lines(scopes, position=read.position, until=until)
    values = [
        StackedValue(part, {day.slot: day.quantity for day in found})
        for part, found in zip(shown, days, strict=True)
    ]
    return stack_days(dimension.name, values, proof.days)


def _prove(account: Account, bill: Bill, read: LineRead, now: datetime) -> LineProof:
    proof = LineProof(line=read.line, neighbours=_neighbours(bill, read.line))
    if read.scope is None or read.draft.terms is None:
        return proof
    meter = read.scope.meter
    proof = replace(
        proof,
        meter_unit=read.draft.terms.unit,
        adds_over_time=adds_over_time(meter.aggregation),
        is_archived=bool(list_archived_months(account, read.draft.service)),
    )
    until = last_instant(read.draft.service, now)
    if read.draft.kind is LineKind.CORRECTION:
        return replace(proof, days=read_changed_days(account, read, until=until))
    usage = read_line_usage(read.scope, position=read.position, until=until)
    counted = read_line_usage(read.counted, position=read.position, until=until) if read.counted else None
    return replace(
        proof,
        days=_with_costs(read, usage.days, counts=counted.days if counted else ()),
        dimensions=_dimensions(read, usage),
        recheck=_recheck(read, read.draft.terms, usage, counted),
    )


def _neighbours(bill: Bill, line: BillLine) -> tuple[BillLine, ...]:
    """The other lines of the same price, where the plan changed or the price is by dimension value."""
    if not line.price_key:
        return ()
    return tuple(
        other
        for other in bill.lines
        if other.position != line.position
        and other.kind is line.kind
        and (other.price_key, other.meter_key) == (line.price_key, line.meter_key)
    )


def read_days(read: LineRead, *, until: datetime, position: int | None = None) -> tuple[DayPart, ...]:
    """The days of a line that begin before the instant, with amounts where it can be parted; as known at its position.

    Another position is for what was known before a correction.
    """
    if read.scope is None:
        return ()
    known = read.position if position is None else position
    usage = read_line_days(read.scope, position=known, until=until)
    return _days_of(read, usage, until=until, position=known)


def read_days_together(reads: Sequence[LineRead], *, until: datetime) -> tuple[tuple[DayPart, ...], ...]:
    """The same of lines of one bill that are for the same meter and time, read at once."""
    scopes = [read.scope for read in reads if read.scope is not None]
    if len(scopes) < len(reads):
        return tuple(read_days(read, until=until) for read in reads)
    usages = read_days_of_lines(scopes, position=reads[0].position, until=until)
    return tuple(
        _days_of(read, usage, until=until, position=read.position)
        for read, usage in zip(reads, usages, strict=True)
    )


def _days_of(
    read: LineRead, usage: Sequence[DayUsage], *, until: datetime, position: int
) -> tuple[DayPart, ...]:
    counts = read_line_days(read.counted, position=position, until=until) if read.counted else ()
    return _with_costs(read, usage, counts=counts)


def _with_costs(
    read: LineRead, usage: Sequence[DayUsage], *, counts: Sequence[DayUsage]
) -> tuple[DayPart, ...]:
    terms = read.draft.terms
    if read.scope is None or terms is None or not adds_over_time(read.scope.meter.aggregation):
        return tuple(DayPart(*day) for day in usage)
    return cost_of_days(
        usage,
        terms=terms,
        segment=read.draft.segment,
        counts=[_or_zero(one) for one in counts],
        before=read.before,
    )


def read_changed_days(account: Account, read: LineRead, *, until: datetime) -> tuple[DayPart, ...]:
    """The days that a correction is about: those that changed since its line was rated before."""
    before = _position_before(account, read)
    return change_of_days(read_days(read, until=until, position=before), read_days(read, until=until))


def _position_before(account: Account, read: LineRead) -> int:
    """The last position at which the corrected line was rated before this bill did it again."""
    draft = read.draft
    void = Settlement.objects.for_account(account).filter(state=SettlementState.VOID).values("invoice_id")
    rated = Invoice.objects.for_account(account).filter(
        state=InvoiceState.ISSUED, lines__corrects_invoice=draft.corrects_invoice_id, lines__key=draft.key
    )
    earlier = rated.exclude(pk__in=void).filter(usage_as_of__lt=read.position)
    first = Invoice.objects.for_account(account).filter(pk=draft.corrects_invoice_id or 0)
    positions = [*earlier.values_list("usage_as_of", flat=True), *first.values_list("usage_as_of", flat=True)]
    return max(positions, default=0)


def _or_zero(usage: DayUsage) -> Decimal:
    return usage.quantity or ZERO


def _dimensions(read: LineRead, usage: LineUsage) -> tuple[Dimension, ...]:
    if read.scope is None:
        return ()
    meter = read.scope.meter
    return tuple(
        cost_of_values(name, quantities, read.line.amount, adds_up=adds_up(meter, name))
        for name, quantities in _by_values(read.scope, usage.by_series).items()
    )


def read_line_values(read: LineRead) -> dict[str, dict[str, tuple[Decimal, int]]]:
    """The quantity and number of records of a line by the values of each dimension, as known at its bill's position."""
    if read.scope is None:
        return {}
    return _by_values(read.scope, read_line_by_series(read.scope, position=read.position))


def _by_values(
    scope: LineScope, totals: Mapping[int, tuple[Decimal, int]]
) -> dict[str, dict[str, tuple[Decimal, int]]]:
    found = {}
    for name in scope.meter.dimensions:
        raw: dict[str, tuple[Decimal, int]] = {}
        for one in scope.series:
            if one.facts.id in totals:
                quantity, records = totals[one.facts.id]
                value = one.dimensions.get(name, "")
                known = raw.get(value, (ZERO, 0))
                raw[value] = EXACT.add(known[0], quantity), known[1] + records
        found[name] = {
            value: (settled(scope.meter.aggregation, quantity), records)
            for value, (quantity, records) in raw.items()
        }
    return found


def _recheck(read: LineRead, terms: PriceTerms, usage: LineUsage, counted: LineUsage | None) -> Recheck:
    now, records_now = _now(read.scope, usage)
    return recheck_line(
        read.line,
        terms=terms,
        segment=read.draft.segment,
        before=read.before,
        then=(Usage(usage.quantity, counted.quantity if counted else ZERO), usage.records),
        now=(Usage(now, _now(read.counted, counted)[0]), records_now),
    )


def _now(scope: LineScope | None, usage: LineUsage | None) -> tuple[Decimal, int]:
    """The quantity known now and its records, read only where what came since may have changed it."""
    if scope is None or usage is None:
        return ZERO, 0
    if usage.is_current:
        return usage.quantity, usage.records
    return read_line_total(scope, position=NOW)
