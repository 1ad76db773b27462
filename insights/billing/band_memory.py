"""What bands of closed periods came to, kept by this process while nothing that they follow from changes. Pure.

A closed period's bill never changes, and the days before a point of it change only with late usage, so that trying the
method again on every page would give the same. A test is kept by the bill, the point and the days it was made of.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import date, timedelta

from insights.billing.prospect import Histories
from insights.scenarios.forecast import BandTest

_KEPT_MAX = 20_000


@dataclass(frozen=True, slots=True)
class BandKey:
    """An issued bill, the first day that was open, and what all days that matter came to."""

    account_id: int
    invoice_id: int
    until: date
    days: Hashable


_kept: dict[BandKey, BandTest | None] = {}


def days_mark(histories: Histories, first: date, end: date) -> Hashable:
    """What tells the days of a stretch from others: a hash of all of them, and the first one ever, for each meter."""
    days = [first + timedelta(days=number) for number in range((end - first).days)]
    return tuple(
        (place, history.since, hash(tuple(map(history.days.get, days))))
        for place, history in histories.items()
    )


def recall(key: BandKey) -> tuple[bool, BandTest | None]:
    """Whether it is kept, and what: None for a period that had too little history."""
    return key in _kept, _kept.get(key)


def keep(key: BandKey, test: BandTest | None) -> None:
    """Keep it; the oldest makes room."""
    while len(_kept) >= _KEPT_MAX:
        _kept.pop(next(iter(_kept)), None)
    _kept[key] = test
