"""Quantities as exact decimals: their text in files and on screens, and exact unit conversion.

Refuses to round silently: only the scaled text for screens rounds, and it says so by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Context, Decimal, Inexact, localcontext

INTEGER_DIGITS_MAX = 19
SCALE_MAX = 9
THIN_SPACE = "\u202f"  # The thin space that does not let a line break between number and unit.
MINUS = "\u2212"
_TIMES = "\u00d7"

_EXACT = Context(prec=100, traps=[Inexact])
_ROUNDING = Context(prec=100, traps=[])
_SIGNIFICANT_DIGITS = 4
_COLUMN_DECIMALS = 2
_LAST_SHOWN = Decimal(1).scaleb(-6)
_BYTE_SCALES = (("B", 0), ("kB", 3), ("MB", 6), ("GB", 9), ("TB", 12), ("PB", 15))
_COUNT_SCALES = (("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12))
BYTE_UNITS = frozenset({"B", "byte", "bytes"})
_UNSCALED_UNITS = frozenset({"kWh", "Wh", "h", "hour", "hours"})
# Decimal and binary multiples have names of their own, so that a price says which it means: GB or GiB.
_BYTES: Mapping[str, int] = {
    **dict.fromkeys(BYTE_UNITS, 1),
    **{unit: 1000**power for power, unit in enumerate(("kB", "MB", "GB", "TB", "PB"), start=1)},
    **{unit: 1024**power for power, unit in enumerate(("KiB", "MiB", "GiB", "TiB", "PiB"), start=1)},
}
_PLURALS = (("series", "series"), ("ies", "y"), ("sses", "ss"), ("xes", "x"))
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
        unit = one_of(self.unit) if self.number == "1" else self.unit
        return f"{self.number}{THIN_SPACE}{unit}" if unit else self.number


@dataclass(frozen=True, slots=True)
class Scale:
    """A unit that is `10 ** exponent * 2 ** binary` of the meter's, shared by all numbers of a column or an axis.

    `decimals` is how many of them a column shows, None where that follows from the unit.
    """

    unit: str
    exponent: int
    binary: int = 0
    decimals: int | None = None

    @property
    def size(self) -> int:
        """How many of the meter's unit it is."""
        return int(10**self.exponent * 2**self.binary)

    def number_of(self, quantity: Decimal) -> Decimal:
        """The quantity in this unit, exactly: to halve is to take five times as much, one decimal further."""
        if self.binary:
            quantity = _EXACT.multiply(quantity, Decimal(5**self.binary))
        return quantity.scaleb(-self.exponent - self.binary, context=_EXACT)


def one_of(unit: str) -> str:
    """A unit for a single one of it: request for requests; what is no plain plural stays, such as 100k units."""
    if not (unit.isalpha() and unit.islower() and len(unit) > 3 and unit[-1] == "s" != unit[-2]):
        return unit
    for plural, singular in _PLURALS:
        if unit.endswith(plural):
            return f"{unit.removesuffix(plural)}{singular}"
    return unit[:-1]


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


def priced_scale(larger_unit: str, size: Decimal) -> Scale | None:
    """The scale of a unit that holds `size` of another, so that pages name quantities as a price does: GB, 100k units.

    None where a quotient may have no last digit.
    """
    if size != size.to_integral_value():
        return None
    left, exponent, binary = int(size), 0, 0
    while left > 1 and not left % 10:
        left, exponent = left // 10, exponent + 1
    while left > 1 and not left % 2:
        left, binary = left // 2, binary + 1
    return Scale(larger_unit, exponent, binary) if left == 1 else None


def is_multiple(unit: str, larger_unit: str) -> bool:
    """Whether both units by their names measure the same: bytes and GB, seconds and hours, not units and packs."""
    return any(unit in sizes and larger_unit in sizes for sizes in (_BYTES, _SECONDS))


def _without_trailing_zeros(quantity: Decimal) -> Decimal:
    trimmed = quantity.normalize(_EXACT)
    exponent = trimmed.as_tuple().exponent
    if isinstance(exponent, int) and exponent > 0:
        return trimmed.quantize(Decimal(1), context=_EXACT)
    return trimmed


def scale_for(unit: str, largest: Decimal) -> Scale:
    """The scale in which the largest of some numbers is easiest to read."""
    if unit in BYTE_UNITS:
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


def for_column(scale: Scale, largest: Decimal) -> Scale:
    """The scale with so many decimals that the largest number of a column keeps its first digits."""
    number = scale.number_of(largest)
    wanted = _SIGNIFICANT_DIGITS - 1 - number.adjusted() if number else 0
    return replace(scale, decimals=min(max(wanted, _COLUMN_DECIMALS), SCALE_MAX))


def exact_in(quantity: Decimal, scale: Scale | None) -> str:
    """Every digit of the quantity in the scale; with more decimals than a quantity has, six of them and “about”."""
    number = quantity if scale is None else scale.number_of(quantity)
    if scale is None or _scale_of(_without_trailing_zeros(number)) <= SCALE_MAX:
        return grouped_text(number)
    with localcontext(_ROUNDING):
        return f"about {grouped_text(number.quantize(_LAST_SHOWN, rounding=ROUND_HALF_UP))}"


def exact_with_unit(quantity: Decimal, unit: str, scale: Scale | None = None) -> str:
    """Every digit of the quantity with its unit, in that of the scale where there is one: 1.25 GB, 1 hour."""
    return beside_unit(exact_in(quantity, scale), scale.unit if scale else unit)


def beside_unit(number: str, unit: str) -> str:
    """A number with its unit: a single one of it by its singular, one that begins with a number behind a cross."""
    if unit[:1].isdigit():
        return f"{number} {_TIMES} {unit}"
    named = one_of(unit) if number in ("1", f"{MINUS}1") else unit
    return f"{number}{THIN_SPACE}{named}" if named else number


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
