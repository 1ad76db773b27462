"""What is to be done after a subscription's end: drafts of later times go, and what changed since is billed.

A closing invoice is there only while something is to be corrected. Where nothing is, the subscription keeps up to which
ledger position that was looked at, so that nobody looks again before more comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import F, QuerySet

from accounts.tenancy import current_alias
from insights.billing.account_lock_operations import hold_account
from insights.billing.basis_queries import load_bases
from insights.billing.bill_to_make_mapping import PeriodToBill
from insights.billing.bounds import still_parked
from insights.billing.draft_operations import make_drafts
from insights.billing.issue_operations import Outcome, find_invoice, issue_invoice
from insights.billing.usage_queries import read_usage
from insights.models import Invoice, InvoiceState, LineItem, Subscription


def close_subscription(to_bill: PeriodToBill, now: datetime) -> Outcome | None:
    """Draft the closing invoice, and issue it if it is due; None where nothing is left to bill. Raises BasisMoved."""
    return None if _note_if_settled(to_bill, now) else issue_invoice(to_bill, now)


def _note_if_settled(to_bill: PeriodToBill, now: datetime) -> bool:
    """Whether nothing is left to bill; then it is noted, and a draft of what was left before goes."""
    with transaction.atomic(using=current_alias()):
        # Under the lock, so that nobody voids meanwhile what was found to be billed.
        hold_account(to_bill.account.pk)
        loaded = load_bases([to_bill], now)
        usage = read_usage([one.basis for one in loaded])
        [drafted] = make_drafts(loaded, usage)
        existing = find_invoice(to_bill)
        released = [] if existing is None else existing.released
        if drafted.draft.lines or still_parked(drafted.draft.problems, released):
            return False
        _delete(Invoice.objects.filter(pk__in=[] if existing is None else [existing.pk]))
        Subscription.objects.filter(pk=to_bill.subscription.pk).update(settled_as_of=usage.position)
    return True


def drop_drafts_after_end(subscriptions: Sequence[Subscription]) -> None:
    """Delete the drafts of times after the end of these subscriptions."""
    beyond = Invoice.objects.filter(
        subscription__in=[one.pk for one in subscriptions], period_start__gte=F("subscription__ends_at")
    )
    for account_id in sorted(
        set(beyond.exclude(state=InvoiceState.ISSUED).values_list("account", flat=True))
    ):
        with transaction.atomic(using=current_alias()):
            hold_account(account_id)
            _delete(beyond.filter(account=account_id))


def _delete(invoices: QuerySet[Invoice]) -> None:
    rows = list(invoices.exclude(state=InvoiceState.ISSUED).values_list("account", "pk"))
    accounts, ids = {account_id for account_id, _ in rows}, [pk for _, pk in rows]
    LineItem.objects.filter(account__in=accounts, invoice__in=ids).delete()
    Invoice.objects.filter(account__in=accounts, pk__in=ids).delete()
