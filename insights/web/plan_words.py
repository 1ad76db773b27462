"""Plans for staff: a version's prices in words, and what another version would change, price by price."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from insights.billing.price_words import TierRow, price_words, sheet_price_rows, tier_rows
from insights.rating.sheet import PriceSheet, SheetPrice
from insights.web.prices import whole_words

PRICE_COLUMNS = (
    "plan", "version", "effective_from_utc", "published", "price_key", "price", "meter", "values",
    "units", "words",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceRow:
    """One price, or one cell of it, which is its part of this number: what it is for, and what it says."""

    name: str
    key: str
    part: int
    meter_key: str
    what: str
    words: str
    tiers: tuple[TierRow, ...]
    marks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What a price says before and after; empty where it is not there."""

    name: str
    before: str
    after: str


def price_rows(sheet: PriceSheet) -> tuple[PriceRow, ...]:
    """Every price and cell of the sheet in order."""
    return tuple(
        PriceRow(
            name=price.name,
            key=price.key,
            part=part,
            meter_key=price.meter_key,
            what=what,
            words=price_words(terms),
            tiers=tier_rows(terms),
            marks=_marks(price),
        )
        for price in sheet.prices
        for part, (what, terms) in enumerate(sheet_price_rows(price))
    )


def _marks(price: SheetPrice) -> tuple[str, ...]:
    marks = ["for each of a count"] if price.is_counted else []
    if not price.is_taxable:
        marks.append("no tax")
    if not price.takes_credit:
        marks.append("no credits")
    return tuple(marks)


def differences(before: PriceSheet | None, after: PriceSheet) -> tuple[Difference, ...]:
    """What is different between two versions, in the words of the pages; new and dropped prices too."""
    old = {} if before is None else dict(_said(before))
    new = dict(_said(after))
    return tuple(
        Difference(name=name, before=old.get(name, ""), after=new.get(name, ""))
        for name in dict.fromkeys([*new, *old])
        if old.get(name) != new.get(name)
    )


def _said(sheet: PriceSheet) -> Iterator[tuple[str, str]]:
    for row in price_rows(sheet):
        tiers = "; ".join(f"{tier.units}: {tier.price}" for tier in row.tiers)
        words = ", ".join((row.words, *row.marks))
        name = f"{row.name} ({row.key}), {row.what}" if row.what else f"{row.name} ({row.key})"
        yield name, f"{words}: {tiers}" if tiers else words
    if whole := "; ".join(whole_words(sheet)):
        yield "The bill as a whole", whole
