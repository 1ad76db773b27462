"""Reads a bill's usage as known at two positions, rates the bill with both, and pairs them; in the account's scope."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from decimal import Decimal
from functools import reduce
from zoneinfo import ZoneInfo

from accounts.models import Account
from insights.billing.basis import Basis, DraftLine, IssuedBill, MeterOfBill, ServiceSegment, counted_meters
from insights.billing.bill import Bill, BillLine
from insights.billing.corrections import rate_again
from insights.billing.issued_bill_queries import list_fees_that_came_back, load_issued_bill
from insights.billing.left_out_queries import list_left_out
from insights.billing.usage_lines import Quantities, meter_is_current, price_for, usage_line_key
from insights.billing.usage_places import find_usage_line
from insights.billing.usage_queries import meter_of_bill
from insights.billing.whole_lines import carried_line
from insights.explain.then_and_now import LineChange, Moment, Side, ThenAndNow, is_as_stored, pair_lines
from insights.metering.aggregations import MeterFacts, adds_over_time
from insights.metering.archived_queries import refuse_archived_records
from insights.metering.between import NOTHING_MOVED, Between, Moved, Place
from insights.metering.between_queries import read_moved
from insights.metering.known_moment import KnownAt
from insights.metering.known_moment_queries import last_position, settle_moment
from insights.metering.line_usage_queries import (
    LineScope,
    LineSeries,
    list_line_series,
)
from insights.metering.line_value_queries import read_line_by_values
from insights.metering.meter_queries import list_meters
from insights.metering.metered_queries import list_billed_meters
from insights.models import Invoice
from insights.rating.charges import Percentage
from insights.rating.matrix import CATCH_ALL
from insights.values.exact import EXACT

ZERO = Decimal(0)
# What a bill has to store to be rated again; one that stores less is told as it stands.
_MADE_OF = frozenset({"whole", "segments", "taxes", "credits", "unpriced"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """One meter in one segment of the bill's plans, and on which line each of its series is."""

    number: int
    scope: LineScope
    names: tuple[str, ...]
    lines: Mapping[str | None, tuple[LineSeries, ...]]
    # The lines' own quantity is what they are for; of a meter that they count beside, it is not.
    is_counted_beside: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """What a bill was made of but the usage, and where its usage is.

    `came_back` are ids of its fees that later bills took back by making it again, with the positions of these.
    """

    basis: Basis
    stored: IssuedBill
    came_back: tuple[tuple[int, int], ...]
    meters: tuple[MeterOfBill, ...]
    parts: tuple[_Part, ...]


# The key of a line, None for no line, and the series of a part that are on it.
_Keyed = tuple[str | None, _Part, tuple[LineSeries, ...]]
# Quantities by dimension values, and sums by series where they add up.
_Read = tuple[dict[tuple[str, ...], Decimal], dict[int, Decimal]]


def compare_then_and_now(account: Account, bill: Bill, *, known: KnownAt | None) -> ThenAndNow:
    """The bill at a moment, its own unless one is given, against the bill with what is known now.

    Raises UsageFilterRefused for a moment that has not been, and where records of the period are archived.
    """
    then = _moment(account, bill, known)
    now = Moment(position=max(last_position(), then.position))
    made = _made_of(account, bill)
    if made is None:
        lines = tuple(_as_it_stands(line, bill) for line in bill.lines)
        sides = [Side(moment=moment, lines=lines, raw={}) for moment in (then, now)]
        return _pair(bill, sides, (), Between(account.pk, then.position, now.position, ()), ())
    keyed = tuple((key, part, series) for part in made.parts for key, series in part.lines.items())
    places = tuple(
        Place(
            part.scope.meter.aggregation,
            part.scope.service,
            tuple(one.facts.id for one in series),
        )
        for _, part, series in keyed
    )
    between = Between(account.pk, then.position, now.position, places)
    moved = read_moved(between)
    touched = {id(part) for (_, part, _), one in zip(keyed, moved, strict=True) if one != NOTHING_MOVED}
    read_now = [_read(part, now.position) for part in made.parts]
    # Where no record came or went, what was known then is what is known now.
    read_then = [
        _read(part, then.position) if id(part) in touched else read
        for part, read in zip(made.parts, read_now, strict=True)
    ]
    # A bill that took a fee back may have been made at the very position of this one.
    is_own = then.position == bill.usage_as_of
    gone = frozenset(line for line, position in made.came_back if not is_own and position <= then.position)
    sides = [
        _side(made, then, read_then, gone),
        _side(made, now, read_now, frozenset(line for line, _ in made.came_back)),
    ]
    found = _pair(bill, sides, keyed, between, moved)
    refuse_archived_records(account, bill.head.period)
    return found


def _moment(account: Account, bill: Bill, known: KnownAt | None) -> Moment:
    """The moment asked for; a bill's own position may be above the account's last, and needs no looking up."""
    if known is None or known.asked_position == bill.usage_as_of:
        return Moment(position=bill.usage_as_of, at=bill.head.drafted_at)
    settled = settle_moment(account, known)
    return Moment(position=settled.position, at=settled.at and settled.at.astimezone(UTC))


def _as_it_stands(line: BillLine, bill: Bill) -> DraftLine:
    """A line of a bill without usage of its own, which is the same at all times."""
    return DraftLine(
        key=line.key,
        kind=line.kind,
        name=line.name,
        service=bill.head.period,
        minor=line.amount.minor,
        metered_quantity=line.metered_quantity,
        steps=line.steps,
    )


def _pair(
    bill: Bill,
    sides: Sequence[Side],
    keyed: Sequence[_Keyed],
    between: Between,
    moved: Sequence[Moved],
) -> ThenAndNow:
    """Pair the lines of both sides, each with the records that came and went on it."""
    then, now = sides
    by_key: dict[str | None, Moved] = {}
    for (key, part, _), one in zip(keyed, moved, strict=True):
        own = Moved(one.came, one.went) if part.is_counted_beside else one
        by_key[key] = by_key.get(key, NOTHING_MOVED) + own
    is_rated = then.is_whole and now.is_whole
    lines: tuple[LineChange, ...] = ()
    if is_rated:
        lines = pair_lines(
            then,
            now,
            stored={line.key: line for line in bill.lines},
            moved={key: one for key, one in by_key.items() if key is not None},
            currency=bill.head.currency,
        )
    numbers = {change.line.key: number for number, change in enumerate(lines)}
    is_own = then.moment.position == bill.usage_as_of
    return ThenAndNow(
        then=then.moment,
        now=now.moment,
        currency=bill.head.currency,
        lines=lines,
        between=between,
        places=tuple(None if key is None else numbers.get(key) for key, _, _ in keyed),
        moved=reduce(Moved.__add__, moved, NOTHING_MOVED),
        unpriced=by_key.get(None, NOTHING_MOVED),
        stored=bill.total,
        is_rated=is_rated,
        is_own=is_own,
        is_equal=not (is_own and is_rated) or is_as_stored(then.lines, bill.lines),
    )


def _made_of(account: Account, bill: Bill) -> _Made | None:
    """What a bill is rated of; None for one without usage of its own."""
    invoice = Invoice.objects.for_account(account).get(public_id=bill.head.public_id)
    if bill.head.kind != "period" or not invoice.details.keys() >= _MADE_OF:
        return None
    stored = load_issued_bill(invoice)
    meters = tuple(map(meter_of_bill, list_billed_meters()))
    left_out = list_left_out(account, invoice.details)
    return _Made(
        basis=_basis(account, bill, stored),
        stored=stored,
        came_back=list_fees_that_came_back(account.pk, stored),
        meters=meters,
        parts=tuple(_parts(account, bill, stored, meters, left_out)),
    )


def _basis(account: Account, bill: Bill, stored: IssuedBill) -> Basis:
    """What the bill was made at; everything but the usage is on it."""
    return Basis(
        account_id=account.pk,
        subscription_id=0,
        zone=bill.head.zone,
        currency=bill.head.currency,
        whole=stored.whole,
        service=stored.period,
        segments=stored.segments,
        taxes=stored.taxes,
        credits=stored.credits,
    )


def _parts(
    account: Account,
    bill: Bill,
    stored: IssuedBill,
    meters: tuple[MeterOfBill, ...],
    left_out: frozenset[int],
) -> Iterator[_Part]:
    """Every meter with usage in every segment of the bill's plans: also those that no price names."""
    plans = [segment for segment in stored.segments if segment.add_on_id is None]
    of_bill = {meter.id: meter for meter in meters}
    counted = counted_meters(plans)

    for facts in list_meters(account):
        if not facts.has_usage:
            continue
        every = list_line_series(account.pk, facts)
        series = tuple(one for one in every if one.facts.source_id not in left_out)
        for number, segment in enumerate(plans):
            scope = LineScope(account.pk, ZoneInfo(bill.head.zone), facts, segment.service, series)
            beside = _counting_line(number, segment, facts, meters) if facts.key in counted else None
            yield _part(number, segment, scope, of_bill[facts.id], beside)


def _part(
    number: int, segment: ServiceSegment, scope: LineScope, meter: MeterOfBill, counting: str | None
) -> _Part:
    price = price_for(segment, meter)
    beside = counting if price is None else None
    lines: dict[str | None, list[LineSeries]] = {}
    for one in scope.series:
        key = beside or find_usage_line(number, segment, meter, one.dimensions)
        lines.setdefault(key, []).append(one)
    return _Part(
        number=number,
        scope=scope,
        names=price.matrix.dimensions if price is not None and price.matrix is not None else (),
        lines={key: tuple(series) for key, series in lines.items()},
        is_counted_beside=beside is not None,
    )


def _counting_line(
    number: int, segment: ServiceSegment, counted: MeterFacts, meters: tuple[MeterOfBill, ...]
) -> str | None:
    """The line of a percentage that takes a fee for each count of the meter."""
    for price in segment.sheet.prices:
        if not isinstance(charge := price.terms and price.terms.charge, Percentage):
            continue
        if charge.count_meter == counted.key:
            current = (
                meter.version
                for meter in meters
                if meter.key == price.meter_key and meter_is_current(meter, meters, segment.service.end)
            )
            return usage_line_key(number, price.key, next(current, 1), CATCH_ALL)
    return None


def _read(part: _Part, position: int) -> _Read:
    return read_line_by_values(part.scope, part.names, position=position)


def _side(made: _Made, moment: Moment, read: Sequence[_Read], gone: frozenset[int]) -> Side:
    usage: dict[tuple[int, int], Quantities] = {}
    raw: dict[str, Decimal] = {}
    for part, (by_values, by_series) in zip(made.parts, read, strict=True):
        usage[part.number, part.scope.meter.id] = by_values
        if _adds_up(part):
            raw |= {
                key: reduce(EXACT.add, (by_series.get(one.facts.id, ZERO) for one in series), ZERO)
                for key, series in part.lines.items()
                if key is not None
            }
    again = rate_again(made.basis, replace(made.stored, comes_back=gone), made.meters, usage)
    total = sum(line.minor for line in again.lines)
    carried = (carried_line(made.stored.period, -total),) if total < 0 else ()
    return Side(moment=moment, lines=(*again.lines, *carried), raw=raw, is_whole=again.is_whole)


def _adds_up(part: _Part) -> bool:
    """Whether records of the part add up to the quantities of its lines."""
    aggregation = part.scope.meter.aggregation
    is_sum = adds_over_time(aggregation) and aggregation != "unique_count"
    return is_sum and not part.is_counted_beside
