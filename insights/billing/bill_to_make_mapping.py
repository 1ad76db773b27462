"""What is asked for when an invoice is made, and what is loaded for it: rows, and the basis made of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from accounts.models import Account
from insights.billing.basis import Basis, Problem, ServiceSegment
from insights.models import BillingProfile, InvoiceKind, Subscription
from insights.values.period import Period


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodToBill:
    """One invoice to make: of a subscription, for a billing period of which `service` is subscribed."""

    subscription: Subscription
    account: Account
    whole: Period
    service: Period
    kind: InvoiceKind = InvoiceKind.PERIOD
    operation: str = ""

    @property
    def corrects_until(self) -> datetime:
        """Up to when the periods are that it has corrections of: the last one too, if it closes the subscription."""
        return self.service.end if self.kind == InvoiceKind.CLOSING else self.service.start


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedBasis:
    """A basis, the period it is for, and whom the invoice is made out to.

    `uncovered` is usage of the account in time that no subscription covers, while nobody let it pass.
    """

    to_bill: PeriodToBill
    basis: Basis
    profile: BillingProfile | None
    earlier_totals: tuple[int, ...] = ()
    earlier_records: tuple[int, ...] = ()
    overlapping: tuple[str, ...] = ()
    uncovered: tuple[Problem, ...] = ()


def beginning_at(segments: Iterable[ServiceSegment], start: datetime) -> tuple[ServiceSegment, ...]:
    """The plans a period begins with, taken for its whole length: nothing else is known of it in advance."""
    segments = tuple(segments)
    end = max((segment.service.end for segment in segments), default=start)
    if all((segment.service.start, segment.service.end) == (start, end) for segment in segments):
        return segments
    return tuple(
        replace(segment, service=Period(start, end)) for segment in segments if segment.service.start == start
    )


def taxes_of(profile: BillingProfile | None) -> dict[str, Decimal]:
    """The tax that the account bears, in percent by its name."""
    if profile is None or not profile.tax_percent:
        return {}
    return {profile.tax_name: profile.tax_percent}
