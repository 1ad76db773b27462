"""Which invoices a subscription still needs: its periods in order, from the first that is not issued to the one now.

After its end and its last period, one that closes it: of what changed since, if anything did.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from accounts.models import Account
from accounts.tenancy import connection
from insights.billing.bill_to_make_mapping import PeriodToBill
from insights.billing.periods import periods_until
from insights.billing.row_queries import any_of
from insights.billing.subscription_queries import anchor_of
from insights.metering.late_queries import parts_since
from insights.models import Invoice, InvoiceKind, InvoiceState, SettlementState, Subscription
from insights.values.period import Period

_OF_SUBSCRIPTION = "i.account_id = s.account_id AND i.subscription_id = s.id"
# After the end, when every period is issued: usage that came since it was last found that nothing is left to bill.
_LEFT = f"""
    s.ends_at <= %(now)s
    AND EXISTS (
        SELECT FROM insights_invoice i
        WHERE {_OF_SUBSCRIPTION} AND i.kind = 'period' AND i.state = 'issued' AND i.period_end = s.ends_at)
    AND NOT EXISTS (SELECT FROM insights_invoice i WHERE {_OF_SUBSCRIPTION} AND i.state <> 'issued')
    AND (s.settled_as_of IS NULL OR EXISTS (
        SELECT FROM ({parts_since("s.account_id", "s.settled_as_of")}) p
        WHERE p.first_window < s.ends_at OR p.replaced > 0))
"""
# Drafts of a time after the end.
_BEYOND = f"""
    EXISTS (
        SELECT FROM insights_invoice i
        WHERE {_OF_SUBSCRIPTION} AND i.state <> 'issued' AND i.period_start >= s.ends_at)
"""
# Nothing of the period that now is in, or something that may be issued by now, or released since it was parked.
_DUE = f"""
    ((s.ends_at IS NULL OR s.ends_at > coalesce(
        (SELECT max(i.period_end) FROM insights_invoice i WHERE {_OF_SUBSCRIPTION}), s.starts_at))
        AND NOT EXISTS (
            SELECT FROM insights_invoice i WHERE {_OF_SUBSCRIPTION} AND i.kind = 'period' AND i.period_end > %(now)s))
    OR EXISTS (
        SELECT FROM insights_invoice i JOIN insights_settlement v ON v.account_id = i.account_id AND v.invoice_id = i.id
        WHERE {_OF_SUBSCRIPTION} AND v.state = 'void' AND i.kind <> 'closing' AND NOT EXISTS (
            SELECT FROM insights_invoice n WHERE n.account_id = i.account_id AND n.subscription_id = i.subscription_id
                AND n.kind = i.kind AND n.period_start = i.period_start AND n.id > i.id))
    OR EXISTS (
        SELECT FROM insights_invoice i WHERE {_OF_SUBSCRIPTION} AND i.issue_from <= %(now)s AND i.state <> 'issued'
            AND (i.state = 'draft' OR i.drafted_at < %(now)s - interval '1 hour'
                OR NOT EXISTS (
                    SELECT FROM jsonb_array_elements(i.parked_for) p WHERE NOT p ->> 'finding' = ANY(i.released))))
    OR {_LEFT} OR {_BEYOND}
"""
# A draft is behind when usage came after its position, or what it was made of was changed after it.
_CHANGED_TABLES = (
    ("insights_subscription", "c.changed_at"),
    ("insights_subscriptionphase", "greatest(c.created_at, c.cancelled_at)"),
    ("insights_addon", "c.changed_at"),
    ("insights_priceoverride", "c.changed_at"),
    ("insights_creditgrant", "c.created_at"),
    ("insights_credituse", "c.used_at"),
    ("insights_billingprofile", "c.updated_at"),
)
# A change says when its transaction began, and is seen when that ends.
_CHANGED = " OR ".join(
    f"EXISTS (SELECT FROM {table} c WHERE c.account_id = s.account_id "
    f"AND {changed} > i.drafted_at - interval '10 minutes')"
    for table, changed in _CHANGED_TABLES
)
_BEHIND = f"""
    EXISTS (
        SELECT FROM insights_invoice i WHERE {_OF_SUBSCRIPTION} AND i.state <> 'issued' AND (
            i.drafted_at < %(now)s - interval '1 day'
            OR EXISTS ({parts_since("s.account_id", "i.usage_as_of")})
            OR {_CHANGED}))
    OR {_LEFT} OR {_BEYOND}
"""
_WANTED = {"issue": _DUE, "draft": _BEHIND}


def read_clock() -> datetime:
    """What time it is by the database: hosts may be days off, and no invoice may come early for that."""
    with connection().cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
    return now


class PartOfAccounts(NamedTuple):
    """One of equal parts of the accounts, counted from 0; an account's subscriptions are all in the same."""

    number: int = 0
    of: int = 1


ALL_ACCOUNTS = PartOfAccounts()


def list_subscription_ids(kind: str, now: datetime, part: PartOfAccounts = ALL_ACCOUNTS) -> list[int]:
    """The subscriptions of a part that a pass of this kind has something to do for, in order of id."""
    # What would begin after its account was closed never does.
    begun = """s.starts_at <= %(now)s AND NOT EXISTS (
        SELECT FROM accounts_account a WHERE a.id = s.account_id AND a.closed_at <= s.starts_at)"""
    condition = f"s.account_id %% %(of)s = %(number)s AND {begun} AND ({_WANTED[kind]})"
    statement = f"SELECT s.id FROM insights_subscription s WHERE {condition} ORDER BY 1"
    with connection().cursor() as cursor:
        cursor.execute(statement, {"now": now, **part._asdict()})
        return [subscription_id for (subscription_id,) in cursor.fetchall()]


def list_subscriptions(ids: Sequence[int]) -> list[Subscription]:
    """These subscriptions in order of id, with their accounts."""
    return list(Subscription.objects.filter(pk__in=any_of(ids)).select_related("account").order_by("pk"))


class _Stored(NamedTuple):
    """An invoice as it is stored, and what became of it once it was issued."""

    kind: str
    period_start: datetime
    state: str
    settlements__state: str | None

    @property
    def counts(self) -> bool:
        """Whether it was not voided."""
        return self.settlements__state != SettlementState.VOID


def list_periods_to_bill(
    subscriptions: Sequence[Subscription], now: datetime
) -> dict[int, list[PeriodToBill]]:
    """What is to be drafted for each subscription at this moment, in the order in which it is to be issued."""
    invoices: dict[int, list[_Stored]] = {subscription.pk: [] for subscription in subscriptions}
    rows = Invoice.objects.filter(subscription__in=any_of(invoices)).order_by("period_start", "id")
    for subscription_id, *facts in rows.values_list("subscription_id", *_Stored._fields):
        invoices[subscription_id].append(_Stored._make(facts))
    return {
        subscription.pk: _periods(subscription, subscription.account, invoices[subscription.pk], now)
        for subscription in subscriptions
    }


def _periods(
    subscription: Subscription, account: Account, invoices: Sequence[_Stored], now: datetime
) -> list[PeriodToBill]:
    until = now if subscription.ends_at is None else min(now, subscription.ends_at)
    if until < subscription.starts_at:
        return []
    issued = {
        (row.kind, row.period_start) for row in invoices if row.counts and row.state == InvoiceState.ISSUED
    }
    wanted: list[PeriodToBill] = []
    last: PeriodToBill | None = None
    for number, whole in enumerate(periods_until(anchor_of(subscription), subscription.starts_at, until)):
        service = _subscribed(whole, subscription)
        may_open = number == 0 and _may_open(invoices, service.start)
        for kind in (InvoiceKind.OPENING, InvoiceKind.PERIOD) if may_open else (InvoiceKind.PERIOD,):
            last = PeriodToBill(
                subscription=subscription,
                account=account,
                whole=whole,
                service=service,
                kind=kind,
                operation=_operation(invoices, kind, service.start),
            )
            if (kind, service.start) not in issued:
                wanted.append(last)
    if last is not None and not wanted and subscription.ends_at == last.service.end <= now:
        number = sum(row.kind == InvoiceKind.CLOSING and row.state == InvoiceState.ISSUED for row in invoices)
        operation = f"after {number}" if number else ""
        wanted.append(replace(last, kind=InvoiceKind.CLOSING, operation=operation))
    return wanted


def _may_open(invoices: Sequence[_Stored], start: datetime) -> bool:
    """Whether something may be due in advance at the start; not if the first period was issued without it."""
    kinds = {row.kind for row in invoices if row.period_start == start and row.state == InvoiceState.ISSUED}
    return InvoiceKind.OPENING in kinds or InvoiceKind.PERIOD not in kinds


def _subscribed(whole: Period, subscription: Subscription) -> Period:
    end = whole.end if subscription.ends_at is None else min(whole.end, subscription.ends_at)
    return Period(max(whole.start, subscription.starts_at), end)


def _operation(invoices: Iterable[_Stored], kind: InvoiceKind, start: datetime) -> str:
    """Nothing for a period's first invoice; after a void, how many were voided before."""
    voided = sum(1 for row in invoices if (row.kind, row.period_start) == (kind, start) and not row.counts)
    return f"after {voided} voided" if voided else ""
