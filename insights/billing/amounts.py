"""Amounts of money that people type: major units of a currency, read exactly or refused."""

from __future__ import annotations

import re
from decimal import Decimal

from insights.values.money import currency_decimals
from insights.values.quantity import INTEGER_DIGITS_MAX

_AMOUNT = re.compile(r"([0-9]+)(?:\.([0-9]+))?", re.ASCII)


class InvalidAmount(ValueError):
    """The text is not an amount of the currency; the message says how to write one."""


def minor_from_text(text: str, currency: str) -> int:
    """The minor units of an amount above zero: `12.5` USD is 1250, `1000` JPY is 1000. Raises InvalidAmount."""
    decimals = currency_decimals(currency)
    example = "1000" if not decimals else f"25.{'0' * decimals}"
    match = _AMOUNT.fullmatch(text.strip())
    if match is None or len(match[1]) > INTEGER_DIGITS_MAX:
        raise InvalidAmount(f"Write the amount in digits, such as {example}.")
    fraction = (match[2] or "").rstrip("0")
    if len(fraction) > decimals:
        raise InvalidAmount(f"{currency} has {decimals or 'no'} decimals; write such as {example}.")
    minor = int(match[1] + fraction.ljust(decimals, "0"))
    if not minor:
        raise InvalidAmount("The amount must be above zero.")
    return minor


def percent_from_text(text: str) -> Decimal:
    """A percent from 0 to 100 with at most four decimals. Raises InvalidAmount."""
    match = _AMOUNT.fullmatch(text.strip())
    if match is None or len((match[2] or "").rstrip("0")) > 4 or len(match[1]) > 3:
        raise InvalidAmount("Write a percent with at most four decimals, such as 19 or 7.25.")
    percent = Decimal(text.strip())
    if percent > 100:
        raise InvalidAmount("A percent is at most 100.")
    return percent
