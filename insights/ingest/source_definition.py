"""How one source writes its files: columns, constants, clock, window length, limits; and as TOML.

A definition is complete and checked before any line is read; what it does not say is refused in the
file, never guessed. The TOML refuses unknown keys and wrong types by name; which account a source is
bound to is not part of it, since a person decides that when the source is made.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

from insights.ingest.grammar import scan_quantity
from insights.ingest.refusals import Refusal
from insights.ingest.source_faults import WINDOW_SECONDS, definition_faults, validate_definition

__all__ = [
    "InvalidSource",
    "SourceDefinition",
    "UnitConversion",
    "parse_source_toml",
    "source_to_toml",
    "validate_definition",
]

_TEXTS = ("slug", "name", "key_kind", "format", "window", "clock_zone")
_NUMBERS = (
    "max_age_days", "max_ahead_seconds", "lateness_seconds", "cadence_seconds", "default_revision",
)  # fmt: skip
_NO_LIMIT = "none"


@dataclass(frozen=True, slots=True)
class UnitConversion:
    """The unit a source sends for a meter, and what its quantities are multiplied by."""

    unit: str
    factor: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceDefinition:
    """One named feed. account_id binds it to one account; None is a source of the platform."""

    slug: str
    name: str
    key_kind: str
    window: str
    format: str = "any"
    columns: Mapping[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    constants: Mapping[str, str] = field(default_factory=dict)
    clock_zone: str | None = None
    conversions: Mapping[str, UnitConversion] = field(default_factory=dict)
    max_age_days: int | None = 35
    max_ahead_seconds: int = 300
    lateness_seconds: int = 0
    cadence_seconds: int = 3600
    default_revision: int = 1
    enabled: bool = True
    ended_at: datetime | None = None
    account_id: int | None = None

    @property
    def window_seconds(self) -> int:
        return WINDOW_SECONDS[self.window]

    @property
    def required_fields(self) -> tuple[str, ...]:
        """The fields a file must bring, because no constant and no binding does."""
        required = ["window_start", "quantity"]
        if self.key_kind == "row_id":
            required.append("row_id")
        if self.account_id is None and "account" not in self.constants:
            required.append("account")
        if "meter" not in self.constants:
            required.append("meter")
        return tuple(required)


class InvalidSource(ValueError):
    """The description of a source is wrong; errors names each field with the mend in words."""

    def __init__(self, errors: tuple[tuple[str, str], ...]) -> None:
        super().__init__("; ".join(f"{name}: {message}" for name, message in errors))
        self.errors = errors


def parse_source_toml(text: str) -> SourceDefinition:
    """The definition that the text describes, or InvalidSource with every fault found."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidSource((("", f"is not TOML: {error}"),)) from None
    values, faults = _typed_values(table)
    for name in ("slug", "name", "key_kind", "window"):
        if name not in table:
            faults.append((name, "is missing"))
    if faults:
        raise InvalidSource(tuple(faults))
    definition = SourceDefinition(**values)  # type: ignore[arg-type]
    if remaining := definition_faults(definition):
        raise InvalidSource(remaining)
    return definition


def _typed_values(
    table: Mapping[str, object],
) -> tuple[dict[str, object], list[tuple[str, str]]]:
    values: dict[str, object] = {}
    faults: list[tuple[str, str]] = []
    for name, value in table.items():
        try:
            values[name] = _typed(name, value)
        except InvalidSource as error:
            faults += error.errors
    return values, faults


def _typed(name: str, value: object) -> object:
    if name in _TEXTS:
        return _text(name, value)
    if name == "max_age_days" and value == _NO_LIMIT:
        return None
    if name in _NUMBERS:
        return _whole_number(name, value)
    if name == "enabled":
        if not isinstance(value, bool):
            raise InvalidSource(((name, "must be true or false"),))
        return value
    if name == "ended_at":
        if not isinstance(value, datetime) or value.tzinfo is None:
            raise InvalidSource(((name, "must be an instant with its offset, such as 2026-11-03T00:00:00Z"),))
        return value.astimezone(UTC)
    if name == "ignored":
        if not isinstance(value, list):
            raise InvalidSource(((name, "must be a list of column names"),))
        return tuple(_text(name, column) for column in value)
    if name in ("columns", "constants"):
        return {key: _text(f"{name}.{key}", item) for key, item in _table(name, value).items()}
    if name == "conversions":
        return {key: _conversion(f"{name}.{key}", item) for key, item in _table(name, value).items()}
    raise InvalidSource(((name, "is not a setting of a source"),))


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidSource(((name, "must be a text"),))
    return value


def _whole_number(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidSource(((name, "must be a whole number"),))
    return value


def _table(name: str, value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise InvalidSource(((name, "must be a table"),))
    return value


def _conversion(name: str, value: object) -> UnitConversion:
    table = _table(name, value)
    if set(table) != {"unit", "factor"}:
        raise InvalidSource(((name, "needs exactly unit and factor"),))
    return UnitConversion(_text(f"{name}.unit", table["unit"]), _factor(name, table["factor"]))


def _factor(name: str, value: object) -> Decimal:
    # A TOML float has lost its digits before we see it, so the factor is a text or a whole number.
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise InvalidSource(((f"{name}.factor", 'must be a text such as "0.001"'),))
    try:
        return scan_quantity(str(value), "factor")
    except Refusal as refusal:
        raise InvalidSource(((f"{name}.factor", refusal.message),)) from None


def source_to_toml(definition: SourceDefinition) -> str:
    """The text that parse_source_toml reads back as the same definition, without its binding."""
    lines = [
        f"{name} = {_quoted(value)}" for name in _TEXTS if (value := getattr(definition, name)) is not None
    ]
    lines.append(f"enabled = {'true' if definition.enabled else 'false'}")
    if definition.ended_at is not None:
        lines.append(
            f"ended_at = {definition.ended_at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}".replace(".000000", "")
        )
    for name in _NUMBERS:
        value = getattr(definition, name)
        lines.append(f"{name} = {_quoted(_NO_LIMIT) if value is None else value}")
    if definition.ignored:
        lines.append(f"ignored = [{', '.join(map(_quoted, definition.ignored))}]")
    for name in ("columns", "constants"):
        if table := getattr(definition, name):
            lines += ["", f"[{name}]"]
            lines += [f"{_quoted(key)} = {_quoted(item)}" for key, item in table.items()]
    for meter, conversion in definition.conversions.items():
        lines += ["", f"[conversions.{_quoted(meter)}]", f"unit = {_quoted(conversion.unit)}"]
        lines.append(f"factor = {_quoted(format(conversion.factor, 'f'))}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    # JSON's escapes are TOML's too, apart from the bare DEL character.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
