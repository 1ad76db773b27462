"""How much of each meter is in a bill at its period's end, and was by the end of a day: by segment and dimension value.

What a meter comes to is looked ahead by `scenarios/forecast.py`. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, tzinfo
from decimal import Decimal
from fractions import Fraction

from insights.billing.basis import MeterOfBill, ServiceSegment, counted_meters
from insights.billing.billed_quantities import rest_of
from insights.billing.prospect import MeterDays, Prospect
from insights.billing.usage_lines import Quantities
from insights.scenarios.forecast import Growth, Outlook, Weeks, last_weeks, look_ahead
from insights.values.exact import EXACT
from insights.values.money import split
from insights.values.period import local_day, start_of_day

_ZERO = Decimal(0)
_PLACES = 9
_ONE_DAY = timedelta(days=1)
Metered = dict[tuple[int, int], Quantities]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterForecast:
    """A meter's quantity in the whole period so far and at its end, in the meter's unit."""

    key: str
    name: str
    unit: str
    used: Decimal
    outlook: Outlook


class TooNew(Exception):
    """Meters began too recently to be looked ahead; their names."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(", ".join(names))
        self.names = tuple(names)


def look_ahead_all(
    prospect: Prospect, used: Metered, until: date
) -> tuple[Metered, Metered, Metered, tuple[MeterForecast, ...]]:
    """The quantities by segment and meter: at least, as expected and at most; raises TooNew."""
    low, expected, high = dict(used), dict(used), dict(used)
    meters: dict[str, MeterForecast] = {}
    too_new = _never_used(prospect) if until < prospect.end else []
    for number, segment, first, end in _stretches(prospect):
        for meter in _asked(segment, prospect.meters):
            cells = _cells(used, number, meter, prospect.meters)
            total = _sum(cells)
            known = _known_by_days(prospect, meter, segment, first, end)
            outlook = _outlook(prospect, meter, max(total, known), until, first, end)
            if outlook is None:
                too_new.append(meter.name)
                continue
            own = used.get((number, meter.id), {})
            others = EXACT.subtract(total, _sum(own))
            for metered, quantity in (
                (low, outlook.low), (expected, outlook.expected), (high, outlook.high),
            ):  # fmt: skip
                rest = max(EXACT.subtract(quantity, others), _ZERO)
                metered[number, meter.id] = _by_cells(segment, meter, own, cells, rest)
            meters[meter.key] = _with(meters.get(meter.key), meter, total, outlook)
    if too_new:
        raise TooNew(sorted(set(too_new)))
    return low, expected, high, tuple(meters.values())


def _never_used(prospect: Prospect) -> list[str]:
    """The names of all meters, where none has ever been used: that nothing will be used does not follow."""
    asked = [meter for segment in prospect.bill.segments for meter in _asked(segment, prospect.meters)]
    if any(history.since for history in prospect.histories.values()):
        return []
    return [meter.name for meter in asked]


def _stretches(prospect: Prospect) -> Iterator[tuple[int, ServiceSegment, date, date]]:
    """Each segment with its first day and the day after its last; a day that is cut is the earlier one's."""
    segments = prospect.bill.segments
    firsts = [prospect.first, *(_day_from(one.service.start, prospect.zone) for one in segments[1:])]
    for number, segment in enumerate(segments):
        end = firsts[number + 1] if number + 1 < len(segments) else prospect.end
        yield number, segment, firsts[number], end


def _day_from(instant: datetime, zone: tzinfo) -> date:
    """The first day that begins at the instant or later."""
    day = local_day(instant, zone)
    return day if start_of_day(day, zone) >= instant else day + _ONE_DAY


def _asked(segment: ServiceSegment, meters: Sequence[MeterOfBill]) -> Iterator[MeterOfBill]:
    """The newest version of each meter that the segment's plan has a price for, or counts."""
    wanted = {*segment.sheet.by_meter, *counted_meters([segment])}
    newest: dict[str, MeterOfBill] = {}
    for meter in meters:
        price = segment.sheet.by_meter.get(meter.key)
        if meter.key in wanted and (price is None or price.units <= {meter.unit}):
            newest[meter.key] = meter
    yield from newest.values()


def _cells(used: Metered, number: int, meter: MeterOfBill, meters: Sequence[MeterOfBill]) -> Quantities:
    """What all versions of the meter in its unit have in the segment, by dimension values."""
    found: dict[tuple[str, ...], Decimal] = {}
    for other in meters:
        if (other.key, other.unit) == (meter.key, meter.unit):
            for values, quantity in used.get((number, other.id), {}).items():
                found[values] = EXACT.add(found.get(values, _ZERO), quantity)
    return found


def _known_by_days(
    prospect: Prospect, meter: MeterOfBill, segment: ServiceSegment, first: date, end: date
) -> Decimal:
    """What whole days say was used by now, which may be more than the draft knew; nothing where days are cut."""
    history = prospect.histories.get((meter.key, meter.unit))
    service, zone = segment.service, prospect.zone
    is_whole = (service.start, service.end) == (start_of_day(first, zone), start_of_day(end, zone))
    if history is None or not is_whole or not prospect.knows_open_days or history.growth is Growth.LAST:
        return _ZERO
    return history.between(first, end)


def _outlook(
    prospect: Prospect, meter: MeterOfBill, used: Decimal, until: date, first: date, end: date
) -> Outlook | None:
    """What the meter comes to in the stretch; None if it began too recently to say."""
    history = prospect.histories.get((meter.key, meter.unit))
    if history is None or history.since is None or end <= until:
        return Outlook.settled(used)
    weeks = _weeks(history, until)
    if weeks is None:
        return None
    begun = history.days if prospect.knows_open_days else {}
    return look_ahead(history.growth, used, begun, weeks, first=first, end=end)


def _weeks(history: MeterDays, until: date) -> Weeks | None:
    return None if history.since is None else last_weeks(history.days, since=history.since, until=until)


def _by_cells(
    segment: ServiceSegment, meter: MeterOfBill, own: Quantities, cells: Quantities, total: Decimal
) -> Quantities:
    """The total by dimension values: what is there, and what comes in the proportion of what is there."""
    price = segment.sheet.by_meter.get(meter.key)
    matrix = price.matrix if price else None
    if matrix is None:
        return {(): total}
    more = EXACT.subtract(total, _sum(own))
    weights = {values: Fraction(quantity) for values, quantity in cells.items() if quantity > 0}
    if not weights:
        place = rest_of(matrix) if matrix.catch_all else matrix.cells[0].values
        weights = {place: Fraction(1)}
    known = own if more >= 0 else {}
    parts = split(int((more if more >= 0 else total).scaleb(_PLACES, context=EXACT)), weights)
    found = dict(known)
    for values, units in parts.items():
        found[values] = EXACT.add(found.get(values, _ZERO), Decimal(units).scaleb(-_PLACES, context=EXACT))
    return found


def _sum(quantities: Quantities) -> Decimal:
    total = _ZERO
    for quantity in quantities.values():
        total = EXACT.add(total, quantity)
    return total


def _with(known: MeterForecast | None, meter: MeterOfBill, used: Decimal, outlook: Outlook) -> MeterForecast:
    """The meter over all segments so far."""
    if known is None:
        return MeterForecast(key=meter.key, name=meter.name, unit=meter.unit, used=used, outlook=outlook)
    return replace(
        known,
        used=EXACT.add(known.used, used),
        outlook=Outlook(
            low=EXACT.add(known.outlook.low, outlook.low),
            expected=EXACT.add(known.outlook.expected, outlook.expected),
            high=EXACT.add(known.outlook.high, outlook.high),
        ),
    )


def as_of_day(prospect: Prospect, used: Metered, until: date) -> Metered:
    """The quantities of the days before one, split as all of the bill is."""
    found: Metered = {}
    for number, segment, first, end in _stretches(prospect):
        for meter in _asked(segment, prospect.meters):
            history = prospect.histories.get((meter.key, meter.unit))
            total = history.between(first, min(end, until)) if history else _ZERO
            cells = _cells(used, number, meter, prospect.meters)
            found[number, meter.id] = _by_cells(segment, meter, {}, cells, max(total, _ZERO))
    return found
