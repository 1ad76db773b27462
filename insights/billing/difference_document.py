"""The difference of two bills as plain JSON values: what the API answers. Amounts and quantities are texts. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from insights.billing.bill import Bill
from insights.billing.bill_document import head_document
from insights.billing.bill_facts import plan_names
from insights.billing.correction_words import PlacedCorrection, corrections_of
from insights.billing.difference_words import difference_sentence, open_part, part_words
from insights.billing.price_words import money_number
from insights.scenarios.difference import Bar, BillDifference, Part
from insights.scenarios.facts import BilledLine
from insights.values.exact import exact_number_text
from insights.values.money import Money


def difference_document(difference: BillDifference, before: Bill, after: Bill) -> dict[str, Any]:
    """Both bills' heads, the answer in words, and every part; bars are sums of parts, and parts add to the change."""
    names = plan_names(before, after)
    return {
        "before": head_document(before.head),
        "after": head_document(after.head),
        "currency": difference.change.currency,
        "change": money_number(difference.change),
        "sentence": difference_sentence(
            difference,
            f"invoice {before.head.number or before.head.public_id}",
            part=open_part(after.head),
        ),
        "effects": [_bar(bar) for bar in difference.bars],
        "parts": [
            _part(part, part_words(part, names), corrections_of(part, before, after))
            for part in difference.parts
        ],
    }


def exact_amount(minor: Fraction, currency: str) -> str:
    """An exact number of minor units in major units."""
    return exact_number_text(minor * Fraction(Money(1, currency).amount))


def _bar(bar: Bar) -> dict[str, Any]:
    return {"effect": str(bar.effect), "amount": money_number(bar.amount)}


def _part(part: Part, words: str, corrections: Iterable[PlacedCorrection]) -> dict[str, Any]:
    match = part.match
    return {
        "effect": str(part.effect),
        "name": match.name,
        "meter": match.meter_key or None,
        "values": dict(match.values),
        "amount": money_number(part.amount),
        "exact": exact_amount(part.exact, part.amount.currency),
        "words": words,
        "lines_before": _positions(match.before.lines),
        "lines_after": _positions(match.after.lines),
        "corrections": [_correction(one) for one in corrections],
    }


def _correction(one: PlacedCorrection) -> dict[str, Any]:
    corrected = one.line.corrects
    return {
        "on": "after" if one.is_later else "before",
        "position": one.line.position,
        "amount": money_number(one.line.amount),
        "bill": corrected and str(corrected.bill_id),
        "number": corrected and (corrected.number or None),
        "line": corrected and corrected.line_name,
        "line_position": corrected and corrected.position,
    }


def _positions(lines: tuple[BilledLine, ...]) -> list[int]:
    return sorted(line.position for line in lines)
