"""Issues an invoice, once: numbered without a gap, hashed, and never changed again.

Usage is read first, in a snapshot of its own, and fixes the ledger position. Then, under the account's lock, everything
else is read anew, the invoice is made of both and stored. Whoever loses a race gets the winner's invoice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import IntegrityError, transaction

from accounts.tenancy import connection, current_alias
from insights.billing.account_lock_operations import hold_account
from insights.billing.basis_queries import load_bases
from insights.billing.bill_to_make_mapping import PeriodToBill
from insights.billing.draft_operations import Drafted, make_drafts, one_snapshot, store_drafts
from insights.billing.invoice_mapping import invoice_hash
from insights.billing.period_queries import list_periods_to_bill, list_subscriptions
from insights.billing.usage_queries import UsageRead, read_usage
from insights.models import (
    CreditGrant,
    CreditKind,
    CreditUse,
    Invoice,
    InvoiceNumber,
    InvoiceState,
    LegalEntity,
    LineItem,
    Settlement,
    SettlementState,
)
from insights.rating.invoice import LineKind

_TRIES = 5
_NEXT_NUMBER = """
INSERT INTO insights_invoicecounter (legal_entity_id, last_number) VALUES (%s, 1)
ON CONFLICT (legal_entity_id) DO UPDATE SET last_number = insights_invoicecounter.last_number + 1
RETURNING last_number
"""


class BasisMoved(RuntimeError):
    """What the subscription needs was changed while the invoice was being made; list it anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The invoice as it is now: issued by this call or before it, parked, or a draft that is not due yet."""

    invoice: Invoice
    is_new: bool = False


def issue_invoice(to_bill: PeriodToBill, now: datetime) -> Outcome:
    """Issue the invoice of a period if it is due and nothing speaks against it; else store why not.

    Any number of callers at once get the same invoice. Raises BasisMoved where no such invoice is next any more, or
    when plans do not hold still.
    """
    [outcome] = issue_invoices([to_bill], now)
    return outcome


def issue_invoices(wanted: Sequence[PeriodToBill], now: datetime) -> list[Outcome]:
    """The same for several, each of another account, in one transaction: all of them or none."""
    for number in range(_TRIES):
        wanted = _as_they_are(wanted)
        usage = _read_usage(wanted, now)
        try:
            outcomes = _issue_with(usage, wanted, now)
        except IntegrityError:
            # Drafts are stored without the lock, so the first draft of a period may have come in between.
            if number + 1 == _TRIES:
                raise
            continue
        if outcomes is not None:
            return outcomes
    raise BasisMoved(
        f"subscription {', '.join(str(one.subscription.pk) for one in wanted)} does not hold still"
    )


def _as_they_are(wanted: Sequence[PeriodToBill]) -> list[PeriodToBill]:
    """The same periods with their subscriptions and accounts as these are now."""
    rows = {row.pk: row for row in list_subscriptions([one.subscription.pk for one in wanted])}
    return [
        replace(one, subscription=rows[one.subscription.pk], account=rows[one.subscription.pk].account)
        for one in wanted
    ]


def _read_usage(wanted: Sequence[PeriodToBill], now: datetime) -> UsageRead:
    with one_snapshot():
        return read_usage([one.basis for one in load_bases(wanted, now)])


def _issue_with(usage: UsageRead, wanted: Sequence[PeriodToBill], now: datetime) -> list[Outcome] | None:
    """Make the invoices of what was read; None if a basis asks for other usage by now."""
    with transaction.atomic(using=current_alias()):
        # In one order everywhere, so that no two transactions wait for each other.
        for account_id in sorted({to_bill.account.pk for to_bill in wanted}):
            hold_account(account_id)
        wanted = _as_they_are(wanted)
        unissued = [to_bill for to_bill in wanted if not _is_issued(to_bill)]
        _refuse_moved(unissued, now)
        loaded = load_bases(unissued, now)
        if not all(usage.answers(one.basis) for one in loaded):
            return None
        drafted = make_drafts(loaded, usage)
        store_drafts(drafted, now)
        new = {_issue_if_due(one, now) for one in sorted(drafted, key=_counter_of)}
        return [Outcome(invoice=invoice, is_new=invoice.pk in new) for invoice in map(_stored, wanted)]


def _refuse_moved(wanted: Sequence[PeriodToBill], now: datetime) -> None:
    """Raise BasisMoved for a period that is not as it was when it was asked for, or is not the next to be issued."""
    listed = list_periods_to_bill([one.subscription for one in wanted], now)
    for to_bill in wanted:
        periods = listed[to_bill.subscription.pk]
        earlier = [one for one in periods if one.service.end <= to_bill.service.start]
        if earlier or not any(_is_same(one, to_bill) for one in periods):
            raise BasisMoved(f"subscription {to_bill.subscription.pk} needs another invoice now")


def _is_same(one: PeriodToBill, other: PeriodToBill) -> bool:
    return (one.kind, one.whole, one.service, one.operation) == (
        other.kind, other.whole, other.service, other.operation,
    )  # fmt: skip


def _counter_of(drafted: Drafted) -> int:
    """Counters of numbers are taken in one order too."""
    profile = drafted.loaded.profile
    return 0 if profile is None else profile.legal_entity_id


def _issue_if_due(drafted: Drafted, now: datetime) -> int | None:
    """Make the stored draft final unless it is parked, not due or corrects nothing; returns its id if it was."""
    invoice = _stored(drafted.loaded.to_bill)
    if invoice.state == InvoiceState.PARKED or now < invoice.issue_from:
        return None
    if drafted.basis.is_closing and not drafted.draft.lines:
        return None
    _make_final(invoice, drafted, now)
    return invoice.pk


def _is_issued(to_bill: PeriodToBill) -> bool:
    invoice = find_invoice(to_bill)
    return invoice is not None and invoice.state == InvoiceState.ISSUED


def _stored(to_bill: PeriodToBill) -> Invoice:
    invoice = find_invoice(to_bill)
    if invoice is None:
        raise RuntimeError("the draft that was just stored is not there")
    return invoice


def find_invoice(to_bill: PeriodToBill) -> Invoice | None:
    """The invoice of this operation as it is now."""
    return Invoice.objects.filter(
        account=to_bill.account,
        subscription=to_bill.subscription,
        kind=to_bill.kind,
        period_start=to_bill.service.start,
        operation=to_bill.operation,
    ).first()


def _make_final(invoice: Invoice, drafted: Drafted, now: datetime) -> None:
    profile = drafted.loaded.profile
    if profile is None:
        raise RuntimeError("an invoice without a billing profile is parked, not issued")
    invoice.due_at = now + timedelta(days=profile.due_days)
    invoice.issued_at = now
    invoice.legal_entity = profile.legal_entity
    _use_credits(invoice, drafted, now)
    # The counter is taken last: from here on every other invoice of the legal entity waits.
    invoice.number_in_series = _take_number(profile.legal_entity, invoice)
    invoice.number = f"{profile.legal_entity.number_prefix}{invoice.number_in_series:06d}"
    invoice.sha256 = invoice_hash(invoice, _lines(invoice))
    invoice.state = InvoiceState.ISSUED
    invoice.save()
    _settle(invoice, now)


def _settle(invoice: Invoice, now: datetime) -> None:
    """Begin what becomes of the invoice: open, or settled at once where there is nothing to pay."""
    is_due = invoice.total_minor > 0
    Settlement.objects.create(
        account_id=invoice.account_id,
        invoice=invoice,
        state=SettlementState.OPEN if is_due else SettlementState.PAID,
        reason="" if is_due else "There was nothing to pay.",
        changed_at=now,
    )


def _lines(invoice: Invoice) -> Sequence[LineItem]:
    """As the database has them, since that is what the hash is checked against later."""
    return list(LineItem.objects.filter(account=invoice.account_id, invoice=invoice).order_by("position"))


def _take_number(entity: LegalEntity, invoice: Invoice) -> int:
    with connection().cursor() as cursor:
        cursor.execute(_NEXT_NUMBER, [entity.pk])
        [number] = cursor.fetchone()
    InvoiceNumber.objects.create(legal_entity=entity, number_in_series=number, invoice_id=invoice.pk)
    return int(number)


def _use_credits(invoice: Invoice, drafted: Drafted, now: datetime) -> None:
    """Take what the lines took off the grants; what an invoice below zero leaves becomes a grant."""
    CreditUse.objects.bulk_create(
        CreditUse(
            account_id=invoice.account_id,
            grant_id=grant_id,
            invoice=invoice,
            amount_minor=Decimal(minor),
            used_at=now,
        )
        for grant_id, minor in sorted(drafted.draft.credit_uses.items())
    )
    carried = sum(line.minor for line in drafted.draft.lines if line.kind is LineKind.CARRIED)
    if carried:
        CreditGrant.objects.create(
            account_id=invoice.account_id,
            kind=CreditKind.CARRIED,
            name="Carried from an earlier bill",
            amount_minor=Decimal(carried),
            currency=invoice.currency,
            granted_at=invoice.period_end,
            priority=10,
            is_before_tax=False,
            reason="The bill came to less than zero.",
            from_invoice=invoice,
        )
