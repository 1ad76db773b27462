"""Issued bills of an account with all that rating them again takes, a number of them in few statements.

In the account's scope. Corrections of a bill and what became of its credits are left out: who rates it as it was needs
neither.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db.models import QuerySet, Subquery

from accounts.models import Account
from insights.billing.basis import IssuedBill, ServiceSegment, StoredLine, Unpriced
from insights.billing.bill import BillHead
from insights.billing.bill_mapping import head_of, whole_of
from insights.billing.bulk_operations import json_text
from insights.billing.invoice_mapping import credits_of, segment_with_sheet, stored_line
from insights.models import (
    Invoice,
    InvoiceKind,
    InvoiceState,
    LineItem,
    Settlement,
    SettlementState,
    Subscription,
)
from insights.rating.sheet import PriceSheet, parse_sheet
from insights.values.period import Period


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedPeriod:
    """An issued bill of a period, its add-ons, and the slugs of sources that it leaves out."""

    head: BillHead
    bill: IssuedBill
    add_ons: tuple[ServiceSegment, ...]
    details: dict[str, Any]
    usage_as_of: int


@dataclass(frozen=True, slots=True)
class ClosedPlace:
    """An issued bill of a period by its row."""

    id: int
    period: Period


def list_closed_places(
    account: Account, subscription: Subscription, *, limit: int
) -> tuple[ClosedPlace, ...]:
    """List only where the same bills are; one statement."""
    rows = _closed_invoices(account, subscription.pk)[:limit].values_list("pk", "period_start", "period_end")
    return tuple(ClosedPlace(pk, Period(start, end)) for pk, start, end in rows)


def list_closed_periods(account: Account, subscription: Subscription, *, limit: int) -> list[ClosedPeriod]:
    """List the last issued bills of periods that are not void, the newest first; two statements."""
    invoices = list(_closed_invoices(account, subscription.pk)[:limit])
    lines = lines_of_invoices(account, invoices)
    return [_closed(invoice, subscription, lines[invoice.pk]) for invoice in invoices]


def _closed_invoices(account: Account, subscription: int | Subquery) -> QuerySet[Invoice]:
    void = Settlement.objects.for_account(account).filter(state=SettlementState.VOID).values("invoice_id")
    issued = Invoice.objects.for_account(account).filter(
        subscription=subscription, kind=InvoiceKind.PERIOD, state=InvoiceState.ISSUED
    )
    found: QuerySet[Invoice] = issued.exclude(pk__in=void).order_by("-period_start", "-id")
    return found


def find_closed_since(account: Account, public_id: UUID) -> tuple[UUID, int] | None:
    """The bill's subscription, and how many of its last closed periods reach back to the bill; None if it is none."""
    own = Invoice.objects.for_account(account).filter(public_id=public_id).values("subscription_id")
    closed = _closed_invoices(account, Subquery(own)).values_list("public_id", "subscription__public_id")
    return next(
        ((subscription, number) for number, (one, subscription) in enumerate(closed, 1) if one == public_id),
        None,
    )


def lines_of_invoices(account: Account, invoices: Sequence[Invoice]) -> dict[int, list[StoredLine]]:
    """The lines of each invoice in its order; one statement."""
    numbers = {invoice.pk: invoice.number or "" for invoice in invoices}
    found: dict[int, list[StoredLine]] = defaultdict(list)
    rows = LineItem.objects.for_account(account).filter(invoice__in=list(numbers))
    for row in rows.order_by("invoice_id", "position"):
        found[row.invoice_id].append(stored_line(row, numbers[row.invoice_id]))
    return found


def _closed(invoice: Invoice, subscription: Subscription, lines: Sequence[StoredLine]) -> ClosedPeriod:
    invoice.subscription = subscription
    return ClosedPeriod(
        head=head_of(invoice, None, now=invoice.period_end),
        bill=bill_as_made(invoice, lines),
        add_ons=stored_segments(invoice.details.get("add_ons") or ()),
        details=invoice.details,
        usage_as_of=invoice.usage_as_of,
    )


def bill_as_made(invoice: Invoice, lines: Sequence[StoredLine]) -> IssuedBill:
    """The bill with its plans, taxes, credits and lines, as they were when it was made; what is not said is empty."""
    details = invoice.details
    return IssuedBill(
        id=invoice.pk,
        number=invoice.number or "",
        period=Period(invoice.period_start, invoice.period_end),
        whole=whole_of(details, Period(invoice.period_start, invoice.period_end)),
        segments=stored_segments(details.get("segments") or ()),
        taxes={name: Decimal(text) for name, text in (details.get("taxes") or {}).items()},
        credits=credits_of(details.get("credits") or ()),
        lines=tuple(lines),
        unpriced=tuple(
            Unpriced(meter_key=one["meter_key"], unit=one["unit"], quantity=Decimal(one["quantity"]))
            for one in details.get("unpriced") or ()
        ),
    )


def stored_segments(documents: Sequence[Any]) -> tuple[ServiceSegment, ...]:
    """The segments of a stored document."""
    return tuple(segment_with_sheet(one, _sheet(json_text(one["sheet"]))) for one in documents)


@lru_cache(maxsize=256)
def _sheet(text: str) -> PriceSheet:
    """Many bills were made at the same prices, and reading a sheet is slow."""
    return parse_sheet(json.loads(text))


def find_subscription(account: Account, *, public_id: UUID | None) -> Subscription | None:
    """Find the subscription of this id; without one, that with the newest issued period, or the newest of all."""
    own = Subscription.objects.for_account(account)
    if public_id is not None:
        return own.filter(public_id=public_id).first()
    newest = (
        Invoice.objects.for_account(account)
        .filter(kind=InvoiceKind.PERIOD, state=InvoiceState.ISSUED)
        .order_by("-period_start", "-id")
        .values_list("subscription_id", flat=True)
        .first()
    )
    return own.filter(pk=newest).first() if newest else own.order_by("-starts_at", "-id").first()
