"""What an estimate is asked of: a plan, and either periods that are closed or quantities typed in. Pure.

Read from a JSON object or from a form, strictly: what is not in its one form is refused with a field and a code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import quote, unquote
from uuid import UUID

from insights.ingest.grammar import NumberToken, scan_quantity, scan_text
from insights.ingest.refusals import Refusal

PERIODS_MAX = 12
QUANTITIES_MAX = 100
# A form has a field for every part of every price, most of them empty.
FORM_FIELDS_MAX = 1000
THEN, NOW = "then", "now"
_WHOLE = re.compile(r"[1-9][0-9]?", re.ASCII)
_KEY = re.compile(r"[A-Za-z0-9_-]{1,60}", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_FIELDS = frozenset({"plan", "periods", "prices", "subscription", "currency", "quantities", "counts"})
_QUANTITY, _COUNT = "quantity.", "count."
_OF_PERIODS = ("prices", "subscription")
_ENTRY = frozenset({"meter", "quantity", "values"})


class EstimateRefused(ValueError):
    """A question that has no answer as it stands: a stable code, the field it is about, and what to mend."""

    def __init__(self, code: str, field: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.field = field
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedQuantity:
    """So much of a meter, in its unit; `values` by dimension where the price goes by them, none for all others.

    `place` is where it was typed.
    """

    place: str
    meter_key: str
    quantity: Decimal
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimateQuestion:
    """`periods` is None where quantities are typed in. `prices` says whether those then or those now are meant.

    `counts` is how many of each counted fee, by price key.
    """

    plan_key: str
    periods: int | None
    prices: str = THEN
    subscription_id: UUID | None = None
    currency: str = ""
    quantities: tuple[TypedQuantity, ...] = ()
    counts: Mapping[str, Decimal] = field(default_factory=dict)


def question_of_document(document: Mapping[str, Any]) -> EstimateQuestion:
    """The question of a JSON object whose numbers are NumberTokens; raises EstimateRefused or Refusal."""
    for name in document:
        if name not in _FIELDS:
            raise Refusal("unknown_field", name[:80], f"{name[:80]!r} is not known here", name)
    entries = document.get("quantities")
    if (entries is None) == ("periods" not in document):
        raise EstimateRefused(
            "periods", "periods", "Give either periods, from 1 to 12, or quantities, and not both."
        )
    if entries is not None:
        _refuse_of_periods(name for name in _OF_PERIODS if name in document)
    return EstimateQuestion(
        plan_key=_plan_key(document.get("plan")),
        periods=_periods(document["periods"]) if "periods" in document else None,
        prices=_prices(document.get("prices", THEN)),
        subscription_id=_subscription(document.get("subscription")),
        currency=_currency(document.get("currency")),
        quantities=() if entries is None else _entries(entries),
        counts=_counts(document.get("counts", {})),
    )


def _refuse_of_periods(given: Iterable[str]) -> None:
    """Refuse what is said of closed periods where quantities are given, since it would change nothing."""
    for name in given:
        raise EstimateRefused(
            "only_of_periods",
            name,
            f"{name} is about closed periods; quantities are rated at the prices of today, so leave it out.",
        )


def _entries(entries: object) -> tuple[TypedQuantity, ...]:
    if not isinstance(entries, list):
        raise Refusal("shape", "quantities", "quantities must be a list", "")
    if len(entries) > QUANTITIES_MAX:
        raise _too_many(QUANTITIES_MAX)
    return tuple(_entry(number, entry) for number, entry in enumerate(entries))


def _too_many(most: int) -> EstimateRefused:
    return EstimateRefused("too_many_quantities", "quantities", f"At most {most} quantities.")


def _entry(number: int, entry: object) -> TypedQuantity:
    place = f"quantities[{number}]"
    if not isinstance(entry, dict):
        raise Refusal("shape", place, f"{place} must be an object", "")
    for name in entry:
        if name not in _ENTRY:
            raise Refusal("unknown_field", f"{place}.{name[:60]}", f"{name[:60]!r} is not known here", name)
    values = entry.get("values", {})
    if not isinstance(values, dict):
        raise Refusal("shape", f"{place}.values", f"{place}.values must be an object of texts", "")
    return TypedQuantity(
        place=f"{place}.quantity",
        meter_key=scan_text(entry.get("meter"), f"{place}.meter"),
        quantity=_quantity(entry.get("quantity"), f"{place}.quantity"),
        values={
            name: "" if value == "" else scan_text(value, f"{place}.values.{name[:60]}")
            for name, value in values.items()
        },
    )


def _quantity(value: object, field: str) -> Decimal:
    """An exact decimal that is given as a text, zero or more."""
    if value is not None and (isinstance(value, NumberToken) or not isinstance(value, str)):
        raise Refusal("shape", field, f'{field} must be a text such as "1234.5"', "")
    number = scan_quantity(value, field)
    if number < 0:
        raise Refusal("negative_not_allowed", field, f"{field} must be zero or more", str(value))
    return number


def _counts(document: object) -> dict[str, Decimal]:
    if not isinstance(document, dict):
        raise Refusal("shape", "counts", "counts must be an object of texts", "")
    if len(document) > QUANTITIES_MAX:
        raise _too_many(QUANTITIES_MAX)
    return {name: _quantity(value, f"counts.{name[:60]}") for name, value in document.items()}


def _plan_key(value: object) -> str:
    if isinstance(value, NumberToken) or not isinstance(value, str | None):
        raise Refusal("shape", "plan", "plan must be a text", "")
    if not value or not _KEY.fullmatch(value):
        raise EstimateRefused("unknown_plan", "plan", "Name a plan by its key.")
    return value


def _periods(value: object) -> int:
    """How many, from a bare number of JSON or the text of a form."""
    if not isinstance(value, str) or not _WHOLE.fullmatch(value) or int(value) > PERIODS_MAX:
        raise EstimateRefused(
            "periods", "periods", f"periods must be a whole number from 1 to {PERIODS_MAX}."
        )
    return int(value)


def _prices(value: object) -> str:
    if value not in (THEN, NOW) or not isinstance(value, str):
        raise EstimateRefused("prices", "prices", "prices must be then or now.")
    return str(value)


def _subscription(value: object) -> UUID | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise EstimateRefused("unknown_subscription", "subscription", "There is no such subscription.")
    return UUID(value)


def _currency(value: object) -> str:
    if value is None or value == "":
        return ""
    if not isinstance(value, str) or not _CURRENCY.fullmatch(value):
        raise EstimateRefused("unknown_currency", "currency", "currency must be a code such as EUR.")
    return value


# --- Of a form ---------------------------------------------------------------------------------------
def question_of_form(pairs: Sequence[tuple[str, str]]) -> EstimateQuestion:
    """The question of a form's fields; empty ones say nothing. Raises EstimateRefused or Refusal."""
    if len(pairs) > FORM_FIELDS_MAX:
        raise _too_many(FORM_FIELDS_MAX)
    values: dict[str, str] = {}
    for name, value in pairs:
        is_known = name in _FIELDS or name == "from" or name.startswith((_QUANTITY, _COUNT))
        if not is_known or name in values:
            code = "duplicate_parameter" if is_known else "unknown_parameter"
            raise EstimateRefused(
                code, name[:80], f"“{name[:80]}” is not a field of this form, or comes twice."
            )
        values[name] = value.strip()
    is_typed = values.get("from") == "quantities"
    if is_typed:
        _refuse_of_periods(name for name in (*_OF_PERIODS, "periods") if values.get(name))
    else:
        _refuse_quantities(values)
    return EstimateQuestion(
        plan_key=_plan_key(values.get("plan")),
        periods=None if is_typed else _periods(values.get("periods", "")),
        prices=NOW if is_typed else _prices(values.get("prices") or THEN),
        subscription_id=_subscription(values.get("subscription")),
        currency=_currency(values.get("currency")),
        quantities=tuple(_typed(values)) if is_typed else (),
        counts={
            name.removeprefix(_COUNT): _quantity(value, name)
            for name, value in values.items()
            if name.startswith(_COUNT) and value
        },
    )


def _refuse_quantities(values: Mapping[str, str]) -> None:
    for name, value in values.items():
        if name.startswith(_QUANTITY) and value:
            raise EstimateRefused(
                "only_of_quantities",
                name[:80],
                "A quantity is for a form of quantities, and this one is of periods.",
            )


def _typed(values: Mapping[str, str]) -> Sequence[TypedQuantity]:
    return [
        TypedQuantity(
            place=name,
            meter_key=name.removeprefix(_QUANTITY).split(":")[0],
            quantity=_quantity(value, name),
            values=values_of_field(name),
        )
        for name, value in values.items()
        if name.startswith(_QUANTITY) and value
    ]


def quantity_field(meter_key: str, values: Mapping[str, str]) -> str:
    """The name of the field for a meter and dimension values: quantity.bytes_out:region=eu-west."""
    parts = (f":{quote(name, safe='')}={quote(value, safe='')}" for name, value in values.items())
    return f"{_QUANTITY}{meter_key}{''.join(parts)}"


def values_of_field(name: str) -> dict[str, str]:
    """The dimension values in the name of a field."""
    parts = [part.partition("=") for part in name.split(":")[1:]]
    return {unquote(key): unquote(value) for key, _, value in parts}


def count_field(price_key: str) -> str:
    """The name of the field for how many of a counted fee."""
    return f"{_COUNT}{price_key}"
