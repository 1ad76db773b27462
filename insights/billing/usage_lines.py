"""Lines for usage: each price, each dimension value and each segment of the period has one.

Where a meter got another version in a segment, each that was used has one, and they add to what all would as one.

Every quantity metered in a segment goes into exactly one line, or is named as usage without a price.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import groupby

from insights.billing.basis import (
    DraftLine,
    MeterOfBill,
    Problem,
    ServiceSegment,
    Unpriced,
    counted_meters,
    line_key,
    name_totals,
)
from insights.rating.invoice import LineKind
from insights.rating.matrix import CATCH_ALL, split_by_cell
from insights.rating.plan_change import ChangePolicy, PlanSegment, rate_and_place_segments
from insights.rating.rate import RatedLine, Segment, UnableToRate, Usage, rate_line
from insights.rating.sheet import SheetPrice
from insights.rating.terms import PriceTerms
from insights.values.exact import EXACT
from insights.values.period import Period

# Quantities of one meter in one segment, by dimension values in the order of the price's matrix.
Quantities = Mapping[tuple[str, ...], Decimal]
# By the number of the segment and the id of the meter's version.
MeteredUsage = Mapping[tuple[int, int], Quantities]
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageLines:
    """The lines, what no price names, what percentages alone count, and what was not rated, with keys of its prices."""

    lines: tuple[DraftLine, ...]
    unpriced: tuple[Unpriced, ...] = ()
    counted: tuple[Unpriced, ...] = ()
    problems: tuple[Problem, ...] = ()
    unrated: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """One segment's part of a chain: its price, its terms and what was metered by one version of the meter."""

    number: int
    meter: MeterOfBill
    segment: ServiceSegment
    price: SheetPrice
    terms: PriceTerms
    usage: Usage


# A chain is what usage of one meter, in one unit and with one set of values, goes through, plan after plan.
_ChainKey = tuple[str, str, tuple[str, ...], tuple[str, ...]]


def usage_lines(
    whole: Period,
    segments: Sequence[ServiceSegment],
    meters: Sequence[MeterOfBill],
    metered: MeteredUsage,
    *,
    taxes: tuple[str, ...],
) -> UsageLines:
    """Rate everything metered in the segments of one billing period; `whole` is what shares are taken of."""
    chains: dict[_ChainKey, list[_Place]] = {}
    unpriced: dict[int, Decimal] = {}
    counted: dict[int, Decimal] = {}
    problems: list[Problem] = []
    unrated: set[str] = set()
    for number, segment in enumerate(segments):
        for meter in meters:
            found = metered.get((number, meter.id), {})
            price = price_for(segment, meter)
            if price is None:
                if total := sum(found.values(), _ZERO):
                    # What a plan before or after counts is without a price here all the same.
                    place = counted if meter.key in counted_meters([segment]) else unpriced
                    place[meter.id] = EXACT.add(place.get(meter.id, _ZERO), total)
                continue
            try:
                for key, of_chain in _places(number, segment, meter, price, found, meters, metered):
                    chains.setdefault(key, []).append(of_chain)
            except UnableToRate as error:
                unrated.add(price.key)
                problems.append(Problem(code="unable_to_rate", message=f"{price.name}: {error}."))
    of_id = {meter.id: meter for meter in meters}
    lines: list[DraftLine] = []
    for key, chain in chains.items():
        if not _is_due(key, chain):
            continue
        try:
            lines += _lines_of_chain(whole, segments, key, chain, taxes)
        except UnableToRate as error:
            unrated |= {place.price.key for place in chain}
            problems.append(Problem(code="unable_to_rate", message=f"{chain[0].price.name}: {error}."))
    return UsageLines(
        lines=tuple(_in_order(lines, segments)),
        unpriced=name_totals(unpriced, of_id),
        counted=name_totals(counted, of_id),
        problems=tuple(problems),
        unrated=frozenset(unrated),
    )


def usage_line_key(number: int, price_key: str, meter_version: int, values: tuple[str, ...]) -> str:
    """The name of the line for a price in the segment of this number, for one version of a meter and one cell."""
    return line_key("usage", str(number), price_key, str(meter_version), *values)


def _is_due(key: _ChainKey, chain: Sequence[_Place]) -> bool:
    """A value that was used in one segment has its place in all of them, or a change would give it whole tiers."""
    return _values_of(key) == CATCH_ALL or any(place.usage.quantity for place in chain)


def _values_of(key: _ChainKey) -> tuple[str, ...]:
    return key[3]


def price_for(segment: ServiceSegment, meter: MeterOfBill) -> SheetPrice | None:
    """The price whose meter and unit are those of this version; another unit is another thing."""
    price = segment.sheet.by_meter.get(meter.key)
    return price if price is not None and price.units <= {meter.unit} else None


def _places(
    number: int,
    segment: ServiceSegment,
    meter: MeterOfBill,
    price: SheetPrice,
    found: Quantities,
    meters: Sequence[MeterOfBill],
    metered: MeteredUsage,
) -> Iterator[tuple[_ChainKey, _Place]]:
    if price.matrix is None:
        total = sum(found.values(), _ZERO)
        if price.terms is not None and (total or meter_is_current(meter, meters, segment.service.end)):
            usage = Usage(total, _count(price.terms, number, meters, metered))
            place = _Place(
                number=number, meter=meter, segment=segment, price=price, terms=price.terms, usage=usage
            )
            yield (meter.key, meter.unit, (), CATCH_ALL), place
        return
    names = price.matrix.dimensions
    is_current = meter_is_current(meter, meters, segment.service.end)
    quantities = split_by_cell(
        price.matrix,
        ((dict(zip(names, values, strict=True)), quantity) for values, quantity in found.items() if quantity),
    )
    for values, quantity in quantities.items():
        terms = price.matrix.terms_of(values)
        if terms is not None and (quantity or is_current):
            place = _Place(
                number=number, meter=meter, segment=segment, price=price, terms=terms, usage=Usage(quantity)
            )
            yield (meter.key, meter.unit, names if values else (), values), place


def meter_is_current(meter: MeterOfBill, meters: Sequence[MeterOfBill], at: datetime) -> bool:
    """Whether this version of the meter is in force up to the instant; it has a line though nothing was used.

    A version that follows later changes nothing of that, so a period that is rated again has the same lines.
    """
    versions = [other for other in meters if other.key == meter.key]
    open_then = [other.version for other in versions if other.retired_at is None or other.retired_at >= at]
    return meter.version == (min(open_then) if open_then else max(other.version for other in versions))


def _count(terms: PriceTerms, number: int, meters: Sequence[MeterOfBill], metered: MeteredUsage) -> Decimal:
    name = getattr(terms.charge, "count_meter", "")
    if not name:
        return _ZERO
    counted = [metered.get((number, meter.id), {}) for meter in meters if meter.key == name]
    return sum((quantity for found in counted for quantity in found.values()), _ZERO)


def _lines_of_chain(
    whole: Period,
    segments: Sequence[ServiceSegment],
    key: _ChainKey,
    chain: Sequence[_Place],
    taxes: tuple[str, ...],
) -> Iterator[DraftLine]:
    by_segment = [_used(list(places)) for _, places in groupby(chain, key=lambda place: place.number)]
    for run in _contiguous(by_segment):
        rated = rate_and_place_segments(
            whole,
            [
                PlanSegment(
                    service=versions[0].segment.service,
                    terms=versions[0].terms,
                    usage=_together(versions),
                    opened_by=versions[0].segment.policy,
                )
                for versions in run
            ],
            closed_by=_policy_behind(segments, run[-1][0].number),
        )
        for versions, (line, segment) in zip(run, rated, strict=True):
            if len(versions) > 1:
                yield from _lines_of_versions(key, versions, segment, taxes)
            elif _values_of(key) == CATCH_ALL or line.metered_quantity or line.steps:
                # Of a value, a segment in which it was not used and costs nothing says nothing.
                yield _usage_line(key, versions[0], line, segment, taxes)


def _policy_behind(segments: Sequence[ServiceSegment], number: int) -> ChangePolicy:
    """The policy of the change that ends a segment; one on which the period ends is ended by none."""
    following = segments[number + 1 : number + 2]
    return following[0].policy if following else ChangePolicy.RESTART


def _used(versions: Sequence[_Place]) -> Sequence[_Place]:
    """The versions of a meter that were used, the older first; one if none was."""
    in_order = sorted(versions, key=lambda place: place.meter.version)
    return [place for place in in_order if place.usage.quantity] or in_order[-1:]


def _together(versions: Sequence[_Place]) -> Usage:
    """What was metered by all versions; each knows the whole count that a percentage takes."""
    return Usage(sum((place.usage.quantity for place in versions), _ZERO), versions[0].usage.count)


def _lines_of_versions(
    key: _ChainKey, versions: Sequence[_Place], segment: Segment, taxes: tuple[str, ...]
) -> Iterator[DraftLine]:
    """Each version's line as what it adds to the older ones': no tier, included usage or flat amount is had twice."""
    before: Usage | None = None
    for place in versions:
        usage = place.usage if before is None else Usage(place.usage.quantity)
        line = rate_line(place.terms, usage, already_rated=before, segment=segment)
        yield _usage_line(key, place, line, segment, taxes)
        before = usage if before is None else before + usage


def _contiguous(by_segment: Sequence[Sequence[_Place]]) -> Iterator[list[Sequence[_Place]]]:
    """Stretches without a hole: where a plan in between had no such price, tiers begin anew."""
    run: list[Sequence[_Place]] = []
    for versions in by_segment:
        if run and run[-1][0].segment.service.end != versions[0].segment.service.start:
            yield run
            run = []
        run.append(versions)
    if run:
        yield run


def _usage_line(
    key: _ChainKey,
    place: _Place,
    rated: RatedLine,
    segment: Segment,
    taxes: tuple[str, ...],
) -> DraftLine:
    _, _, names, values = key
    meter, price, sheet = place.meter, place.price, place.segment.sheet
    return DraftLine(
        key=usage_line_key(place.number, price.key, meter.version, values),
        kind=LineKind.CHARGE,
        name=price.name,
        service=place.segment.service,
        minor=rated.amount.minor,
        price_key=price.key,
        plan_key=sheet.plan_key,
        plan_version=sheet.version,
        meter_key=meter.key,
        meter_version=meter.version,
        values=dict(zip(names, values, strict=True)),
        metered_quantity=rated.metered_quantity,
        billed_quantity=rated.billed_quantity,
        unit=place.terms.priced_unit,
        terms=place.terms,
        segment=segment,
        steps=rated.steps,
        taxes=taxes if price.is_taxable else (),
        takes_credit=price.takes_credit,
    )


def _in_order(lines: Sequence[DraftLine], segments: Sequence[ServiceSegment]) -> list[DraftLine]:
    """As the plan lists its prices; the segments of one price stand together, in the order of time."""
    order: dict[str, int] = {}
    for segment in segments:
        for price in segment.sheet.prices:
            order.setdefault(price.key, len(order))
    return sorted(
        lines, key=lambda line: (order[line.price_key], sorted(line.values.items()), line.service.start)
    )
