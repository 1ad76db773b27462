"""The figures a price may have: decimals of a bounded size, never below zero. Refuses anything else by name."""

from __future__ import annotations

from decimal import Decimal

from insights.values.quantity import INTEGER_DIGITS_MAX, exact_text

SCALE_MAX = 12


class InvalidTerms(ValueError):
    """The terms of a price do not fit together; the message names the field and what is wrong."""


def check_amount(name: str, amount: object) -> None:
    """Zero or more, at most 19 digits before the point and 12 after it, and finite; or InvalidTerms."""
    if not isinstance(amount, Decimal) or not amount.is_finite():
        raise InvalidTerms(f"{name} must be a decimal number")
    if amount < 0:
        raise InvalidTerms(f"{name} must be zero or more")
    places = len(exact_text(amount).partition(".")[2])
    if amount >= 10**INTEGER_DIGITS_MAX or places > SCALE_MAX:
        raise InvalidTerms(
            f"{name} must have at most {INTEGER_DIGITS_MAX} digits before the point and {SCALE_MAX} after it"
        )


def check_above_zero(name: str, number: object) -> None:
    """Like check_amount, and not zero either: for what something is divided by."""
    check_amount(name, number)
    if not number:
        raise InvalidTerms(f"{name} must be above zero")
