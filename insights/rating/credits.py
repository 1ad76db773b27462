"""Credits: which are used first, for which lines, and how much. Refuses to use more than there is to pay.

Order: lower priority number, then earlier expiry (never last), then earlier grant, then name, then key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction

from insights.values.money import split

_NEVER = datetime.max.replace(tzinfo=UTC)


class InvalidCredit(ValueError):
    """The credit contradicts itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """Money an account may use instead of paying: what is left of it, from when until when, and for what.

    `remaining_minor` is in the invoice's currency. `covers` names the prices it may pay for, None all that take
    credits. `is_before_tax` lowers what tax is taken of, as a grant with a plan does; otherwise it pays like money.
    `name` is what a customer knows it by. Whoever lists credits for an invoice leaves out those not granted to it yet.
    """

    key: str
    remaining_minor: int
    granted_at: datetime
    expires_at: datetime | None = None
    priority: int = 100
    covers: frozenset[str] | None = None
    is_before_tax: bool = True
    name: str = ""

    def __post_init__(self) -> None:
        if self.remaining_minor < 0:
            raise InvalidCredit(f"{self.key} has less than nothing left")
        if self.expires_at is not None and self.expires_at <= self.granted_at:
            raise InvalidCredit(f"{self.key} expires before it is granted")
        if self.covers is not None and not self.is_before_tax:
            raise InvalidCredit(f"{self.key} pays like money, so it cannot be for some prices only")

    def is_usable(self, at: datetime) -> bool:
        """Whether it is not expired at that instant, and not used up; the expiry itself is too late."""
        return self.remaining_minor > 0 and (self.expires_at is None or at < self.expires_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditUse:
    """How much of one credit was used, above zero, and for which lines, in minor units that add up to it."""

    key: str
    minor: int
    allotted: Mapping[str, int]


def burn_order(granted: Sequence[Credit], at: datetime) -> list[Credit]:
    """The credits usable at the instant, the one to use first in front."""
    usable = [credit for credit in granted if credit.is_usable(at)]
    return sorted(
        usable,
        key=lambda credit: (
            credit.priority,
            credit.expires_at or _NEVER,
            credit.granted_at,
            credit.name,
            credit.key,
        ),
    )


def burn_credits(
    granted: Sequence[Credit], *, open_minor: Mapping[str, int], prices: Mapping[str, str], due_minor: int
) -> list[CreditUse]:
    """Use credits in the order given for lines that are still open, never more than is due in all.

    `open_minor` is what each line that takes credits still comes to, by line key; lines at or below zero take none.
    `prices` names each line's price, which is what `covers` speaks of. A credit is spread over the lines it may pay
    in proportion to what is open, by largest remainder.
    """
    still_open = {key: minor for key, minor in open_minor.items() if minor > 0}
    due = max(due_minor, 0)
    uses = []
    for credit in granted:
        payable = {
            key: minor
            for key, minor in still_open.items()
            if minor and (credit.covers is None or prices[key] in credit.covers)
        }
        minor = min(credit.remaining_minor, sum(payable.values()), due)
        if not minor:
            continue
        allotted = split(minor, {key: Fraction(weight) for key, weight in payable.items()})
        for key, part in allotted.items():
            still_open[key] -= part
        due -= minor
        uses.append(CreditUse(key=credit.key, minor=minor, allotted=allotted))
    return uses
