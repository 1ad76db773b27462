"""Exact numbers: fractions, their one text form, and the only rounding that money goes through.

A day's part of a month or a second's part of an hour has no last decimal digit, so between the decimals that come
in and the minor units that go out every number is a Fraction. Refuses text in any other form than its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Context, Decimal, Inexact, InvalidOperation
from fractions import Fraction
from functools import lru_cache

PRECISION = 100
# Decimals of ours are shifted and written, never rounded: what would round is an error.
EXACT = Context(prec=PRECISION, traps=[Inexact, InvalidOperation])
PER_CENT = Fraction(1, 100)
ZERO = Fraction(0)

_NUMBER_TEXT = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?")
_RATIO_TEXT = re.compile(r"(-?[1-9][0-9]*)/([1-9][0-9]*)")


@lru_cache(maxsize=4096)
def exact_of(number: Decimal) -> Fraction:
    """The decimal as an exact number; prices come again with every line, and making a Fraction is slow."""
    return Fraction(number)


def add_exact(numbers: Iterable[Fraction]) -> Fraction:
    """The sum; noughts are not added, since most sums have only one other number and an addition is slow."""
    total = ZERO
    for number in numbers:
        if number:
            total = total + number if total else number
    return total


class InvalidNumber(ValueError):
    """The text is not an exact number in its one form."""


def exact_number_text(number: Fraction) -> str:
    """Decimal digits where the number has a last one (`57.5`), else its lowest terms (`240/31`).

    Equal numbers have equal texts, so the text can be stored, compared and hashed.
    """
    if number.denominator == 1:
        return str(number.numerator)
    places = _decimal_places(number.denominator)
    if places is None:
        return f"{number.numerator}/{number.denominator}"
    numerator = number.numerator
    digits = str(abs(numerator) * (10**places // number.denominator)).rjust(places + 1, "0")
    sign = "-" if numerator < 0 else ""
    return f"{sign}{digits[:-places]}.{digits[-places:]}"


@lru_cache(maxsize=16_384)
def parse_exact_number(text: str) -> Fraction:
    """The number whose text this is, or InvalidNumber; zero is `0`, never `-0` or `0.0`.

    What was read is kept: the steps of a bill hold hundreds, and pages read a bill again and again.
    """
    if _NUMBER_TEXT.fullmatch(text) and text != "-0":
        return Fraction(text)
    match = _RATIO_TEXT.fullmatch(text)
    if match:
        number = Fraction(int(match[1]), int(match[2]))
        if exact_number_text(number) == text:
            return number
    raise InvalidNumber(f"{text[:200]!r} is not an exact number")


@lru_cache(maxsize=4096)
def _decimal_places(denominator: int) -> int | None:
    """How many decimal places a fraction in lowest terms needs; None when no number of them is enough."""
    twos = (denominator & -denominator).bit_length() - 1
    rest = denominator >> twos
    fives = 0
    while rest % 5 == 0:
        rest //= 5
        fives += 1
    return max(twos, fives) if rest == 1 else None


def round_half_away(number: Fraction) -> int:
    """The nearest whole number; a half goes away from zero, so that a reversal rounds as its original did."""
    return rounded_ratio(number.numerator, number.denominator)


def rounded_ratio(numerator: int, denominator: int) -> int:
    """The same of a fraction that is not in lowest terms; the denominator is above zero."""
    nearest = (2 * abs(numerator) + denominator) // (2 * denominator)
    return -nearest if numerator < 0 else nearest


def decimal_of(whole: int, places: int) -> Decimal:
    """The whole number of units of the given decimal place: 4923 and 2 give 49.23."""
    return Decimal(whole).scaleb(-places, context=EXACT)
