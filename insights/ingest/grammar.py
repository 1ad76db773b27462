"""The one written form of quantities, revisions and texts in usage data.

A value is taken exactly or refused; nothing is trimmed, rounded, guessed or read in the manner of a
locale. Texts come back in Unicode NFC, so that two spellings of one id are one id.
"""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal

from insights.ingest.refusals import Refusal
from insights.values.quantity import INTEGER_DIGITS_MAX, SCALE_MAX

TEXT_CHARACTERS_MAX = 200
REVISION_END = 2**31
NUMBER_CHARACTERS_MAX = 1000

_QUANTITY = re.compile(r"-?(?:0|[1-9][0-9]{0,18})(?:\.[0-9]{1,9})?")
_PLAIN = re.compile(r"-?(0|[1-9][0-9]*)(?:\.([0-9]+))?")
_EXPONENT = re.compile(r"-?(0|[1-9][0-9]*)(?:\.([0-9]+))?[eE]([-+]?[0-9]+)")
_NOT_FINITE = frozenset({"nan", "snan", "qnan", "inf", "infinity"})
_REVISION = re.compile(r"[1-9][0-9]*")
_FLOAT_EXPONENT_MAX = 308


class NumberToken(str):
    """The exact characters of a bare JSON number; a text that only looks like one is a plain str."""

    __slots__ = ()


def scan_quantity(value: object, field: str) -> Decimal:
    """The exact decimal, from a CSV cell, a JSON text or a bare JSON number."""
    text = _number_text(value, field)
    if _QUANTITY.fullmatch(text) is None:
        raise _quantity_refusal(text, field, bare=isinstance(value, NumberToken))
    number = Decimal(text)
    # A negative zero would be stored and shown with its sign.
    return number if number else number.copy_abs()


def _number_text(value: object, field: str) -> str:
    if value is None or value == "":
        raise Refusal("missing_field", field, f"{field} is missing", "")
    if not isinstance(value, str):
        raise Refusal("number_format", field, f"{field} must be a number", value)
    refuse_control_characters(value, field)
    return value


def _quantity_refusal(text: str, field: str, *, bare: bool) -> Refusal:
    code, message = _quantity_fault(text, bare=bare)
    return Refusal(code, field, f"{field} {message}", text)


def _quantity_fault(text: str, *, bare: bool) -> tuple[str, str]:
    form = "must be a plain decimal number such as 1234.5"
    if text.lstrip("+-").casefold() in _NOT_FINITE:
        return "number_not_finite", "must be a finite number"
    if len(text) > NUMBER_CHARACTERS_MAX:
        return "number_format", form
    if match := _PLAIN.fullmatch(text):
        return _size_fault(len(match[1]), len(match[2] or ""))
    if match := _EXPONENT.fullmatch(text):
        return _exponent_fault(match[1], match[2] or "", match[3], bare=bare) or (
            "number_format",
            f"{form}, without an exponent",
        )
    return "number_format", form


def _size_fault(integer_digits: int, scale: int) -> tuple[str, str]:
    if integer_digits > INTEGER_DIGITS_MAX:
        return "precision_exceeded", f"has more than {INTEGER_DIGITS_MAX} digits before the point"
    return "scale_exceeded", f"has {scale} digits after the point; {SCALE_MAX} are kept exactly"


def _exponent_fault(whole: str, fraction: str, exponent_text: str, *, bare: bool) -> tuple[str, str] | None:
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return None
    exponent = int(exponent_text)
    integer_digits = len(digits) - len(fraction) + exponent
    scale = len(fraction) - exponent - (len(digits) - len(digits.rstrip("0")))
    if bare and integer_digits > _FLOAT_EXPONENT_MAX:
        return "number_not_finite", "is beyond every finite number that JSON readers keep"
    if integer_digits > INTEGER_DIGITS_MAX or scale > SCALE_MAX:
        return _size_fault(integer_digits, scale)
    return None


def scan_revision(value: object, field: str) -> int:
    """A whole number from 1 to 2147483647, in ASCII digits without sign or leading zero."""
    text = _number_text(value, field)
    if len(text) > NUMBER_CHARACTERS_MAX or _REVISION.fullmatch(text) is None:
        raise Refusal("number_format", field, f"{field} must be a whole number from 1", text)
    revision = int(text)
    if revision >= REVISION_END:
        raise Refusal("precision_exceeded", field, f"{field} must be below {REVISION_END}", text)
    return revision


def scan_text(value: object, field: str) -> str:
    """An id or name: not empty, at most 200 characters, nothing invisible, in NFC."""
    if value is None or (isinstance(value, str) and not value.strip(" ")):
        raise Refusal("missing_field", field, f"{field} is missing", value or "")
    if not isinstance(value, str) or isinstance(value, NumberToken):
        raise Refusal("shape", field, f"{field} must be a text", value)
    if len(value) > TEXT_CHARACTERS_MAX:
        raise _too_long(value, field)
    refuse_control_characters(value, field)
    if value.strip() != value:
        raise Refusal("field_format", field, f"{field} begins or ends with a space", value)
    if value.isascii():
        return value
    composed = unicodedata.normalize("NFC", value)
    if len(composed) > TEXT_CHARACTERS_MAX:
        raise _too_long(value, field)
    return composed


def _too_long(value: str, field: str) -> Refusal:
    message = f"{field} has more than {TEXT_CHARACTERS_MAX} characters"
    return Refusal("field_too_long", field, message, value)


def refuse_control_characters(value: str, field: str) -> None:
    """Refuse what cannot be seen: controls, format characters such as bidi overrides, half pairs."""
    if value.isprintable():
        return
    for character in value:
        category = unicodedata.category(character)
        if category == "Cs":
            raise Refusal("encoding", field, f"{field} holds half a surrogate pair", value)
        # Cf holds the direction overrides, zero-width characters, joiners and the byte order mark.
        if category in ("Cc", "Cf", "Zl", "Zp"):
            message = f"{field} holds the invisible character U+{ord(character):04X}"
            raise Refusal("control_char", field, message, value)
