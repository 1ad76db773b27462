"""The one written form of an instant: RFC 3339 with T and Z or an offset.

A source that states a clock zone may also write local times; those that its clock skips or shows
twice are refused, since choosing would be a guess.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo

from insights.ingest.grammar import refuse_control_characters
from insights.ingest.refusals import Refusal

YEAR_MIN = 2000
YEAR_MAX = 9998
_OFFSET_MINUTES_MAX = 14 * 60

_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?"
    r"(?:Z|[+-]([0-9]{2}):([0-5][0-9]))?"
)
_LEAP_SECOND = re.compile(r".{16}:60(?:\.[0-9]*)?(?:Z|[+-][0-9:]{5})?")
_WRITE = "must be written like 2026-01-31T12:00:00Z"


def scan_instant(value: object, field: str, *, clock_zone: tzinfo | None) -> datetime:
    """The UTC instant that the text names."""
    if value is None or value == "":
        raise Refusal("missing_field", field, f"{field} is missing", "")
    if not isinstance(value, str):
        raise Refusal("timestamp_format", field, f"{field} {_WRITE}", value)
    match = _INSTANT.fullmatch(value)
    if match is None:
        refuse_control_characters(value, field)
        raise _format_refusal(value, field)
    _refuse_years_out_of_range(int(value[:4]), field, value)
    if match[1] is not None:
        _refuse_offset_no_clock_shows(match, field, value)
    try:
        written = datetime.fromisoformat(value)
    except ValueError:
        message = f"{field} names a day that is not in the calendar"
        raise Refusal("timestamp_format", field, message, value) from None
    if written.tzinfo is UTC:
        return written
    instant = _utc_instant(written, clock_zone, field, value)
    # An offset can carry the first hours of the year 2000 back into 1999.
    _refuse_years_out_of_range(instant.year, field, value)
    return instant


def _format_refusal(value: str, field: str) -> Refusal:
    message = f"{field} {_WRITE}"
    if _LEAP_SECOND.fullmatch(value):
        message = f"{field} names a leap second; write the second before or after it"
    elif value[10:13] == "T24":
        message = f"{field} says 24 o'clock; write 00:00:00 of the next day"
    return Refusal("timestamp_format", field, message, value)


def _refuse_years_out_of_range(year: int, field: str, value: str) -> None:
    if year < YEAR_MIN:
        raise Refusal("timestamp_too_old", field, f"{field} is before the year {YEAR_MIN}", value)
    if year > YEAR_MAX:
        raise Refusal("timestamp_future", field, f"{field} is after the year {YEAR_MAX}", value)


def _refuse_offset_no_clock_shows(match: re.Match[str], field: str, value: str) -> None:
    minutes = int(match[1]) * 60 + int(match[2])
    if minutes > _OFFSET_MINUTES_MAX or value.endswith("-00:00"):
        message = f"{field} has an offset that no clock shows; it must be within 14:00 hours"
        raise Refusal("timestamp_format", field, message, value)


def _utc_instant(written: datetime, clock_zone: tzinfo | None, field: str, value: str) -> datetime:
    if written.tzinfo is not None:
        return written.astimezone(UTC)
    if clock_zone is None:
        message = f"{field} has no offset; add Z or an offset such as +02:00"
        raise Refusal("timestamp_naive", field, message, value)
    if clock_zone is UTC:
        return written.replace(tzinfo=UTC)
    return _local_instant(written, clock_zone, field, value)


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
