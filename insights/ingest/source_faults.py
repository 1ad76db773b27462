"""What can be wrong with the description of a source, alone and against the catalogue.

Finds every fault at once and words each as the mend; changes nothing.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

from insights.ingest.catalogue import MeterFact
from insights.ingest.grammar import REVISION_END

if TYPE_CHECKING:
    from insights.ingest.source_definition import SourceDefinition

KEY_KINDS = ("window", "row_id")
FORMATS = ("csv", "ndjson", "json", "any")
WINDOW_SECONDS: Mapping[str, int] = {
    "5min": 300, "15min": 900, "30min": 1800, "hour": 3600, "day": 86400,
}  # fmt: skip
DIMENSION = "dimension."
FIELDS = (
    "account", "meter", "window_start", "window_end", "quantity", "unit", "row_id", "revision",
)  # fmt: skip
CONSTANT_FIELDS = ("account", "meter", "unit")
MAX_AHEAD_SECONDS_MAX = 366 * 86400
# With these, any quantity times any factor is worked out exactly before it is judged.
FACTOR_DIGITS_MAX = 28
FACTOR_SCALE_MAX = 18
_SLUG = re.compile(r"[a-z0-9][-_a-z0-9]{0,59}")


@lru_cache(maxsize=1)
def known_zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def validate_definition(
    definition: SourceDefinition, meters: Mapping[str, MeterFact]
) -> tuple[tuple[str, str], ...]:
    """What is wrong with the definition, alone and against the meters of the catalogue."""
    return definition_faults(definition) + _catalogue_faults(definition, meters)


def definition_faults(definition: SourceDefinition) -> tuple[tuple[str, str], ...]:
    """What is wrong with the definition by itself."""
    faults = [
        *_choice_faults(definition),
        *_number_faults(definition),
        *_column_faults(definition),
        *_constant_faults(definition),
    ]
    for meter, conversion in definition.conversions.items():
        if not conversion.unit or not conversion.factor.is_finite() or conversion.factor <= 0:
            faults.append((f"conversions.{meter}", "needs a unit and a factor above zero"))
        elif _has_too_many_digits(conversion.factor):
            message = (
                f"needs a factor of at most {FACTOR_DIGITS_MAX} digits, {FACTOR_SCALE_MAX} after the point"
            )
            faults.append((f"conversions.{meter}", message))
    return tuple(faults)


def _has_too_many_digits(factor: Decimal) -> bool:
    _sign, digits, exponent = factor.as_tuple()
    scale = max(0, -int(exponent))
    written = max(len(digits) + max(0, int(exponent)), scale)
    return written > FACTOR_DIGITS_MAX or scale > FACTOR_SCALE_MAX


def _choice_faults(definition: SourceDefinition) -> list[tuple[str, str]]:
    faults = []
    for name, value, allowed in (
        ("key_kind", definition.key_kind, KEY_KINDS),
        ("format", definition.format, FORMATS),
        ("window", definition.window, tuple(WINDOW_SECONDS)),
    ):
        if value not in allowed:
            faults.append((name, f"must be one of {', '.join(allowed)}"))
    if definition.clock_zone is not None and definition.clock_zone not in known_zones():
        faults.append(("clock_zone", f"{definition.clock_zone!r} is not a known time zone"))
    if _SLUG.fullmatch(definition.slug) is None:
        faults.append(("slug", "must be 1 to 60 lower-case letters, digits, - or _"))
    if not definition.name.strip() or not definition.name.isprintable() or len(definition.name) > 100:
        faults.append(("name", "must be a readable text of at most 100 characters"))
    return faults


def _number_faults(definition: SourceDefinition) -> list[tuple[str, str]]:
    bounds: tuple[tuple[str, int, int, int], ...] = (
        ("max_ahead_seconds", definition.max_ahead_seconds, 0, MAX_AHEAD_SECONDS_MAX),
        ("lateness_seconds", definition.lateness_seconds, 0, 366 * 86400),
        ("cadence_seconds", definition.cadence_seconds, 1, 366 * 86400),
        ("default_revision", definition.default_revision, 1, REVISION_END - 1),
    )
    if definition.max_age_days is not None:
        bounds += (("max_age_days", definition.max_age_days, 1, 36525),)
    return [
        (name, f"must be from {low} to {high}")
        for name, value, low, high in bounds
        if not low <= value <= high
    ]


def _column_faults(definition: SourceDefinition) -> list[tuple[str, str]]:
    faults = []
    for name, column in definition.columns.items():
        if not is_field(name):
            faults.append((f"columns.{name}", "is not a field of usage data"))
        elif name == "row_id" and definition.key_kind == "window":
            faults.append(("columns.row_id", "a source keyed by window has no row id"))
        if not column or column.strip() != column or not column.isprintable():
            faults.append((f"columns.{name}", "needs the name of a column"))
    if definition.columns:
        faults += [
            (f"columns.{name}", "is needed: no constant gives it")
            for name in definition.required_fields
            if name not in definition.columns
        ]
    used = list(definition.columns.values()) + list(definition.ignored)
    for column in sorted({column for column in used if used.count(column) > 1}):
        faults.append(("columns", f"the column {column!r} is named twice"))
    return faults


def is_field(name: str) -> bool:
    return name in FIELDS or (name.startswith(DIMENSION) and len(name) > len(DIMENSION))


def _constant_faults(definition: SourceDefinition) -> list[tuple[str, str]]:
    faults = []
    for name, value in definition.constants.items():
        if name not in CONSTANT_FIELDS and not name.startswith(DIMENSION):
            faults.append((f"constants.{name}", "cannot be a constant"))
        if name in definition.columns:
            faults.append((f"constants.{name}", "is a column as well"))
        if not value or value.strip() != value or not value.isprintable():
            faults.append((f"constants.{name}", "needs a readable text"))
    if definition.account_id is not None and "account" in definition.constants:
        faults.append(("constants.account", "the source is bound to an account already"))
    return faults


def _catalogue_faults(
    definition: SourceDefinition, meters: Mapping[str, MeterFact]
) -> tuple[tuple[str, str], ...]:
    faults: list[tuple[str, str]] = []
    constant_meter = definition.constants.get("meter")
    named = {f"conversions.{key}": key for key in definition.conversions}
    if constant_meter is not None:
        named["constants.meter"] = constant_meter
    for place, key in named.items():
        if key not in meters:
            faults.append((place, f"the meter {key!r} is not in the catalogue"))
    meant = [meter for key, meter in meters.items() if constant_meter in (None, key)]
    window_seconds = WINDOW_SECONDS.get(definition.window)
    if window_seconds and meant and all(meter.grain_seconds % window_seconds for meter in meant):
        faults.append(("window", "does not divide the grain of any meter it could feed"))
    declared = {key for meter in meant for key in meter.dimensions}
    faults += [
        (f"{place}.{name}", "no meter of this source has that dimension")
        for place, names in (("columns", definition.columns), ("constants", definition.constants))
        for name in names
        if name.startswith(DIMENSION) and name.removeprefix(DIMENSION) not in declared
    ]
    return tuple(faults)
