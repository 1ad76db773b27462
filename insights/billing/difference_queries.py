"""Two bills of an account to compare, and the bills that one may be compared with.

Call inside an account's scope; every query names the account besides.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q

from accounts.models import Account
from insights.billing.bill import Bill, BillHead
from insights.billing.bill_mapping import head_of
from insights.billing.bill_queries import get_bills
from insights.models import Invoice, InvoiceKind, Settlement, SettlementState

BILLS_OFFERED_MAX = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoBills:
    """A bill, the one to compare it with if there is one, and those that might be, newest period first."""

    bill: Bill
    other: Bill | None
    offered: tuple[BillHead, ...]


def find_two_bills(
    account: Account, *, public_id: UUID, other_id: UUID | None, now: datetime
) -> TwoBills | None:
    """Read a bill and another one, or the one before it if none is named; None where one of them is not the account's.

    The one before is of the same subscription and kind and not void; before a closing bill stand those of periods.
    """
    chosen = other_id or _find_before(account, public_id)
    bills = get_bills(account, public_ids={public_id, *([chosen] if chosen else [])}, now=now)
    bill = bills.get(public_id)
    if bill is None or (chosen and chosen not in bills):
        return None
    return TwoBills(bill=bill, other=bills[chosen] if chosen else None, offered=_offered(account, bill, now))


def _find_before(account: Account, public_id: UUID) -> UUID | None:
    of_account = Invoice.objects.for_account(account)
    invoice = of_account.only("subscription_id", "kind", "period_start").filter(public_id=public_id).first()
    if invoice is None:
        return None
    of_subscription = of_account.filter(subscription=invoice.subscription_id).exclude(pk__in=_void(account))
    if invoice.kind == InvoiceKind.CLOSING:
        # It has the last period as its own, whose bill is the one before it.
        earlier = of_subscription.filter(kind=InvoiceKind.PERIOD, period_start__lte=invoice.period_start)
    else:
        earlier = of_subscription.filter(kind=invoice.kind, period_start__lt=invoice.period_start)
    return earlier.order_by("-period_start", "-id").values_list("public_id", flat=True).first()


def _void(account: Account) -> Any:
    settlements = Settlement.objects.for_account(account).filter(state=SettlementState.VOID)
    return settlements.values("invoice_id")


def _offered(account: Account, bill: Bill, now: datetime) -> tuple[BillHead, ...]:
    """The newest bills in the currency of this one, which alone can be compared with it."""
    rows = list(
        Invoice.objects.for_account(account)
        .filter(~Q(public_id=bill.head.public_id), currency=bill.head.currency)
        .select_related("subscription")
        .defer("details")
        .order_by("-period_start", "-id")[:BILLS_OFFERED_MAX]
    )
    settlements = {
        one.invoice_id: one for one in Settlement.objects.for_account(account).filter(invoice__in=rows)
    }
    return tuple(head_of(row, settlements.get(row.pk), now=now) for row in rows)
