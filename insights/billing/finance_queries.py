"""What finance sees of invoices without looking into an account: facts, totals and reasons, no lines and no quantities.

Names the columns that the staff role may read; any other would be refused by the database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Case, Count, F, Q, QuerySet, Sum, Value, When

from accounts.models import Account
from insights.billing.bill import BillStatus, bill_status
from insights.billing.dispatch_queries import MAILED_WITHIN
from insights.models import Invoice, Settlement, SettlementState
from insights.values.money import Money
from insights.values.period import Period

_FACTS = (
    "id", "public_id", "account_id", "kind", "state", "period_start", "period_end", "issue_from", "currency",
    "total_minor", "complete_to", "drafted_at", "parked_for", "released", "number", "issued_at", "due_at",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedReason:
    """Why an invoice is parked, and whether a person let it through. `finding` is what tells it from all others."""

    code: str
    message: str
    finding: str
    is_released: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceFacts:
    """One invoice as finance sees it."""

    public_id: UUID
    account: Account
    kind: str
    status: BillStatus
    number: str
    period: Period
    total: Money
    drafted_at: datetime
    complete_to: datetime | None
    issue_from: datetime
    issued_at: datetime | None
    due_at: datetime | None
    reasons: tuple[ParkedReason, ...]
    settled_reason: str = ""
    settled_at: datetime | None = None
    settled_by: str = ""
    mailed_at: datetime | None = None
    is_mail_over: bool = False

    @property
    def waiting(self) -> tuple[ParkedReason, ...]:
        """What it still waits for, each of which is let through on its own."""
        return tuple(reason for reason in self.reasons if not reason.is_released)


@dataclass(frozen=True, slots=True)
class StatusTotal:
    """How many invoices of a status there are, and what they come to in one currency."""

    status: BillStatus
    count: int
    total: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceSearch:
    """Which invoices: by a part of number, account name or reference, and by status."""

    text: str = ""
    status: BillStatus | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoicePage:
    """Some invoices in their order, of `count` in all, the first of them at `number`, from 1.

    `after_previous` and `after_this` are the invoices that the pages before and behind follow; None where the page
    before is the first one, or there is none behind.
    """

    invoices: tuple[InvoiceFacts, ...]
    count: int
    number: int
    after_previous: UUID | None
    after_this: UUID | None


def page_invoices(
    search: InvoiceSearch, *, now: datetime, limit: int, after: UUID | None = None
) -> InvoicePage:
    """A page of invoices, parked ones first, then the newest, behind one of them.

    Begins with the first where there is no such invoice.
    """
    found = _ordered(search, now)
    last = _place(after)
    rows = found if last is None else found.filter(_behind(last))
    shown = list(rows[: limit + 1])
    count = found.count()
    return InvoicePage(
        invoices=_facts(shown[:limit], now),
        count=count,
        number=count - rows.count() + 1 if last else 1,
        after_previous=_start_before(found, last, limit) if last else None,
        after_this=shown[limit - 1].public_id if len(shown) > limit else None,
    )


def list_invoices(
    search: InvoiceSearch, *, now: datetime, limit: int, after: UUID | None = None
) -> tuple[InvoiceFacts, ...]:
    """The same invoices without counting them."""
    found, last = _ordered(search, now), _place(after)
    return _facts(list((found.filter(_behind(last)) if last else found)[:limit]), now)


def _ordered(search: InvoiceSearch, now: datetime) -> QuerySet[Any]:
    return (
        _found(now, search.text, search.status)
        .annotate(place=Case(When(state="parked", then=Value(0)), default=Value(1)))
        .order_by("place", "-period_start", "-id")
    )


def _place(public_id: UUID | None) -> Invoice | None:
    if public_id is None:
        return None
    return Invoice.objects.only("id", "state", "period_start").filter(public_id=public_id).first()


def _behind(last: Invoice) -> Q:
    place = 0 if last.state == "parked" else 1
    later = Q(period_start__lt=last.period_start) | Q(period_start=last.period_start, pk__lt=last.pk)
    return Q(place__gt=place) | (Q(place=place) & later)


def _start_before(found: QuerySet[Any], last: Invoice, limit: int) -> UUID | None:
    """The invoice that the page before follows, when `last` is the last one of that page."""
    before = found.exclude(_behind(last)).exclude(pk=last.pk).reverse()[limit - 1 : limit]
    row = next(iter(before), None)
    return None if row is None else row.public_id


def get_invoice(public_id: UUID, *, now: datetime) -> InvoiceFacts | None:
    """Find one invoice by its public id."""
    return next(iter(_facts(list(Invoice.objects.filter(public_id=public_id).only(*_FACTS)), now)), None)


def sum_by_status(*, now: datetime) -> tuple[StatusTotal, ...]:
    """What the invoices of each status come to, by currency; one statement."""
    status = Case(
        When(state="draft", then=Value("draft")),
        When(state="parked", then=Value("checking")),
        When(settlements__state=SettlementState.PAID, then=Value("paid")),
        When(settlements__state=SettlementState.VOID, then=Value("void")),
        When(due_at__lt=now, then=Value("overdue")),
        default=Value("open"),
    )
    rows = Invoice.objects.values("currency").annotate(status=status)
    rows = rows.annotate(count=Count("id"), total=Sum(F("total_minor"))).order_by("status", "currency")
    order = list(BillStatus)
    found = [
        StatusTotal(BillStatus(row["status"]), row["count"], Money(int(row["total"]), row["currency"]))
        for row in rows
    ]
    return tuple(sorted(found, key=lambda one: (order.index(one.status), one.total.currency)))


def _found(now: datetime, text: str, status: BillStatus | None) -> QuerySet[Any]:
    rows = Invoice.objects.only(*_FACTS)
    if text:
        accounts = Account.objects.filter(Q(name__icontains=text) | Q(reference__icontains=text))
        rows = rows.filter(Q(number__icontains=text) | Q(account__in=accounts.values("pk")))
    if status is None:
        return rows
    if status in (BillStatus.DRAFT, BillStatus.CHECKING):
        return rows.filter(state="draft" if status is BillStatus.DRAFT else "parked")
    if status in (BillStatus.PAID, BillStatus.VOID):
        return rows.filter(settlements__state=str(status))
    rows = rows.filter(settlements__state=SettlementState.OPEN)
    return rows.filter(due_at__lt=now) if status is BillStatus.OVERDUE else rows.exclude(due_at__lt=now)


def finding_of(parked: Mapping[str, str]) -> str:
    """What a reason is let through by; of an invoice that was parked before findings had names, its code."""
    return parked.get("finding") or parked["code"]


def _facts(rows: Sequence[Invoice], now: datetime) -> tuple[InvoiceFacts, ...]:
    accounts = Account.objects.in_bulk([row.account_id for row in rows])
    settlements = {
        settlement.invoice_id: settlement
        for settlement in Settlement.objects.filter(invoice__in=[row.pk for row in rows]).select_related(
            "changed_by"
        )
    }
    return tuple(_fact(row, accounts[row.account_id], settlements.get(row.pk), now) for row in rows)


def _fact(row: Invoice, account: Account, settlement: Settlement | None, now: datetime) -> InvoiceFacts:
    by = settlement.changed_by if settlement else None
    return InvoiceFacts(
        public_id=row.public_id,
        account=account,
        kind=row.kind,
        status=bill_status(row.state, settlement.state if settlement else "", due_at=row.due_at, now=now),
        number=row.number or "",
        period=Period(row.period_start, row.period_end),
        total=Money(int(row.total_minor), row.currency),
        drafted_at=row.drafted_at,
        complete_to=row.complete_to,
        issue_from=row.issue_from,
        issued_at=row.issued_at,
        due_at=row.due_at,
        reasons=tuple(
            ParkedReason(
                code=parked["code"],
                message=parked.get("message", ""),
                finding=finding_of(parked),
                is_released=finding_of(parked) in row.released,
            )
            for parked in row.parked_for
        ),
        settled_reason=settlement.reason if settlement else "",
        settled_at=settlement.changed_at if settlement else None,
        settled_by=by.email if by else "",
        mailed_at=settlement.mailed_at if settlement else None,
        is_mail_over=row.issued_at is not None and row.issued_at <= now - MAILED_WITHIN,
    )
