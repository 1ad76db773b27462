"""Meters described as TOML; refuses unknown keys, wrong types and values outside the catalogue by name."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, fields
from typing import Any

AGGREGATIONS = ("sum", "count", "max", "latest", "unique_count", "time_weighted_sum")
GRAINS_SECONDS = (300, 900, 1800, 3600, 86400)
_KEY = re.compile(r"[a-z][a-z0-9_]{0,59}").fullmatch


class InvalidMeters(ValueError):
    """The description of meters is wrong; errors names the place and the mend in words."""

    def __init__(self, errors: tuple[str, ...]) -> None:
        super().__init__("; ".join(errors))
        self.errors = errors


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterDescription:
    """One meter as described; its meaning never changes under the same version."""

    key: str
    name: str
    unit: str
    version: int = 1
    description: str = ""
    grain_seconds: int = 3600
    aggregation: str = "sum"
    dimensions: tuple[str, ...] = ()
    unique_dimensions: tuple[str, ...] = ()
    allows_negative: bool = False
    position: int = 0


_TYPES: dict[str, type] = {
    "key": str, "name": str, "unit": str, "version": int, "description": str, "grain_seconds": int,
    "aggregation": str, "dimensions": list, "unique_dimensions": list, "allows_negative": bool, "position": int,
}  # fmt: skip
_REQUIRED = ("key", "name", "unit")


def parse_meters_toml(text: str) -> tuple[MeterDescription, ...]:
    """Return the meters under [[meters]], or raise InvalidMeters with every fault found."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidMeters((f"the text is not TOML: {error}",)) from None
    tables = document.get("meters")
    if set(document) != {"meters"} or not isinstance(tables, list) or not tables:
        raise InvalidMeters(("the text describes meters in [[meters]] tables and nothing else",))
    faults = [fault for number, table in enumerate(tables, 1) for fault in _faults(number, table)]
    if faults:
        raise InvalidMeters(tuple(faults))
    return tuple(_description(table) for table in tables)


def _description(table: dict[str, Any]) -> MeterDescription:
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in table.items()
    }
    return MeterDescription(**values)


def _faults(number: int, table: dict[str, Any]) -> list[str]:
    where = f"meter {number}"
    known = {field.name for field in fields(MeterDescription)}
    found = [f"{where}: {name} is not a field of a meter" for name in table if name not in known]
    found += [f"{where}: {name} is missing" for name in _REQUIRED if name not in table]
    found += [
        f"{where}: {name} has the wrong type"
        for name, value in table.items()
        if name in known and type(value) is not _TYPES[name]
    ]
    return found or _value_faults(where, table)


def _value_faults(where: str, table: dict[str, Any]) -> list[str]:
    found = [
        f"{where}: {name!r} must be lower case letters, digits and _, beginning with a letter"
        for name in (table["key"], *table.get("dimensions", []))
        if not isinstance(name, str) or not _KEY(name)
    ]
    if table.get("aggregation", "sum") not in AGGREGATIONS:
        found.append(f"{where}: aggregation must be one of {', '.join(AGGREGATIONS)}")
    if table.get("grain_seconds", 3600) not in GRAINS_SECONDS:
        found.append(f"{where}: grain_seconds must be one of {', '.join(map(str, GRAINS_SECONDS))}")
    undeclared = set(table.get("unique_dimensions", [])) - set(table.get("dimensions", []))
    if undeclared:
        found.append(
            f"{where}: unique_dimensions names {', '.join(sorted(undeclared))}, which dimensions does not"
        )
    if table.get("aggregation") == "unique_count" and not table.get("unique_dimensions"):
        found.append(f"{where}: unique_count needs unique_dimensions")
    return found
