"""Reads which lines of a bill stand at a price made for the account alone; inside the account's scope."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from accounts.models import Account
from insights.billing.bill import BillLine
from insights.models import PriceOverride


def list_own_prices(account: Account, lines: Iterable[BillLine]) -> frozenset[int]:
    """The positions of the lines that stand at an own price of their time; one statement.

    Compared by terms, since which plan an own price is laid over is in the catalogue, which customers do not read.
    """
    priced = [line for line in lines if line.price_key and line.terms_document is not None]
    if not priced:
        return frozenset()
    keys = {line.price_key for line in priced}
    overrides = list(PriceOverride.objects.for_account(account).filter(price_key__in=keys))
    return frozenset(line.position for line in priced if any(_is_at(line, one) for one in overrides))


def _is_at(line: BillLine, override: PriceOverride) -> bool:
    is_in_time = override.starts_at < line.service_end and (
        override.ends_at is None or line.service_start < override.ends_at
    )
    return is_in_time and override.price_key == line.price_key and line.terms_document in _documents(override)


def _documents(override: PriceOverride) -> Iterator[Mapping[str, Any] | None]:
    """The terms of every part of an own price."""
    yield override.terms
    for cell in override.cells or ():
        yield cell["terms"]
