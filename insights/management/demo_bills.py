"""The demo's bills, made by the operations that make any bill, each with the date on which it would have been made.

Bills of all accounts are issued in the order of time, so that their numbers are in that order too. Every step looks
first and makes only what is missing, so that it may be repeated after an interruption.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from django.db.models import Max

from accounts.models import User
from insights.billing.file_operations import file_invoice
from insights.billing.period_queries import list_subscriptions
from insights.billing.periods import periods_until
from insights.billing.run_operations import bill_subscriptions, issue_due
from insights.billing.settlement_operations import mark_paid, void_invoice
from insights.billing.subscription_queries import anchor_of
from insights.management.demo_purchases import make_purchases
from insights.models import Invoice, InvoiceKind, InvoiceState, SettlementState, Subscription
from usage_portal.demo.cast import ADMIN_EMAIL
from usage_portal.demo.company import Company
from usage_portal.demo.purchases import (
    GRACE_DAYS,
    PURCHASES,
    Purchase,
    issued_month,
)

FILES_AT_ONCE = 2
PAID_BEFORE_DUE = timedelta(days=5)
VOID_AFTER = timedelta(days=2)
A_DAY = timedelta(days=1)


def make_past_bills(company: Company) -> None:
    """Let every account buy something, and issue its bills; where usage is still to be found, but for the last."""
    actor = User.objects.get(email=ADMIN_EMAIL)
    make_purchases(company, actor=actor)
    _issue_in_turn(company, waits_for_usage=True)


def make_last_bills(company: Company, *, now: datetime, mail: Callable[[int], object]) -> None:
    """Issue what waited, say what was paid and void one, then draft what is running at `now`, and file the newest.

    The newest of each account goes to `mail`, by its id: it was issued before the demo was there, and so before a mail.
    """
    actor = User.objects.get(email=ADMIN_EMAIL)
    _issue_in_turn(company, waits_for_usage=False)
    _void_some(company, actor)
    _settle(company, actor)
    bill_subscriptions(_subscriptions(company), now)
    _file_newest(company, now=now)
    _mail_newest(company, mail)


def _subscriptions(company: Company) -> list[Subscription]:
    references = [account.reference for account in company.accounts]
    ids = Subscription.objects.filter(account__reference__in=references).values_list("pk", flat=True)
    return list_subscriptions(list(ids))


def _issue_in_turn(company: Company, *, waits_for_usage: bool) -> None:
    due: dict[datetime, list[Subscription]] = defaultdict(list)
    subscriptions = _subscriptions(company)
    made = set(
        Invoice.objects.filter(subscription__in=[one.pk for one in subscriptions]).values_list(
            "subscription_id", "kind", "period_start"
        )
    )
    for subscription in subscriptions:
        purchase = PURCHASES.get(subscription.account.reference, Purchase())
        for start, moment in _moments(subscription, company):
            if (subscription.pk, InvoiceKind.PERIOD, start) in made:
                continue
            if (
                waits_for_usage
                and purchase.has_late_usage
                and start.date() >= issued_month(company, 0) - A_DAY
            ):
                continue
            due[moment].append(subscription)
    newest = Invoice.objects.aggregate(newest=Max("issued_at"))["newest"]
    for moment in sorted(due):
        # No bill is dated before one that has its number already.
        issue_due(due[moment], moment if newest is None else max(moment, newest))


def _moments(subscription: Subscription, company: Company) -> Iterator[tuple[datetime, datetime]]:
    """When each period's bill may be issued, with the start of the period; the first also when it begins."""
    ends_at = subscription.ends_at or company.now
    for period in periods_until(anchor_of(subscription), subscription.starts_at, min(ends_at, company.now)):
        start = max(period.start, subscription.starts_at)
        if start == subscription.starts_at:
            yield start, _run_after(start)
        end = period.end if subscription.ends_at is None else min(period.end, subscription.ends_at)
        moment = _run_after(end + timedelta(days=GRACE_DAYS))
        if moment <= company.now:
            yield start, moment


def _run_after(instant: datetime) -> datetime:
    """Noon in UTC, when bills of every zone are made together; the first that is not before the instant."""
    noon = instant.astimezone(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
    return noon if noon >= instant else noon + timedelta(days=1)


def _void_some(company: Company, actor: User) -> None:
    """Void a bill that went to the wrong address, and make it anew."""
    for reference, issued in _issued(company).items():
        back = PURCHASES.get(reference, Purchase()).voided_months_back
        if back is None or len(issued) <= back:
            continue
        invoice = issued[-1 - back]
        if _state(invoice) != SettlementState.OPEN or any(
            _state(one) == SettlementState.VOID for one in issued
        ):
            continue
        # After the newest, so that numbers stay in the order of time.
        moment = min(company.now, max(one.issued_at for one in issued if one.issued_at) + VOID_AFTER)
        void_invoice(invoice.public_id, reason="Sent with an old billing address", by=actor, now=moment)
        issue_due(list_subscriptions([invoice.subscription_id]), moment)


def _settle(company: Company, actor: User) -> None:
    """Say that bills were paid some days before they were due, but for the newest of who does not pay."""
    for reference, issued in _issued(company).items():
        unpaid = PURCHASES.get(reference, Purchase()).unpaid
        for invoice in issued[: len(issued) - unpaid]:
            if _state(invoice) != SettlementState.OPEN or invoice.issued_at is None or invoice.due_at is None:
                continue
            paid_at = max(invoice.issued_at, invoice.due_at - PAID_BEFORE_DUE)
            if paid_at <= company.now:
                mark_paid(invoice.public_id, by=actor, now=paid_at)


def _issued(company: Company) -> Mapping[str, Sequence[Invoice]]:
    """The issued bills of each account in the order of their periods."""
    found: dict[str, list[Invoice]] = defaultdict(list)
    rows = (
        Invoice.objects.filter(
            account__reference__in=[account.reference for account in company.accounts],
            state=InvoiceState.ISSUED,
        )
        .select_related("account")
        .prefetch_related("settlements")
        .defer("details")
    )
    for row in rows.order_by("period_start", "id"):
        found[row.account.reference].append(row)
    return found


def _state(invoice: Invoice) -> str:
    return str(invoice.settlements.all()[0].state)


def _file_newest(company: Company, *, now: datetime) -> None:
    for issued in _issued(company).values():
        for invoice in issued[-FILES_AT_ONCE:]:
            file_invoice(invoice.pk, now=now)


def _mail_newest(company: Company, mail: Callable[[int], object]) -> None:
    for issued in _issued(company).values():
        for invoice in issued[-1:]:
            if not invoice.settlements.filter(mailed_at__isnull=False).exists():
                mail(invoice.pk)
