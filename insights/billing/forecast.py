"""What a running bill comes to at its period's end, with a band. Pure; how often it held is `band_history.py`.

Quantities are looked ahead by `scenarios/forecast.py` and rated as a draft by the function that rates a stored bill
again, with its own fees, corrections, credits and taxes: with the quantities that it has, it comes to what it says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, tzinfo
from decimal import Decimal
from fractions import Fraction

from insights.billing.basis import Basis, IssuedBill, MeterOfBill, ServiceSegment, counted_meters
from insights.billing.billed_quantities import billed_quantities, rest_of
from insights.billing.corrections import rate_again
from insights.billing.usage_lines import Quantities
from insights.scenarios.forecast import Growth, Outlook, Weeks, last_weeks, look_ahead
from insights.values.exact import EXACT
from insights.values.money import Money, split
from insights.values.period import Period, local_day, start_of_day

_ZERO = Decimal(0)
_PLACES = 9
# Enough to see the bend of tiers; each is the whole bill rated once.
_POINTS_MAX = 8
_INSTANT = timedelta(microseconds=1)
_ONE_DAY = timedelta(days=1)
Metered = dict[tuple[int, int], Quantities]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterDays:
    """All that is known of a meter by local day, over its versions of one unit, and how its days make a period."""

    growth: Growth
    days: Mapping[date, Decimal]

    @property
    def since(self) -> date | None:
        """The first day with usage."""
        return min(self.days, default=None)

    def between(self, first: date, end: date) -> Decimal:
        """What the days of a stretch come to."""
        days = (first + number * _ONE_DAY for number in range((end - first).days))
        known = [day for day in days if day in self.days]
        match self.growth:
            case Growth.ADDED:
                total = _ZERO
                for day in known:
                    total = EXACT.add(total, self.days[day])
                return total
            case Growth.LARGEST:
                return max((self.days[day] for day in known), default=_ZERO)
            case Growth.LAST:
                return self.days[known[-1]] if known else _ZERO


# By the key of a meter and its unit, which a price is for.
Histories = Mapping[tuple[str, str], MeterDays]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterForecast:
    """A meter's quantity in the whole period so far and at its end, in the meter's unit."""

    key: str
    name: str
    unit: str
    used: Decimal
    outlook: Outlook


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningPoint:
    """What the bill had come to by the end of a day."""

    day: date
    amount: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class BillForecast:
    """What a bill comes to at its period's end. `until` is the first day that is not complete, `end` the day after.

    `too_new` names meters that began too recently; then there is no forecast. Of `tested` closed periods `hits` ended
    inside the band that the method gave at the same point.
    """

    until: date
    end: date
    so_far: Money
    low: Money
    expected: Money
    high: Money
    meters: tuple[MeterForecast, ...] = ()
    running: tuple[RunningPoint, ...] = ()
    too_new: tuple[str, ...] = ()
    hits: int = 0
    tested: int = 0

    @property
    def last_day(self) -> date:
        """The last day of the period."""
        return self.end - _ONE_DAY

    @property
    def is_known(self) -> bool:
        """Whether there is enough history to say anything."""
        return not self.too_new


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospect:
    """A bill whose end is looked for: its lines with all that they follow from, its meters, and the zone of days.

    Where open days are not known, the bill is looked at as if each day ended with nothing begun.
    """

    bill: IssuedBill
    currency: str
    meters: tuple[MeterOfBill, ...]
    histories: Histories
    zone: tzinfo
    knows_open_days: bool = True

    @property
    def first(self) -> date:
        """The first day of the period."""
        return days_of_period(self.bill.period, self.zone)[0]

    @property
    def end(self) -> date:
        """The day after the last of the period."""
        return days_of_period(self.bill.period, self.zone)[1]


def days_of_period(period: Period, zone: tzinfo) -> tuple[date, date]:
    """The first day of a period and the day after its last."""
    return local_day(period.start, zone), local_day(period.end - _INSTANT, zone) + _ONE_DAY


class TooNew(Exception):
    """Meters began too recently to be looked ahead; their names."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(", ".join(names))
        self.names = tuple(names)


def forecast_bill(prospect: Prospect, *, until: date) -> BillForecast:
    """The forecast of a running bill whose days before `until` are complete."""
    used = billed_quantities(prospect.bill, prospect.meters)
    so_far = Money(max(sum(stored.line.minor for stored in prospect.bill.lines), 0), prospect.currency)
    try:
        low, expected, high, meters = look_ahead_all(prospect, used, until)
    except TooNew as error:
        return BillForecast(
            until=until, end=prospect.end, so_far=so_far, low=so_far, expected=so_far, high=so_far,
            too_new=error.names,
        )  # fmt: skip
    totals = [total_of(prospect, metered) for metered in (low, expected, high)]
    return BillForecast(
        until=until,
        end=prospect.end,
        so_far=so_far,
        low=min(totals, key=_minor),
        expected=totals[1],
        high=max(totals, key=_minor),
        meters=meters,
    )


def _minor(money: Money) -> int:
    return money.minor


# --- Quantities --------------------------------------------------------------------------------------
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


# --- Amounts -----------------------------------------------------------------------------------------
def total_of(prospect: Prospect, metered: Metered) -> Money:
    """What the bill comes to with these quantities; what is below zero is carried, so that it comes to nothing."""
    bill = prospect.bill
    basis = Basis(
        account_id=0,
        subscription_id=0,
        zone="UTC",
        currency=prospect.currency,
        whole=bill.whole,
        service=bill.period,
        segments=bill.segments,
        taxes=bill.taxes,
        credits=bill.credits,
    )
    lines = rate_again(basis, bill, prospect.meters, metered).lines
    return Money(max(sum(line.minor for line in lines), 0), prospect.currency)


def running_amounts(prospect: Prospect, *, until: date) -> tuple[RunningPoint, ...]:
    """What the bill had come to by the end of up to eight complete days, by the days as they are known now."""
    used = billed_quantities(prospect.bill, prospect.meters)
    count = (until - prospect.first).days
    step = max(-(-count // _POINTS_MAX), 1)
    days = [until - number * _ONE_DAY for number in range(1, count + 1, step)][::-1]
    return tuple(
        RunningPoint(day=day, amount=total_of(prospect, as_of_day(prospect, used, day + _ONE_DAY)))
        for day in days
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
