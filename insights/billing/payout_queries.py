"""What bills below zero left of closed accounts: what is to be paid out to each, and what was."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import DecimalField, Exists, F, OuterRef, Q, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce

from accounts.models import Account
from insights.models import (
    CreditGrant,
    CreditKind,
    CreditUse,
    Invoice,
    InvoiceKind,
    InvoiceState,
    Payout,
    SettlementState,
    Subscription,
)
from insights.values.money import Money

_MINOR: DecimalField[Any, Any] = DecimalField(max_digits=30, decimal_places=0)


class LeftOverPlace(NamedTuple):
    """Where in the list of what is left over an entry stands."""

    name: str
    account_id: int
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOver:
    """What bills below zero left of an account that is closed since, to be paid out: no bill is left to lower.

    Not final while a bill of the account is still to be issued, drafted or not, which may take of it or add to it.
    """

    account: Account
    amount: Money
    is_final: bool

    @property
    def place(self) -> LeftOverPlace:
        """Where it stands in the list."""
        return LeftOverPlace(self.account.name, self.account.pk, self.amount.currency)


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutFacts:
    """Money that was paid out to a closed account, and who says so; `place` is where in the list of all it stands."""

    place: int
    public_id: UUID
    account: Account
    amount: Money
    paid_on: date
    reference: str
    recorded_at: datetime
    recorded_by: str


def list_left_over(
    account: Account | None = None, *, limit: int | None = None, after: LeftOverPlace | None = None
) -> tuple[LeftOver, ...]:
    """List what is left over of closed accounts, by name, or of one account; four statements, as finance may read."""
    rows = grants_with_left().filter(kind=CreditKind.CARRIED, account__closed_at__isnull=False)
    rows = rows if account is None else rows.filter(account=account)
    sums = (
        rows.values("account", "account__name", "currency")
        .annotate(minor=Sum("left_minor"))
        .filter(minor__gt=0)
    )
    if after is not None:
        behind = Q(account=after.account_id, currency__gt=after.currency) | Q(account__gt=after.account_id)
        sums = sums.filter(Q(account__name__gt=after.name) | Q(account__name=after.name) & behind)
    found = list(sums.order_by("account__name", "account", "currency")[:limit])
    accounts = Account.objects.in_bulk({row["account"] for row in found})
    waiting = _with_bills_to_come(accounts)
    return tuple(
        LeftOver(
            account=accounts[row["account"]],
            amount=Money(int(row["minor"]), row["currency"]),
            is_final=row["account"] not in waiting,
        )
        for row in found
    )


def _with_bills_to_come(accounts: Collection[int]) -> set[int]:
    """Those of the closed accounts with an invoice that is not issued, or a subscription not billed up to its end.

    The latter has no draft yet where no pass came by since it was begun, closed, or its last bill voided.
    """
    invoices = Invoice.objects.filter(account__in=accounts)
    unissued = invoices.exclude(state=InvoiceState.ISSUED).values_list("account", flat=True)
    last = Invoice.objects.filter(
        account=OuterRef("account"),
        subscription=OuterRef("pk"),
        kind=InvoiceKind.PERIOD,
        period_end=OuterRef("ends_at"),
        state=InvoiceState.ISSUED,
    ).exclude(settlements__state=SettlementState.VOID)
    # What would begin after its account was closed never does.
    begun = Subscription.objects.filter(account__in=accounts, starts_at__lt=F("account__closed_at"))
    unbilled = begun.filter(~Exists(last) | Q(settled_as_of__isnull=True)).values_list("account", flat=True)
    return {*unissued, *unbilled}


def grants_with_left() -> QuerySet[Any]:
    """Credits, each with what nothing has used of it as `left_minor`, expired or not."""
    uses = CreditUse.objects.filter(account=OuterRef("account"), grant=OuterRef("pk")).order_by()
    used = uses.values("grant").annotate(minor=Sum("amount_minor")).values("minor")
    nothing = Value(Decimal(0), output_field=_MINOR)
    return CreditGrant.objects.annotate(
        left_minor=F("amount_minor") - Coalesce(Subquery(used, output_field=_MINOR), nothing)
    )


def list_payouts(
    account: Account | None = None, *, limit: int | None = None, after: int | None = None
) -> tuple[PayoutFacts, ...]:
    """List what was paid out, what was recorded last first, of all accounts or of one, behind the place `after`."""
    rows = Payout.objects.select_related("account", "recorded_by").order_by("-pk")
    rows = rows if account is None else rows.filter(account=account)
    if after is not None:
        rows = rows.filter(pk__lt=after)
    return tuple(_facts(row) for row in rows[:limit])


def _facts(row: Payout) -> PayoutFacts:
    by: Any = row.recorded_by
    return PayoutFacts(
        place=row.pk,
        public_id=row.public_id,
        account=row.account,
        amount=Money(int(row.amount_minor), row.currency),
        paid_on=row.paid_on,
        reference=row.reference,
        recorded_at=row.recorded_at,
        recorded_by=by.email,
    )
