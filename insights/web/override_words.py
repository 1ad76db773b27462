"""What an account's own price says, in the words of the plan's."""

from __future__ import annotations

from insights.billing.price_words import price_words
from insights.models import PriceOverride
from insights.rating.terms_json import parse_terms


def override_words(row: PriceOverride) -> list[str]:
    """Each part of the price in words: its only terms, or those of each cell."""
    words = [price_words(parse_terms(row.terms))] if row.terms else []
    return words + [
        f"{', '.join(cell['values'])}: {price_words(parse_terms(cell['terms']))}" for cell in row.cells
    ]
