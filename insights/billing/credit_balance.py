"""What an account has in credits: each grant, every use of it, and what is left. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from insights.values.money import Money, sum_money


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditUseFacts:
    """What a bill took of a grant; below zero when it gave something back."""

    bill_id: UUID
    number: str
    amount: Money
    used_at: datetime
    is_return: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditPayoutFacts:
    """What a payout to the closed account took of a grant."""

    amount: Money
    paid_on: date
    reference: str
    recorded_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditGrantFacts:
    """A grant with its uses by bills in order, and what was paid out of it."""

    public_id: UUID
    kind: str
    name: str
    reason: str
    amount: Money
    granted_at: datetime
    expires_at: datetime | None
    covers: tuple[str, ...] | None
    priority: int
    is_before_tax: bool
    uses: tuple[CreditUseFacts, ...]
    payouts: tuple[CreditPayoutFacts, ...]

    @property
    def used(self) -> Money:
        """What all bills and payouts took of it together."""
        taken = [use.amount for use in self.uses] + [one.amount for one in self.payouts]
        return sum_money(taken, self.amount.currency)

    @property
    def remaining(self) -> Money:
        """What was never used of it, expired or not."""
        return self.amount - self.used

    def is_expired(self, now: datetime) -> bool:
        """Whether its time is over; the expiry itself is too late."""
        return self.expires_at is not None and self.expires_at <= now

    def usable(self, now: datetime) -> Money:
        """What may still lower a bill."""
        is_usable = self.granted_at <= now and not self.is_expired(now)
        return self.remaining if is_usable else Money(0, self.amount.currency)


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantBalance:
    """A grant with how much of it bills and payouts took, without saying which."""

    kind: str
    name: str
    reason: str
    amount: Money
    used: Money
    granted_at: datetime
    expires_at: datetime | None
    covers: tuple[str, ...] | None

    @property
    def left(self) -> Money:
        """What was never used of it, expired or not."""
        return self.amount - self.used

    def is_expired(self, now: datetime) -> bool:
        """Whether its time is over; the expiry itself is too late."""
        return self.expires_at is not None and self.expires_at <= now


@dataclass(frozen=True, slots=True)
class CreditBalance:
    """All grants of an account, newest first."""

    grants: tuple[CreditGrantFacts, ...]

    def usable(self, now: datetime) -> tuple[Money, ...]:
        """What may still lower bills, in each currency there is a grant in."""
        currencies = dict.fromkeys(grant.amount.currency for grant in self.grants)
        return tuple(
            sum_money(
                (grant.usable(now) for grant in self.grants if grant.amount.currency == currency), currency
            )
            for currency in currencies
        )
