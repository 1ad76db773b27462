"""Which invoices a subscription still needs: its periods in order, from the first that is not issued to the one now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from accounts.models import Account
from insights.billing.contract_queries import PeriodToBill, anchor_of
from insights.billing.periods import periods_until
from insights.models import Invoice, InvoiceKind, InvoiceState, SettlementState, Subscription
from insights.values.period import Period


def list_subscriptions(*, after_id: int, limit: int) -> list[Subscription]:
    """The next subscriptions in order of id, with their accounts."""
    return list(Subscription.objects.filter(pk__gt=after_id).select_related("account").order_by("pk")[:limit])


def list_periods_to_bill(
    subscriptions: Sequence[Subscription], now: datetime
) -> dict[int, list[PeriodToBill]]:
    """What is to be drafted for each subscription at this moment, in the order in which it is to be issued."""
    invoices: dict[int, list[Invoice]] = {subscription.pk: [] for subscription in subscriptions}
    rows = Invoice.objects.filter(subscription__in=invoices).prefetch_related("settlements").defer("details")
    for row in rows.order_by("period_start", "id"):
        invoices[row.subscription_id].append(row)
    return {
        subscription.pk: list(_periods(subscription, subscription.account, invoices[subscription.pk], now))
        for subscription in subscriptions
    }


def _periods(
    subscription: Subscription, account: Account, invoices: Sequence[Invoice], now: datetime
) -> Iterator[PeriodToBill]:
    until = now if subscription.ends_at is None else min(now, subscription.ends_at)
    if until < subscription.starts_at:
        return
    issued = {
        (row.kind, row.period_start) for row in invoices if _counts(row) and row.state == InvoiceState.ISSUED
    }
    for number, whole in enumerate(periods_until(anchor_of(subscription), subscription.starts_at, until)):
        service = _subscribed(whole, subscription)
        for kind in (InvoiceKind.OPENING, InvoiceKind.PERIOD) if number == 0 else (InvoiceKind.PERIOD,):
            if (kind, service.start) not in issued:
                yield PeriodToBill(
                    subscription=subscription,
                    account=account,
                    whole=whole,
                    service=service,
                    kind=kind,
                    operation=_operation(invoices, kind, service.start),
                )


def _subscribed(whole: Period, subscription: Subscription) -> Period:
    end = whole.end if subscription.ends_at is None else min(whole.end, subscription.ends_at)
    return Period(max(whole.start, subscription.starts_at), end)


def _counts(invoice: Invoice) -> bool:
    return all(settlement.state != SettlementState.VOID for settlement in invoice.settlements.all())


def _operation(invoices: Iterable[Invoice], kind: InvoiceKind, start: datetime) -> str:
    """Nothing for a period's first invoice; after a void, how many were voided before."""
    voided = sum(1 for row in invoices if (row.kind, row.period_start) == (kind, start) and not _counts(row))
    return f"after {voided} voided" if voided else ""
