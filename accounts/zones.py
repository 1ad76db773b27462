"""The time zones an account can be billed in."""

from __future__ import annotations

from functools import cache
from zoneinfo import available_timezones


@cache
def billing_zones() -> tuple[str, ...]:
    """Return every IANA zone by name, UTC first; the old short aliases are left out."""
    named = sorted(zone for zone in available_timezones() if "/" in zone and not zone.startswith("Etc/"))
    return ("UTC", *named)
