"""Terms as plain JSON and back: what a line item stores, so that it can be rated again years later.

Every field is written, decimals as text without needless zeros, keys in order; equal terms have equal texts. Reading
refuses missing and unknown fields, numbers that are not text, and other versions of the form.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache
from typing import Any, TypeVar

from insights.rating.charges import (
    Flat,
    Graduated,
    GraduatedPercentage,
    Package,
    Packages,
    Percentage,
    PerUnit,
    Stairstep,
    Tier,
    Volume,
)
from insights.rating.figures import InvalidTerms
from insights.rating.terms import Bound, Conversion, Discount, FeeTiming, PriceTerms
from insights.values.exact import InvalidNumber, parse_exact_number
from insights.values.money import UnknownCurrency
from insights.values.quantity import exact_text

VERSION = 1
TERMS_KEPT = 1024
CHARGE_MODELS: Mapping[str, type] = {
    "flat": Flat,
    "per_unit": PerUnit,
    "graduated": Graduated,
    "volume": Volume,
    "package": Package,
    "percentage": Percentage,
    "graduated_percentage": GraduatedPercentage,
    "stairstep": Stairstep,
}
_CHARGE_NAMES = {model: name for name, model in CHARGE_MODELS.items()}

Read = TypeVar("Read")


def terms_document(terms: PriceTerms) -> dict[str, Any]:
    """The terms as plain JSON values: decimals as text, the charge model by its name, every field written."""
    return {"version": VERSION, **_table(terms)}


def canonical_terms(terms: PriceTerms) -> str:
    """The one text of these terms, for storage and for hashing."""
    return json.dumps(terms_document(terms), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _table(thing: Any) -> dict[str, Any]:
    table = {field.name: _written(getattr(thing, field.name)) for field in fields(thing)}
    name = _CHARGE_NAMES.get(type(thing))
    return {"model": name, **table} if name else table


def _written(value: Any) -> Any:
    if isinstance(value, Decimal):
        return exact_text(value)
    if isinstance(value, tuple):
        return [_written(each) for each in value]
    if isinstance(value, StrEnum):
        return str(value)
    return value if value is None or isinstance(value, str | bool | int) else _table(value)


def parse_terms(document: object) -> PriceTerms:
    """The terms stored as this document, or InvalidTerms that says where it is wrong.

    Lines of a bill share few terms among them, and its plans hold the same once more, so that what was read is kept.
    """
    try:
        text = json.dumps(document)
    except (TypeError, ValueError, RecursionError):
        # No JSON, so it was not stored: reading it tells what is wrong.
        return _parse(document)
    return _parse_text(text)


@lru_cache(maxsize=TERMS_KEPT)
def _parse_text(text: str) -> PriceTerms:
    return _parse(json.loads(text))


def _parse(document: object) -> PriceTerms:
    table = _mapping("terms", document)
    if table.get("version") != VERSION:
        raise InvalidTerms(f"version must be {VERSION}")
    rest = {name: value for name, value in table.items() if name != "version"}
    try:
        return _read(PriceTerms, "terms", rest)
    except UnknownCurrency as error:
        raise InvalidTerms(str(error)) from None


def whole_document(
    discounts: tuple[Discount, ...], minimum: Bound | None, maximum: Bound | None
) -> dict[str, Any]:
    """Discounts and bounds of an invoice as a whole, as plain JSON values."""
    return {
        "discounts": _written(discounts),
        "minimum": None if minimum is None else _written(minimum),
        "maximum": None if maximum is None else _written(maximum),
    }


def parse_discounts_and_bounds(
    document: Mapping[str, object],
) -> tuple[tuple[Discount, ...], Bound | None, Bound | None]:
    """Discounts, minimum and maximum stored by `whole_document`, absent ones as none; or InvalidTerms."""
    bound = _optional(_of(Bound))
    return (
        _many(Discount)("discounts", document.get("discounts", ())),
        bound("minimum", document.get("minimum")),
        bound("maximum", document.get("maximum")),
    )


def _read(kind: type[Read], where: str, document: object) -> Read:
    table = _mapping(where, document)
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    for name in table:
        if name not in names:
            raise InvalidTerms(f"{where}: {name} is not a field")
    for name in names:
        if name not in table:
            raise InvalidTerms(f"{where}: {name} is missing")
    return kind(**{name: _READERS[name](f"{where}.{name}", table[name]) for name in names})


def _mapping(where: str, value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise InvalidTerms(f"{where} must be a table")
    return value


def _text(where: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidTerms(f"{where} must be text")
    return value


def _decimal(where: str, value: object) -> Decimal:
    text = _text(where, value)
    try:
        number: Fraction | None = parse_exact_number(text)
    except InvalidNumber:
        number = None
    if number is None or "/" in text:
        raise InvalidTerms(f"{where} must be a decimal number as text")
    return Decimal(text)


def _flag(where: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InvalidTerms(f"{where} must be true or false")
    return value


def _optional(reader: Callable[[str, object], Read]) -> Callable[[str, object], Read | None]:
    return lambda where, value: None if value is None else reader(where, value)


def _of(kind: type[Read]) -> Callable[[str, object], Read]:
    return lambda where, value: _read(kind, where, value)


def _many(kind: type[Read]) -> Callable[[str, object], tuple[Read, ...]]:
    def read(where: str, value: object) -> tuple[Read, ...]:
        if not isinstance(value, list | tuple):
            raise InvalidTerms(f"{where} must be a list")
        return tuple(_read(kind, f"{where} {number}", each) for number, each in enumerate(value, 1))

    return read


def _choice(kind: type[StrEnum]) -> Callable[[str, object], StrEnum]:
    def read(where: str, value: object) -> StrEnum:
        try:
            return kind(_text(where, value))
        except ValueError:
            raise InvalidTerms(f"{where} must be one of {', '.join(kind)}") from None

    return read


def _charge(where: str, value: object) -> object:
    table = _mapping(where, value)
    name = table.get("model")
    if not isinstance(name, str) or name not in CHARGE_MODELS:
        raise InvalidTerms(f"{where}.model must be one of {', '.join(CHARGE_MODELS)}")
    rest = {field: each for field, each in table.items() if field != "model"}
    return _read(CHARGE_MODELS[name], where, rest)


# A name means the same in every table it stands in, except `amount`, which a discount by percent does without.
_READERS: Mapping[str, Callable[[str, object], object]] = {
    **dict.fromkeys(("currency", "unit", "exempt_reason", "count_meter"), _text),
    **dict.fromkeys(
        ("included", "above", "unit_amount", "flat_amount", "size", "fixed_amount", "units_per"), _decimal
    ),
    **dict.fromkeys(("up_to", "amount", "percent"), _optional(_decimal)),
    **dict.fromkeys(("is_prorated", "flat_at_zero"), _flag),
    **dict.fromkeys(("minimum", "maximum"), _optional(_of(Bound))),
    "charge": _charge,
    "conversion": _optional(_of(Conversion)),
    "counting": _choice(Packages),
    "discounts": _many(Discount),
    "tiers": _many(Tier),
    "timing": _choice(FeeTiming),
}
