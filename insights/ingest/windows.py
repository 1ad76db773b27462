"""Whether a window is one that the source may send: its length, its alignment, its end.

Windows below a day begin at multiples of their length in UTC; a day begins at local midnight in the
source's zone and lasts as long as that day, 23 to 25 hours.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

from insights.ingest.instants import scan_instant
from insights.ingest.refusals import Refusal
from insights.values.period import local_day, start_of_day

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Clock:
    """How a source writes its windows: the zone of its clock, their length, its column names."""

    zone: tzinfo | None
    length: timedelta
    start_field: str
    end_field: str


def window_start(clock: Clock, sent_start: object, sent_end: object) -> datetime:
    """Where the window begins; refused when inverted, off the grid, or not ending where it must."""
    start = scan_instant(sent_start, clock.start_field, clock_zone=clock.zone)
    end = None
    if sent_end not in ("", None):
        end = scan_instant(sent_end, clock.end_field, clock_zone=clock.zone)
        if end <= start:
            message = f"{clock.end_field} must be after {clock.start_field}"
            raise Refusal("window_inverted", clock.end_field, message, sent_end)
    expected_end = _aligned_end(start, clock.length, clock.zone or UTC)
    if expected_end is None:
        message = f"{clock.start_field} is not where a window of this source begins"
        raise Refusal("window_misaligned", clock.start_field, message, sent_start)
    if end is not None and end != expected_end:
        message = f"{clock.end_field} must be {expected_end:%Y-%m-%dT%H:%M:%SZ} for this window"
        raise Refusal("window_misaligned", clock.end_field, message, sent_end)
    return start


# Files repeat the same few thousand instants for account after account, chunk after chunk.
remembered_window_start = lru_cache(maxsize=65_536)(window_start)


def _aligned_end(start: datetime, length: timedelta, zone: tzinfo) -> datetime | None:
    if length < _ONE_DAY:
        return None if (start - _EPOCH) % length else start + length
    day = local_day(start, zone)
    if start_of_day(day, zone) != start:
        return None
    return start_of_day(day + _ONE_DAY, zone)


def window_end(start: datetime, *, length: timedelta, zone: tzinfo) -> datetime:
    """Where the window that begins at a grid point ends; a day lasts as long as that day does in the zone."""
    if length < _ONE_DAY:
        return start + length
    return start_of_day(local_day(start, zone) + _ONE_DAY, zone)
