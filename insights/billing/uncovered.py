"""Usage that no subscription of its account covers in time: what is found of it, and when a person has to look. Pure.

Such usage is on no bill, since no invoice is for its time; so it is told of beside them, until a person lets it pass.
"""

from __future__ import annotations

from collections.abc import Collection
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

    def is_of(self, other: UncoveredPlace) -> bool:
        """Whether it is the other one, which a subscription may end by now, or a part that one left of it."""
        if self.meter_id != other.meter_id:
            return False
        if self.begins_at == other.begins_at:
            return True
        begins_in = other.begins_at is None or (
            self.begins_at is not None and self.begins_at > other.begins_at
        )
        ends_in = other.ends_at is None or (self.ends_at is not None and self.ends_at <= other.ends_at)
        return begins_in and ends_in


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

    def is_on_days_of(self, other: UncoveredUsage) -> bool:
        """Whether all days on which it was used are among those of the other."""
        return other.first_used_on <= self.first_used_on and self.last_used_on <= other.last_used_on


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
    """What is on the list, and whose it is; `place` is where in the list of all accounts it stands."""

    place: int
    account_reference: str
    account_name: str
    found: UncoveredFinding


@dataclass(frozen=True, slots=True, kw_only=True)
class UncoveredAmount:
    """The same with how much it is, for the account itself."""

    found: UncoveredFinding
    unit: str
    quantity: Decimal


def still_let_pass(
    found: Collection[UncoveredUsage], let_pass: Collection[UncoveredUsage]
) -> dict[UncoveredPlace, UncoveredPlace]:
    """Which of the places found hold no more than what a person let pass, and the place of that.

    What was let pass stays so, whole or in the parts that a subscription begun since leaves of it, as long as they add
    to no more. A part with usage on other days than were seen is not counted among them: it is more, whatever it holds.
    """
    held: dict[UncoveredPlace, UncoveredPlace] = {}
    for seen in let_pass:
        parts = [one for one in found if one.place.is_of(seen.place) and one.is_on_days_of(seen)]
        quantity = sum((one.quantity for one in parts), Decimal(0))
        if quantity <= seen.quantity and sum(one.records for one in parts) <= seen.records:
            held |= {one.place: seen.place for one in parts}
    return held
