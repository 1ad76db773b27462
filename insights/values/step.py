"""One part of a line item's arithmetic, and its form in storage. Rating writes steps; everything else only reads.

A step carries the exact amount and the minor units allotted to it: both add up over a line, the first to what was
calculated, the second to what is billed. Refuses stored steps with fields missing, unknown or in another form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from fractions import Fraction
from typing import Any

from insights.values.exact import InvalidNumber, exact_number_text, parse_exact_number
from insights.values.share import WHOLE, Share


class StepKind(StrEnum):
    """What a step is for; the words for it belong to the reader."""

    EXEMPT = "exempt"
    INCLUDED = "included"
    FEE = "fee"
    UNITS = "units"
    TIER = "tier"
    TIER_FEE = "tier_fee"
    PACKAGES = "packages"
    PERCENT = "percent"
    COUNT_FEE = "count_fee"
    DISCOUNT = "discount"
    MINIMUM = "minimum"
    MAXIMUM = "maximum"


class InvalidStep(ValueError):
    """The stored form is not that of a step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One part of the arithmetic, in the price's unit and in major units of the line's currency.

    `quantity` is how much of the line's quantity the step speaks for; over a line these add to all of it.
    `base` is what `unit_amount` is multiplied by, or what `percent` is taken of; for a minimum or maximum it is the
    amount that was not enough or too much. `tier` counts from 1; `above` is exclusive, `up_to` inclusive, None open.
    `share` is the part of a period the price is for. `is_taken_back` turns the sign of what the figures come to.
    `amount` is exact; `amount_minor` is what was allotted.
    """

    kind: StepKind
    amount: Fraction
    quantity: Fraction = Fraction(0)
    base: Fraction = Fraction(0)
    unit_amount: Fraction | None = None
    percent: Fraction | None = None
    tier: int | None = None
    above: Fraction | None = None
    up_to: Fraction | None = None
    share: Share = WHOLE
    note: str = ""
    is_taken_back: bool = False
    amount_minor: int = 0

    @property
    def is_linear(self) -> bool:
        """Whether twice the base makes twice the amount, so that two such steps can be put into one."""
        is_fixed_discount = self.kind is StepKind.DISCOUNT and self.percent is None
        return self.kind not in (StepKind.MINIMUM, StepKind.MAXIMUM) and not is_fixed_discount

    def with_minor(self, minor: int) -> Step:
        """The same step with these minor units allotted to it; written out, since `replace` is three times as slow."""
        return Step(
            kind=self.kind,
            amount=self.amount,
            quantity=self.quantity,
            base=self.base,
            unit_amount=self.unit_amount,
            percent=self.percent,
            tier=self.tier,
            above=self.above,
            up_to=self.up_to,
            share=self.share,
            note=self.note,
            is_taken_back=self.is_taken_back,
            amount_minor=minor,
        )

    def less(self, earlier: Step) -> Step:
        """What this step has more than the same linear step of an earlier calculation."""
        return replace(
            self,
            quantity=self.quantity - earlier.quantity,
            base=self.base - earlier.base,
            amount=self.amount - earlier.amount,
            amount_minor=self.amount_minor - earlier.amount_minor,
        )

    def taken_back(self) -> Step:
        """The step taken back: its figures stay readable, what it stands for is below zero."""
        return replace(
            self,
            quantity=-self.quantity,
            amount=-self.amount,
            amount_minor=-self.amount_minor,
            is_taken_back=not self.is_taken_back,
        )


def step_document(step: Step) -> dict[str, object]:
    """The step as plain JSON values: exact numbers as text, every field written, so that equal steps are equal."""
    return {
        "kind": step.kind.value,
        "amount": exact_number_text(step.amount),
        "quantity": exact_number_text(step.quantity),
        "base": exact_number_text(step.base),
        "unit_amount": _text_or_none(step.unit_amount),
        "percent": _text_or_none(step.percent),
        "tier": step.tier,
        "above": _text_or_none(step.above),
        "up_to": _text_or_none(step.up_to),
        "share": [step.share.seconds, step.share.of_seconds],
        "note": step.note,
        "is_taken_back": step.is_taken_back,
        "amount_minor": step.amount_minor,
    }


def _text_or_none(number: Fraction | None) -> str | None:
    return None if number is None else exact_number_text(number)


def parse_step(document: object) -> Step:
    """The step stored as this document, or InvalidStep that names the field."""
    if not isinstance(document, Mapping) or set(document) != set(_NAMES):
        raise InvalidStep(f"a step has the fields {', '.join(_NAMES)} and no others")
    values: dict[str, Any] = {}
    for name in _NAMES:
        try:
            values[name] = _READERS[name](document[name])
        except (ValueError, TypeError) as error:
            raise InvalidStep(f"{name}: {error}") from None
    return Step(**values)


def _number(value: object) -> Fraction:
    if not isinstance(value, str):
        raise InvalidNumber("an exact number is stored as text")
    return parse_exact_number(value)


def _number_or_none(value: object) -> Fraction | None:
    return None if value is None else _number(value)


def _whole(value: object) -> int:
    if type(value) is not int:
        raise TypeError("must be a whole number")
    return value


def _whole_or_none(value: object) -> int | None:
    return None if value is None else _whole(value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("must be true or false")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("must be text")
    return value


def _share(value: object) -> Share:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise TypeError("must be two whole numbers of seconds")
    return Share(_whole(value[0]), _whole(value[1]))


_READERS: Mapping[str, Callable[[object], Any]] = {
    "kind": lambda value: StepKind(_text(value)),
    "amount": _number,
    "quantity": _number,
    "base": _number,
    "unit_amount": _number_or_none,
    "percent": _number_or_none,
    "tier": _whole_or_none,
    "above": _number_or_none,
    "up_to": _number_or_none,
    "share": _share,
    "note": _text,
    "is_taken_back": _flag,
    "amount_minor": _whole,
}
_NAMES = tuple(field.name for field in fields(Step))
