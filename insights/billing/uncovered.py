"""Usage that no subscription of its account covers in time: what is found of it, and when a person has to look. Pure.

Such usage is on no bill, since no invoice is for its time; so it is told of beside them, until a person lets it pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from hashlib import sha256
from uuid import UUID

from insights.billing.basis import Problem

_CODE = "uncovered_usage"
_DIGEST_CHARACTERS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class UncoveredPlace:
    """One version of a meter that a plan of the account prices, in one stretch of time without a subscription.

    `begins_at` is None before the first subscription, `ends_at` after the last one.
    """

    account_id: int
    meter_id: int
    begins_at: datetime | None
    ends_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UncoveredUsage:
    """How much was used there, in the meter's unit, of how many records; days on the account's billing clock."""

    place: UncoveredPlace
    first_used_on: date
    last_used_on: date
    quantity: Decimal
    records: int

    @property
    def digest(self) -> str:
        """What tells this amount in this place from any other, without saying how much it is."""
        said = f"{self.place.meter_id} {self.place.begins_at} {self.quantity.normalize():f} {self.records}"
        return sha256(said.encode()).hexdigest()[:_DIGEST_CHARACTERS]


@dataclass(frozen=True, slots=True, kw_only=True)
class UncoveredFinding:
    """What is on the list of such usage: never how much, which staff see by support access alone."""

    public_id: UUID
    digest: str
    meter_key: str
    meter_name: str
    begins_at: datetime | None
    ends_at: datetime | None
    first_used_on: date
    last_used_on: date
    records: int
    released_at: datetime | None
    released_by: str
    reason: str

    @property
    def problem(self) -> Problem:
        """Why a bill of the account waits while nobody let this pass."""
        days = f"from {self.first_used_on} to {self.last_used_on}"
        if self.first_used_on == self.last_used_on:
            days = f"on {self.first_used_on}"
        records = "1 record" if self.records == 1 else f"{self.records:,} records"
        what = f"{records} of {self.meter_key}, used {days}"
        message = f"No subscription covers the time of {what}: that usage is on no bill."
        return Problem(code=_CODE, message=message, about=self.digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingOfAccount:
    """What is on the list, and whose it is."""

    account_reference: str
    account_name: str
    found: UncoveredFinding


@dataclass(frozen=True, slots=True, kw_only=True)
class UncoveredAmount:
    """The same with how much it is, for the account itself."""

    found: UncoveredFinding
    unit: str
    quantity: Decimal


def is_more(found: UncoveredUsage, *, quantity: Decimal, records: int) -> bool:
    """Whether there is more of it than a person has seen, so that they have to look again."""
    return found.quantity > quantity or found.records > records
