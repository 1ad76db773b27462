"""Where a page of records ended, as the address of the next page says it; nothing that no page wrote is read."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import quote

from django.core.exceptions import BadRequest

_SERIES_DIGITS_MAX = 18
_INSTANT = "%Y%m%dT%H%M%SZ"


def read_record_place(text: str) -> tuple[int, datetime, str]:
    """The series, the window's begin in UTC and the rest of a place; refuses with 400 what is not one."""
    series, _, rest = text.partition("~")
    instant, _, rest = rest.partition("~")
    is_series = series.isascii() and series.isdigit() and len(series) <= _SERIES_DIGITS_MAX
    try:
        if not is_series or "\x00" in rest:
            raise ValueError
        return int(series), datetime.strptime(instant, _INSTANT).replace(tzinfo=UTC), rest
    except ValueError:
        raise BadRequest("after: not a place in these records.") from None


def write_record_place(series_id: int, window_start: datetime, rest: str) -> str:
    """The same as text for an address."""
    return quote(f"{series_id}~{window_start.astimezone(UTC):{_INSTANT}}~{rest}", safe="~")
