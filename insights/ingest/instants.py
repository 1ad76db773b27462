"""The one written form of an instant: RFC 3339 with T and Z or an offset.

A source that states a clock zone may also write local times; those that its clock skips or shows
twice are refused, since choosing would be a guess.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from insights.ingest.grammar import refuse_control_characters
from insights.ingest.refusals import Refusal

YEAR_MIN = 2000
YEAR_MAX = 9998
_OFFSET_MINUTES_MAX = 14 * 60

_INSTANT = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,6}))?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})?"
)
_WRITE = "must be written like 2026-01-31T12:00:00Z"


def scan_instant(value: object, field: str, *, clock_zone: tzinfo | None) -> datetime:
    """The UTC instant that the text names."""
    if value is None or value == "":
        raise Refusal("missing_field", field, f"{field} is missing", "")
    if not isinstance(value, str):
        raise Refusal("timestamp_format", field, f"{field} {_WRITE}", value)
    refuse_control_characters(value, field)
    match = _INSTANT.fullmatch(value)
    if match is None:
        raise Refusal("timestamp_format", field, f"{field} {_WRITE}", value)
    _refuse_clock_times_that_are_none(match, field, value)
    _refuse_years_out_of_range(int(match[1]), field, value)
    local = _calendar_time(match, field, value)
    instant = _utc_instant(local, match[8], clock_zone, field, value)
    # An offset can carry the first hours of the year 2000 back into 1999.
    _refuse_years_out_of_range(instant.year, field, value)
    return instant


def _utc_instant(
    local: datetime, offset: str | None, clock_zone: tzinfo | None, field: str, value: str
) -> datetime:
    if offset is not None:
        return local.replace(tzinfo=_offset(offset, field, value)).astimezone(UTC)
    if clock_zone is None:
        message = f"{field} has no offset; add Z or an offset such as +02:00"
        raise Refusal("timestamp_naive", field, message, value)
    return _local_instant(local, clock_zone, field, value)


def _refuse_clock_times_that_are_none(match: re.Match[str], field: str, value: str) -> None:
    if match[6] == "60":
        message = f"{field} names a leap second; write the second before or after it"
        raise Refusal("timestamp_format", field, message, value)
    if match[4] == "24":
        message = f"{field} says 24 o'clock; write 00:00:00 of the next day"
        raise Refusal("timestamp_format", field, message, value)


def _refuse_years_out_of_range(year: int, field: str, value: str) -> None:
    if year < YEAR_MIN:
        raise Refusal("timestamp_too_old", field, f"{field} is before the year {YEAR_MIN}", value)
    if year > YEAR_MAX:
        raise Refusal("timestamp_future", field, f"{field} is after the year {YEAR_MAX}", value)


def _calendar_time(match: re.Match[str], field: str, value: str) -> datetime:
    microsecond = int((match[7] or "").ljust(6, "0"))
    try:
        return datetime(*(int(match[group]) for group in range(1, 7)), microsecond)
    except ValueError:
        message = f"{field} names a day or time that does not exist"
        raise Refusal("timestamp_format", field, message, value) from None


def _offset(text: str, field: str, value: str) -> tzinfo:
    if text == "Z":
        return UTC
    hours, minutes = int(text[1:3]), int(text[4:6])
    total = hours * 60 + minutes
    if minutes > 59 or total > _OFFSET_MINUTES_MAX or text == "-00:00":
        message = f"{field} has an offset that no clock shows; it must be within 14:00 hours"
        raise Refusal("timestamp_format", field, message, value)
    return timezone(timedelta(minutes=-total if text[0] == "-" else total))


def _local_instant(local: datetime, zone: tzinfo, field: str, value: str) -> datetime:
    first = local.replace(tzinfo=zone, fold=0)
    second = local.replace(tzinfo=zone, fold=1)
    instant = first.astimezone(UTC)
    if first.utcoffset() == second.utcoffset():
        return instant
    if instant.astimezone(zone).replace(tzinfo=None) != local:
        message = f"{field} is skipped by the clock of {zone}; give an offset"
        raise Refusal("timestamp_nonexistent", field, message, value)
    message = f"{field} comes twice on the clock of {zone}; give an offset"
    raise Refusal("timestamp_ambiguous", field, message, value)
