"""What finance decides about invoices: let a parked one through, paid or not, void. Each act is in the audit.

The invoice itself never changes; its settlement does, under a lock on that one row, so that of two acts at once the
second sees what the first left. Voiding and letting through are the worker's: the one gives credits back, the other
changes an invoice, whose lines the database adds up again.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, Sum

from accounts.models import Account, User
from accounts.operations import record_act
from accounts.operations.refusals import UnableToChange, check_text
from accounts.tenancy import as_worker, current_alias
from insights.billing.account_lock_operations import hold_account
from insights.billing.finance_queries import finding_of
from insights.billing.uncovered_operations import let_uncovered_pass
from insights.models import (
    CreditGrant,
    CreditUse,
    Invoice,
    InvoiceState,
    LineItem,
    Settlement,
    SettlementState,
    Subscription,
)
from insights.values.money import Money, sum_money

REASON_LENGTH_MAX = 300
_FACTS = (
    "public_id", "account_id", "subscription_id", "state", "number", "currency", "total_minor", "parked_for",
    "released", "drafted_at",
)  # fmt: skip


class UnknownInvoice(LookupError):
    """There is no such invoice."""


class UnableToSettle(UnableToChange):
    """The invoice is not in a state in which this can be done; the message says which and why."""


@dataclass(frozen=True, slots=True)
class VoidEffect:
    """What voiding would do: credits given back, a carried credit taken away, or what stands against it."""

    given_back: Money
    taken_away: Money
    refusals: tuple[str, ...]


def release_invoice(public_id: UUID, *, findings: Collection[str], reason: str, by: User) -> tuple[str, ...]:
    """Let a parked invoice through for these of its reasons, as the worker; the next pass issues it if none is left.

    Returns the findings now released. Raises UnknownInvoice, or UnableToSettle for an invoice that is not parked or a
    finding that is none of its reasons, as one is that the pass since found instead.
    """
    check_text(reason, field="reason", what="reason", longest=REASON_LENGTH_MAX)
    with as_worker(), transaction.atomic(using="worker"):
        hold_account(_find_invoice(public_id).account_id)
        # Read again, since a pass may have issued it before the lock was ours.
        invoice = _find_invoice(public_id)
        if invoice.state != InvoiceState.PARKED:
            raise UnableToSettle("It is not parked any more; open it again.")
        known = {finding_of(parked): parked["code"] for parked in invoice.parked_for}
        if not findings or not set(findings) <= known.keys():
            raise UnableToSettle("Choose at least one of the reasons it is parked for.", field="findings")
        codes = sorted({known[finding] for finding in findings})
        if "no_profile" in codes:
            raise UnableToSettle(
                "Nobody can be billed without a billing profile; make one first.", field="findings"
            )
        released = sorted({*invoice.released, *findings})
        Invoice.objects.filter(pk=invoice.pk).update(released=released)
        details: dict[str, object] = {"codes": codes, "findings": sorted(findings), "reason": reason.strip()}
        _record(invoice, by, "invoice.release", details)
        let_uncovered_pass(invoice.account_id, findings, reason=reason, by=by)
    return tuple(released)


def mark_paid(public_id: UUID, *, by: User, now: datetime, reason: str = "") -> None:
    """Say that an open invoice is paid. Raises UnknownInvoice or UnableToSettle."""
    _turn(public_id, SettlementState.OPEN, SettlementState.PAID, by=by, now=now, reason=reason)


def mark_open(public_id: UUID, *, by: User, now: datetime, reason: str) -> None:
    """Say that a paid invoice is not paid after all, and why. Raises UnknownInvoice or UnableToSettle."""
    check_text(reason, field="reason", what="reason", longest=REASON_LENGTH_MAX)
    _turn(public_id, SettlementState.PAID, SettlementState.OPEN, by=by, now=now, reason=reason)


def _turn(
    public_id: UUID, before: SettlementState, after: SettlementState, *, by: User, now: datetime, reason: str
) -> None:
    if reason:
        check_text(reason, field="reason", what="reason", longest=REASON_LENGTH_MAX)
    with transaction.atomic(using=current_alias()):
        invoice = _find_invoice(public_id)
        settlement = _lock_settlement(invoice)
        if settlement.state != before:
            raise UnableToSettle(f"It is {settlement.state} and not {before}; nothing was changed.")
        _settle(settlement, after, reason=reason, by=by, now=now)
        act = "invoice.mark_paid" if after == SettlementState.PAID else "invoice.mark_open"
        _record(invoice, by, act, {"reason": reason.strip()})


def void_invoice(public_id: UUID, *, reason: str, by: User, now: datetime) -> VoidEffect:
    """Void an open invoice, as the worker: its credits come back, a credit carried from it goes.

    Its period is billed anew by the next pass. Raises UnknownInvoice, or UnableToSettle when it is not open, a later
    invoice corrects it, or what was carried from it is used.
    """
    check_text(reason, field="reason", what="reason", longest=REASON_LENGTH_MAX)
    with as_worker(), transaction.atomic(using="worker"):
        invoice = _find_invoice(public_id)
        # Invoices are issued under the same lock, so none takes a credit or makes a correction meanwhile.
        hold_account(invoice.account_id)
        settlement = _lock_settlement(invoice)
        effect = _void_effect(invoice, settlement)
        if effect.refusals:
            raise UnableToSettle(" ".join(effect.refusals))
        _return_credits(invoice, now)
        _settle(settlement, SettlementState.VOID, reason=reason, by=by, now=now)
        Subscription.objects.filter(pk=invoice.subscription_id).update(settled_as_of=None)
        _record(invoice, by, "invoice.void", {"reason": reason.strip(), "given_back": str(effect.given_back)})
    return effect


def preview_void(public_id: UUID) -> VoidEffect:
    """What voiding would do now, as the worker sees it; changes nothing. Raises UnknownInvoice or UnableToSettle."""
    with as_worker(), transaction.atomic(using="worker"):
        invoice = _find_invoice(public_id)
        settlement = Settlement.objects.filter(account=invoice.account_id, invoice=invoice).first()
        if settlement is None:
            raise UnableToSettle("It is not issued.")
        return _void_effect(invoice, settlement)


def _void_effect(invoice: Invoice, settlement: Settlement) -> VoidEffect:
    carried = _carried_left(invoice)
    return VoidEffect(
        given_back=sum_money((money for _, money in _uses(invoice)), invoice.currency),
        taken_away=sum_money((money for _, money in carried), invoice.currency),
        refusals=tuple(_void_refusals(invoice, settlement)),
    )


def _void_refusals(invoice: Invoice, settlement: Settlement) -> list[str]:
    refusals = []
    if settlement.state == SettlementState.VOID:
        refusals.append("It is void already.")
    if settlement.state == SettlementState.PAID:
        refusals.append("It is paid; mark it as not paid first.")
    void = Settlement.objects.filter(
        account=invoice.account_id, invoice=OuterRef("invoice_id"), state=SettlementState.VOID
    )
    corrections = LineItem.objects.filter(
        account=invoice.account_id, corrects_invoice=invoice, invoice__state=InvoiceState.ISSUED
    )
    numbers = corrections.exclude(Exists(void)).values_list("invoice__number", flat=True).distinct()
    if later := sorted(str(number) for number in numbers):
        refusals.append(f"Invoice {', '.join(later)} corrects it; void that one first.")
    carried = CreditUse.objects.filter(account=invoice.account_id, grant__from_invoice=invoice)
    if carried.filter(payout__isnull=False).exists():
        refusals.append("What was carried from it is paid out.")
    used = carried.filter(payout__isnull=True).values("invoice__number")
    used = used.annotate(used=Sum("amount_minor")).filter(used__gt=0)
    if later := sorted(str(row["invoice__number"]) for row in used):
        refusals.append(f"What was carried from it lowered invoice {', '.join(later)}; void that one first.")
    gone = [
        grant_id
        for grant_id, money in _uses(invoice)
        if money.minor < 0 and -money.minor > _left_of(invoice, grant_id)
    ]
    paid_out = CreditUse.objects.filter(account=invoice.account_id, grant__in=gone, payout__isnull=False)
    if paid_out.exists():
        refusals.append("A credit that it gave back is paid out.")
    elif gone:
        refusals.append(
            "A credit that it gave back has been used since; void the invoice that used it first."
        )
    return refusals


def _left_of(invoice: Invoice, grant_id: int) -> int:
    """What is left of a grant today, in minor units."""
    granted = CreditGrant.objects.values_list("amount_minor", flat=True).get(
        account=invoice.account_id, pk=grant_id
    )
    uses = CreditUse.objects.filter(account=invoice.account_id, grant=grant_id)
    return int(granted - (uses.aggregate(used=Sum("amount_minor"))["used"] or 0))


def _uses(invoice: Invoice) -> list[tuple[int, Money]]:
    """What the invoice took of each grant and did not give back."""
    uses = CreditUse.objects.filter(account=invoice.account_id, invoice=invoice)
    # What was carried from the invoice itself is no use of it; asked so, since NULL is not unequal.
    uses = uses.filter(Q(grant__from_invoice__isnull=True) | ~Q(grant__from_invoice=invoice))
    sums = uses.values("grant_id").annotate(used=Sum("amount_minor")).order_by("grant_id")
    return [(row["grant_id"], Money(int(row["used"]), invoice.currency)) for row in sums if row["used"]]


def _carried_left(invoice: Invoice) -> list[tuple[int, Money]]:
    """What is left of the credit that was carried from the invoice."""
    grants = CreditGrant.objects.filter(account=invoice.account_id, from_invoice=invoice)
    left = []
    for grant in grants:
        used = CreditUse.objects.filter(account=invoice.account_id, grant=grant).aggregate(
            used=Sum("amount_minor")
        )["used"]
        left.append((grant.pk, Money(int(grant.amount_minor - (used or 0)), invoice.currency)))
    return [(grant_id, money) for grant_id, money in left if money.minor]


def _return_credits(invoice: Invoice, now: datetime) -> None:
    """Give back what it took, and use up what was carried from it; rows are only added."""
    returned = [(grant_id, -money.minor) for grant_id, money in _uses(invoice)]
    returned += [(grant_id, money.minor) for grant_id, money in _carried_left(invoice)]
    CreditUse.objects.bulk_create(
        CreditUse(
            account_id=invoice.account_id,
            grant_id=grant_id,
            invoice=invoice,
            is_return=True,
            amount_minor=minor,
            used_at=now,
        )
        for grant_id, minor in returned
    )


def _find_invoice(public_id: UUID) -> Invoice:
    invoice: Invoice | None = Invoice.objects.filter(public_id=public_id).only(*_FACTS).first()
    if invoice is None:
        raise UnknownInvoice
    return invoice


def _lock_settlement(invoice: Invoice) -> Settlement:
    rows = Settlement.objects.filter(account=invoice.account_id, invoice=invoice)
    settlement: Settlement | None = rows.select_for_update().first()
    if settlement is None:
        raise UnableToSettle("It is not issued.")
    return settlement


def _settle(settlement: Settlement, state: SettlementState, *, reason: str, by: User, now: datetime) -> None:
    Settlement.objects.filter(pk=settlement.pk).update(
        state=state, reason=reason.strip(), changed_at=now, changed_by=by
    )


def _record(invoice: Invoice, by: User, act: str, details: dict[str, object]) -> None:
    record_act(
        account=Account(pk=invoice.account_id),
        actor=by,
        act=act,
        subject=invoice.number or str(invoice.public_id),
        details=details,
    )
