"""Quantities as exact decimals: their text in files and on screens, and exact unit conversion.

Refuses to round silently: only the scaled text for screens rounds, and it says so by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal, Inexact, localcontext

INTEGER_DIGITS_MAX = 19
SCALE_MAX = 9
THIN_SPACE = "\u202f"  # The thin space that does not let a line break between number and unit.
MINUS = "\u2212"

_EXACT = Context(prec=100, traps=[Inexact])
_ROUNDING = Context(prec=100, traps=[])
_SIGNIFICANT_DIGITS = 4
_BYTE_SCALES = (("B", 0), ("kB", 3), ("MB", 6), ("GB", 9), ("TB", 12), ("PB", 15))
_COUNT_SCALES = (("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12))
_BYTE_UNITS = frozenset({"B", "byte", "bytes"})
_UNSCALED_UNITS = frozenset({"kWh", "Wh", "h", "hour", "hours"})
# Decimal and binary multiples have names of their own, so that a price says which it means: GB or GiB.
_BYTES: Mapping[str, int] = {
    **dict.fromkeys(_BYTE_UNITS, 1),
    **{unit: 1000**power for power, unit in enumerate(("kB", "MB", "GB", "TB", "PB"), start=1)},
    **{unit: 1024**power for power, unit in enumerate(("KiB", "MiB", "GiB", "TiB", "PiB"), start=1)},
}
_SECONDS: Mapping[str, int] = {"s": 1, "min": 60, "h": 3600, "hour": 3600, "hours": 3600}


class InexactConversion(ValueError):
    """The converted quantity cannot be held exactly in the digits a quantity has."""

    def __init__(self, product: Decimal) -> None:
        super().__init__(f"{product} has too many digits")
        self.too_large = abs(product) >= 10**INTEGER_DIGITS_MAX


class UnknownConversion(ValueError):
    """No factor is known between the two units."""


@dataclass(frozen=True, slots=True)
class ScaledQuantity:
    """A number rounded for a screen, its unit, and the exact text that belongs beside it."""

    number: str
    unit: str
    exact: str

    def __str__(self) -> str:
        return f"{self.number}{THIN_SPACE}{self.unit}" if self.unit else self.number


@dataclass(frozen=True, slots=True)
class Scale:
    """One power of ten and its unit, shared by all numbers of a column or an axis."""

    unit: str
    exponent: int

    def number_of(self, quantity: Decimal) -> Decimal:
        return quantity.scaleb(-self.exponent, context=_EXACT)


def exact_text(quantity: Decimal) -> str:
    """Plain decimal digits without exponent, trailing zeros or a negative zero; for files."""
    text = format(quantity, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def fits(quantity: Decimal) -> bool:
    """Whether the quantity has at most 19 digits before the point and 9 after it."""
    return abs(quantity) < 10**INTEGER_DIGITS_MAX and _scale_of(quantity) <= SCALE_MAX


def _scale_of(quantity: Decimal) -> int:
    exponent = quantity.as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueError("the quantity is not finite")
    return max(0, -exponent)


def convert(quantity: Decimal, factor: Decimal) -> Decimal:
    """The quantity times the factor, exactly, or InexactConversion when that does not fit."""
    try:
        product = _EXACT.multiply(quantity, factor)
    except Inexact:
        raise InexactConversion(_ROUNDING.multiply(quantity, factor)) from None
    if _scale_of(product) > SCALE_MAX:
        product = _without_trailing_zeros(product)
    if not fits(product):
        raise InexactConversion(product)
    return product


def units_per(unit: str, larger_unit: str) -> int:
    """How many of a meter's unit make one of a price's unit: B in GB 10^9, B in GiB 2^30, s in h 3600.

    Raises UnknownConversion when the units measure different things or do not go into each other evenly.
    """
    for sizes in (_BYTES, _SECONDS):
        if unit in sizes and larger_unit in sizes and sizes[larger_unit] % sizes[unit] == 0:
            return sizes[larger_unit] // sizes[unit]
    if unit == larger_unit:
        return 1
    raise UnknownConversion(f"how many {unit} make one {larger_unit} is not known")


def _without_trailing_zeros(quantity: Decimal) -> Decimal:
    trimmed = quantity.normalize(_EXACT)
    exponent = trimmed.as_tuple().exponent
    if isinstance(exponent, int) and exponent > 0:
        return trimmed.quantize(Decimal(1), context=_EXACT)
    return trimmed


def scale_for(unit: str, largest: Decimal) -> Scale:
    """The scale in which the largest of some numbers is easiest to read."""
    if unit in _BYTE_UNITS:
        return _fitting(_BYTE_SCALES, largest)
    if unit in _UNSCALED_UNITS:
        return Scale(unit, 0)
    scale = _fitting(_COUNT_SCALES, largest)
    return Scale(
        f"{scale.unit}{THIN_SPACE}{unit}" if scale.unit and unit else scale.unit or unit, scale.exponent
    )


def _fitting(scales: tuple[tuple[str, int], ...], largest: Decimal) -> Scale:
    best = scales[0]
    for unit, exponent in scales:
        if not _reaches_one(largest, exponent):
            break
        best = (unit, exponent)
    return Scale(*best)


def _reaches_one(largest: Decimal, exponent: int) -> bool:
    """Whether a quantity is one or more in a scale, as it is shown there."""
    digits = largest.adjusted() - exponent
    if not largest or digits < -1:
        return False
    # Rounding decides: 999.96 kB is shown as 1 MB, never as 1,000 kB.
    return digits >= 0 or abs(_rounded(largest.scaleb(-exponent, context=_EXACT))) >= 1


def scaled(quantity: Decimal, unit: str, *, scale: Scale | None = None) -> ScaledQuantity:
    """The quantity for a screen: scaled, rounded to four digits, with grouping and a real minus."""
    chosen = scale or scale_for(unit, quantity)
    return ScaledQuantity(
        number=grouped_text(_rounded(chosen.number_of(quantity))),
        unit=chosen.unit,
        exact=f"{exact_text(quantity)} {unit}".strip(),
    )


def grouped_text(quantity: Decimal) -> str:
    """Every digit of the quantity, thousands grouped by commas, with a real minus."""
    text = format(quantity, ",f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    if text.startswith("-"):
        return "0" if text == "-0" else f"{MINUS}{text[1:]}"
    return text


def _rounded(number: Decimal) -> Decimal:
    if not number:
        return Decimal(0)
    # Whole digits are never rounded away; a small number keeps its first significant ones.
    exponent = min(0, number.adjusted() - _SIGNIFICANT_DIGITS + 1)
    with localcontext(Context(prec=100)):
        return number.quantize(Decimal(1).scaleb(exponent), rounding=ROUND_HALF_UP)
