"""What somebody wants to see of their usage, read strictly from a query string, written back in one order.

Refuses what it does not know: a mistyped parameter must not widen a query. Every fault has code and field.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, tzinfo
from urllib.parse import urlencode

from insights.metering.aggregations import MeterFacts
from insights.metering.faults import Fault, UsageFilterRefused
from insights.metering.known_moment import KNOWN_PARAMETERS, KnownAt, read_known
from insights.values.period import InvalidDay, Period, local_day, months_after, parse_day, period_of_days

Pairs = tuple[tuple[str, str], ...]

PRESETS = ("this-month", "last-month", "last-7-days", "last-30-days", "last-12-months")
GRANULARITIES = ("hour", "day", "month")
USAGE = "usage"
COST = "cost"
MEASURES = (USAGE, COST)
DIMENSION_PREFIX = "dimension."
SINGLE_PARAMETERS = (
    *("meter", "measure", "period", "from", "to", "granularity", "group_by", "compare", "clock"),
    *KNOWN_PARAMETERS,
)
POINTS_MAX = 5_000
# Three months, whatever they are. In groups these are more points than a chart has room for, which then takes several
# hours together.
HOURLY_DAYS_MAX = 93
GROUPS_SHOWN = 10
DIMENSION_CHARACTERS_MAX = 200
VALUES_MAX = 50
_ONE_DAY = timedelta(days=1)
_DAYS_BY_HOUR_MAX = 2
_DAYS_BY_DAY_MAX = 92


@dataclass(frozen=True, slots=True)
class UsageFilter:
    """One question about usage, or about its cost. Days are local to the account's billing zone and both included."""

    meter: MeterFacts
    preset: str
    first_day: date
    last_day: date
    granularity: str
    group_by: str
    values: tuple[tuple[str, tuple[str, ...]], ...]
    compares: bool
    clock: str
    known: KnownAt | None = None
    measure: str = USAGE

    def period(self, zone: tzinfo) -> Period:
        """The whole period asked for, as instants."""
        return period_of_days(self.first_day, self.last_day + _ONE_DAY, zone)

    def pairs(self) -> Pairs:
        """The parameters that ask this question again, in one fixed order."""
        period: Pairs = (("period", self.preset),)
        if not self.preset:
            period = (("from", self.first_day.isoformat()), ("to", self.last_day.isoformat()))
        return (
            ("meter", meter_name(self.meter)),
            *((("measure", self.measure),) if self.measure != USAGE else ()),
            *period,
            ("granularity", self.granularity),
            *((("group_by", self.group_by),) if self.group_by else ()),
            *((f"{DIMENSION_PREFIX}{key}", value) for key, values in self.values for value in values),
            *(() if self.compares else (("compare", "none"),)),
            *((("clock", self.clock),) if self.clock != "billing" else ()),
            *(self.known.pairs() if self.known else ()),
        )

    def query_string(self) -> str:
        """The canonical query string."""
        return urlencode(self.pairs())

    def permanent(self) -> UsageFilter:
        """The same question with its days written out, which means the same tomorrow."""
        return replace(self, preset="")


def meter_name(meter: MeterFacts) -> str:
    """How a query names a version of a meter: its key, and for an older version the number too."""
    return meter.key if meter.is_newest else f"{meter.key}:{meter.version}"


def parse_usage_filter(
    pairs: Iterable[tuple[str, str]],
    *,
    meters: Sequence[MeterFacts],
    zone: tzinfo,
    now: datetime,
    default_meter: str = "",
    also: frozenset[str] = frozenset(),
    from_form: bool = True,
) -> UsageFilter:
    """Read a query string. Parameters named in `also` are the caller's.

    A form sends its empty fields too, so there an empty value is an absent one; a program that sends one has lost
    what should have narrowed its question, and is refused.
    """
    given = tuple(pairs)
    faults = _faults_of_names(given, also)
    if not from_form:
        faults += _faults_of_empty_values(given, also)
    single = {name: value for name, value in given if name in SINGLE_PARAMETERS and value}
    meter = _find_meter(single.get("meter", default_meter), meters, faults)
    first, last, preset = _days(single, local_day(now, zone), faults)
    group_by = single.get("group_by", "")
    values = _dimension_values(given)
    if meter is not None:
        _check_dimensions(meter, group_by, values, faults)
    measure = single.get("measure", USAGE)
    _check_choice("measure", measure, MEASURES, faults)
    granularity = single.get("granularity", "") or _fitting_granularity(first, last, measure)
    _check_choice("granularity", granularity, granularities_of(measure), faults)
    compare = single.get("compare", "previous")
    _check_choice("compare", compare, ("previous", "none"), faults)
    clock = single.get("clock", "billing")
    _check_choice("clock", clock, ("billing", "utc"), faults)
    known = read_known(single, zone=zone, now=now, faults=faults)
    if measure == COST and known is not None:
        at = "known_at" if "known_at" in single else "position"
        faults.append(Fault("measure", at, "Cost is as it was billed, not as known at another moment."))
    if not faults:
        _check_points(first, last, granularity, faults, is_grouped=bool(group_by))
    if faults or meter is None:
        raise UsageFilterRefused(faults)
    return UsageFilter(
        *(meter, preset, first, last, granularity, group_by, values),
        compares=compare == "previous",
        clock=clock,
        known=known,
        measure=measure,
    )


def granularities_of(measure: str) -> tuple[str, ...]:
    """The steps of time that a measure has; a line of a bill has amounts of days, not of hours."""
    return GRANULARITIES if measure != COST else GRANULARITIES[1:]


def _faults_of_names(given: Sequence[tuple[str, str]], also: frozenset[str]) -> list[Fault]:
    faults: list[Fault] = []
    seen: set[tuple[str, str] | str] = set()
    for name, value in given:
        is_dimension = name.startswith(DIMENSION_PREFIX)
        if not is_dimension and name not in SINGLE_PARAMETERS and name not in also:
            faults.append(Fault("unknown_parameter", name[:80], f"There is no parameter “{name[:80]}”."))
        # A dimension may be given once for each of several values; everything else once.
        mark = (name, value) if is_dimension else name
        if mark in seen and (value or not is_dimension):
            faults.append(Fault("duplicate_parameter", name[:80], f"“{name[:80]}” was given twice."))
        seen.add(mark)
    return faults


def _faults_of_empty_values(given: Sequence[tuple[str, str]], also: frozenset[str]) -> list[Fault]:
    names = dict.fromkeys(name for name, value in given if not value and name not in also)
    return [
        Fault("parameter", name[:80], f"“{name[:80]}” is empty; leave it out or give it a value.")
        for name in names
    ]


def _find_meter(name: str, meters: Sequence[MeterFacts], faults: list[Fault]) -> MeterFacts | None:
    if not name:
        faults.append(Fault("missing_parameter", "meter", "Say which meter."))
        return None
    # The list is ordered by version, and the newest version answers to the bare key.
    named = [meter for meter in meters if name in (meter.key, f"{meter.key}:{meter.version}")]
    if not named:
        faults.append(Fault("unknown_meter", "meter", f"There is no meter “{name[:80]}”."))
        return None
    return named[-1]


def _days(single: dict[str, str], today: date, faults: list[Fault]) -> tuple[date, date, str]:
    has_dates = "from" in single or "to" in single
    preset = single.get("period", "" if has_dates else PRESETS[0])
    if not has_dates:
        _check_choice("period", preset, PRESETS, faults)
        return *_preset_days(preset, today), preset
    if "period" in single:
        faults.append(Fault("range", "period", "Give a named period or two dates, not both."))
    first = _day("from", single.get("from", ""), faults)
    last = _day("to", single.get("to", ""), faults)
    if first is None or last is None:
        return today, today, ""
    if first > last:
        faults.append(Fault("range", "from", "The first day is after the last day."))
    return first, last, ""


def _day(field: str, text: str, faults: list[Fault]) -> date | None:
    if not text:
        faults.append(
            Fault("missing_parameter", field, f"Give the {'first' if field == 'from' else 'last'} day too.")
        )
        return None
    try:
        return parse_day(text)
    except InvalidDay as fault:
        faults.append(Fault("date_format", field, f"“{text[:40]}”: {fault}."))
        return None


def _preset_days(preset: str, today: date) -> tuple[date, date]:
    month = today.replace(day=1)
    match preset:
        case "last-month":
            return months_after(month, -1), month - _ONE_DAY
        case "last-7-days":
            return today - 6 * _ONE_DAY, today
        case "last-30-days":
            return today - 29 * _ONE_DAY, today
        case "last-12-months":
            return months_after(month, -11), months_after(month, 1) - _ONE_DAY
        case _:
            return month, months_after(month, 1) - _ONE_DAY


def _dimension_values(given: Sequence[tuple[str, str]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    found: dict[str, list[str]] = {}
    for name, value in given:
        if name.startswith(DIMENSION_PREFIX) and value:
            # Stored values are in this form, so that what looks the same is the same.
            found.setdefault(name.removeprefix(DIMENSION_PREFIX), []).append(
                unicodedata.normalize("NFC", value)
            )
    return tuple((key, tuple(sorted(set(values)))) for key, values in sorted(found.items()))


def _check_dimensions(
    meter: MeterFacts, group_by: str, values: tuple[tuple[str, tuple[str, ...]], ...], faults: list[Fault]
) -> None:
    known = ", ".join(meter.dimensions) or "none"
    if group_by and group_by not in meter.dimensions:
        message = f"{meter.name} has no dimension “{group_by[:60]}”; it has: {known}."
        faults.append(Fault("unknown_dimension", "group_by", message))
    for key, chosen in values:
        field = f"{DIMENSION_PREFIX}{key[:60]}"
        if key not in meter.dimensions:
            message = f"{meter.name} has no dimension “{key[:60]}”; it has: {known}."
            faults.append(Fault("unknown_dimension", field, message))
        if len(chosen) > VALUES_MAX:
            faults.append(Fault("too_many_values", field, f"At most {VALUES_MAX} values at once."))
        if any(len(value) > DIMENSION_CHARACTERS_MAX for value in chosen):
            faults.append(Fault("field_too_long", field, f"At most {DIMENSION_CHARACTERS_MAX} characters."))
        if any(unicodedata.category(character)[0] == "C" for value in chosen for character in value):
            faults.append(Fault("control_char", field, "The value holds a character that cannot be seen."))


def _check_choice(field: str, value: str, choices: Sequence[str], faults: list[Fault]) -> None:
    if value not in choices:
        message = f"“{value[:40]}” is not one of: {', '.join(choices)}."
        faults.append(Fault(f"unknown_{field}", field, message))


def _fitting_granularity(first: date, last: date, measure: str) -> str:
    days = (last - first).days + 1
    if days <= _DAYS_BY_HOUR_MAX and measure != COST:
        return "hour"
    return "day" if days <= _DAYS_BY_DAY_MAX else "month"


def _check_points(
    first: date, last: date, granularity: str, faults: list[Fault], *, is_grouped: bool
) -> None:
    columns = GROUPS_SHOWN + 1 if is_grouped else 1
    fitting = [name for name in GRANULARITIES if _fits(first, last, name, columns)]
    if granularity in fitting:
        return
    grouped = " in groups" if is_grouped else ""
    way_out = f"Choose {' or '.join(fitting)}, or fewer days." if fitting else "Choose fewer days."
    message = f"{(last - first).days + 1:,} days by {granularity}{grouped} are too many. {way_out}"
    faults.append(Fault("range_too_large", "granularity", message))


def fits_page(question: UsageFilter, granularity: str) -> bool:
    """Whether the question may be asked by this granularity."""
    columns = GROUPS_SHOWN + 1 if question.group_by else 1
    return _fits(question.first_day, question.last_day, granularity, columns)


def _fits(first: date, last: date, granularity: str, columns: int) -> bool:
    days = (last - first).days + 1
    if granularity == "hour":
        return days <= HOURLY_DAYS_MAX
    rows = days if granularity == "day" else (last.year - first.year) * 12 + last.month - first.month + 1
    return rows * columns <= POINTS_MAX
