"""The six places where a bill is read, each by its own reader: how much its lines and its total come to there."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from html import unescape
from typing import Any

from pypdf import PdfReader

DECIMALS = {"USD": 2, "EUR": 2, "JPY": 0, "KWD": 3}
MINUS = "\N{MINUS SIGN}"
_LINE = re.compile(r'<tr class="bill-line[^>]*>.*?<td class="num">([^<]+)</td>\s*</tr>', re.DOTALL)
_TOTAL = re.compile(r'<th scope="row" colspan="4">Total</th><td class="num">([^<]+)</td>')
_MAIL = re.compile(r"comes to (.+)\.$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Reading:
    """The amounts of the lines in minor units, each as often as it is there, and the total."""

    lines: Counter[int] = field(default_factory=Counter)
    total: int | None = None

    @property
    def sum(self) -> int:
        return sum(minor * times for minor, times in self.lines.items())


def minor_of_words(text: str, currency: str) -> int:
    """An amount as people read it, 1,234.50 EUR; raises ValueError for more or fewer decimals than there are."""
    number, _, said = unescape(text).strip().rpartition(" ")
    if said != currency:
        raise ValueError(f"{text!r} is not in {currency}")
    return minor_of_number(number.replace(",", "").replace(MINUS, "-"), currency)


def minor_of_number(text: str, currency: str) -> int:
    """An amount as machines read it, -1234.50; raises ValueError for more or fewer decimals than there are."""
    amount = Decimal(text)
    if amount.as_tuple().exponent != -DECIMALS[currency]:
        raise ValueError(f"{text!r} has not the decimals of {currency}")
    return int(amount.scaleb(DECIMALS[currency]))


def read_page(html: str, currency: str) -> Reading:
    total = _TOTAL.search(html)
    return Reading(
        Counter(minor_of_words(text, currency) for text in _LINE.findall(html)),
        minor_of_words(total[1], currency) if total else None,
    )


def read_document(document: Mapping[str, Any], currency: str) -> Reading:
    return Reading(
        Counter(minor_of_number(line["amount"], currency) for line in document["lines"]),
        minor_of_number(document["total"], currency),
    )


def read_csv(text: str, currency: str) -> Reading:
    """A file has no total of its own; it is the sum of its lines."""
    rows = list(csv.DictReader(io.StringIO(text)))
    lines = Counter(minor_of_number(row["amount"], currency) for row in rows)
    return Reading(lines, Reading(lines).sum)


def read_pdf(content: bytes, currency: str) -> Reading:
    """Every amount that stands at the end of a line of print: those of lines, subtotals and the total.

    A quantity that is money may stand there too; what has not the decimals of an amount is none.
    """
    printed = "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(content)).pages)
    found = re.findall(rf"{MINUS}?[0-9][0-9,.]* {currency}(?= ?$)", printed, re.MULTILINE)
    amounts: Counter[int] = Counter()
    for text in found:
        with suppress(ValueError):
            amounts[minor_of_words(text, currency)] += 1
    return Reading(amounts)


def read_mail(body: str, currency: str) -> Reading:
    """A mail says the total and nothing else."""
    total = _MAIL.search(body)
    return Reading(total=minor_of_words(total[1], currency) if total else None)
