"""The time zones an account can be billed in, each under one name.

Old names (Europe/Kiev, US/Pacific) are understood and never stored: two names of one clock would be two clocks to
whoever compares texts.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

UTC_NAME = "UTC"


@cache
def billing_zones() -> tuple[str, ...]:
    """Return every zone that a country keeps, by its present name, UTC first."""
    lines = _zone_data("zone.tab").splitlines()
    named = sorted(line.split("\t")[2] for line in lines if line and not line.startswith("#"))
    return (UTC_NAME, *named)


def canonical_zone(name: str) -> str | None:
    """Return the present name of a zone given by any of its names, or None if there is no such zone."""
    known = billing_zones()
    if name in known:
        return name
    target = _targets().get(name, name)
    if target == "Etc/UTC":
        return UTC_NAME
    return target if target in known else None


@cache
def _targets() -> dict[str, str]:
    """What each other name of the zone data stands for."""
    links = (line.split() for line in _zone_data("tzdata.zi").splitlines() if line.startswith("L "))
    return {alias: target for _mark, target, alias in links}


def _zone_data(name: str) -> str:
    return (files("tzdata") / "zoneinfo" / name).read_text(encoding="utf-8")
