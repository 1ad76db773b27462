"""Whether a window is one that the source may send: its length, its alignment, its end.

Windows below a day begin at multiples of their length in UTC; a day begins at local midnight in the
source's zone and lasts as long as that day, 23 to 25 hours.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple

from insights.ingest.refusals import Refusal
from insights.values.period import local_day, start_of_day

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ONE_DAY = timedelta(days=1)


class Edge(NamedTuple):
    """One end of a window as it was sent: the sender's column, the text, the instant it names."""

    field: str
    sent: object
    instant: datetime


def check_window(start: Edge, end: Edge | None, *, length: timedelta, zone: tzinfo) -> None:
    """Refuse a window that is inverted, begins off the grid, or does not end where it must."""
    if end is not None and end.instant <= start.instant:
        message = f"{end.field} must be after {start.field}"
        raise Refusal("window_inverted", end.field, message, end.sent)
    expected_end = _aligned_end(start.instant, length, zone)
    if expected_end is None:
        message = f"{start.field} is not where a window of this source begins"
        raise Refusal("window_misaligned", start.field, message, start.sent)
    if end is not None and end.instant != expected_end:
        message = f"{end.field} must be {expected_end:%Y-%m-%dT%H:%M:%SZ} for this window"
        raise Refusal("window_misaligned", end.field, message, end.sent)


def _aligned_end(start: datetime, length: timedelta, zone: tzinfo) -> datetime | None:
    if length < _ONE_DAY:
        return None if (start - _EPOCH) % length else start + length
    day = local_day(start, zone)
    if start_of_day(day, zone) != start:
        return None
    return start_of_day(day + _ONE_DAY, zone)
