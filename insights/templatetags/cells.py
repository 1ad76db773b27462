"""Quantities as cells of a table show them: rounded for the eye, every digit in the title and the data value."""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from html import escape

from django.utils.safestring import SafeString

from insights.values.quantity import MINUS, THIN_SPACE, Scale, exact_text, grouped_text

_LAST_DIGITS = tuple(Decimal(1).scaleb(-decimals) for decimals in range(10))


def column_decimals(number: Decimal, scale: Scale) -> int:
    """How many decimals a column of a scale shows."""
    if scale.decimals is not None:
        return scale.decimals
    if scale.exponent or scale.binary:
        return 2
    return 0 if number == number.to_integral_value() else 3


def quantities_in(unit: str, scale: Scale) -> Callable[[Decimal], SafeString]:
    """Return what writes each quantity of a column as `quantity_in` does, for pages that have a thousand."""
    title_end = f"{THIN_SPACE}{escape(unit)}" if unit else ""

    def write(number: Decimal) -> SafeString:
        text = fixed(scale.number_of(number), column_decimals(number, scale))
        return _data(number, title_end, text)

    return write


def with_exact(text: str, number: Decimal, unit: str) -> SafeString:
    """Put every digit of a quantity beside its rounded text."""
    return _data(number, f"{THIN_SPACE}{escape(unit)}" if unit else "", text)


def _data(number: Decimal, title_end: str, text: str) -> SafeString:
    # A page has a thousand of these, for which format_html takes ten times as long.
    shown = escape(text) if "<" in text or "&" in text else text
    grouped = grouped_text(number)
    # A minus is written in two ways.
    exact = exact_text(number) if number < 0 else grouped.replace(",", "")
    return SafeString(f'<data value="{exact}" title="{grouped}{title_end}">{shown}</data>')


def fixed(number: Decimal, decimals: int) -> str:
    """Round for the eye to a fixed number of decimals; a value that would round to nothing says so."""
    last = _LAST_DIGITS[decimals]
    rounded = number.quantize(last, rounding=ROUND_HALF_UP)
    if number and not rounded:
        return f"<{last}" if number > 0 else f"{MINUS}<{last}"
    if rounded > 0:
        return f"{rounded:,.{decimals}f}"
    sign = MINUS if rounded < 0 else ""
    return f"{sign}{abs(rounded):,.{decimals}f}"
