"""Bills as they are stored, read in a number of statements that does not grow with their lines.

Call inside an account's scope; every query names the account besides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet

from accounts.models import Account
from insights.billing.bill import Bill, BillHead, BillStatus, PlanSegment
from insights.billing.bill_line_queries import list_correcting, list_lines
from insights.billing.bill_mapping import bill_of, head_of, segments_of
from insights.models import (
    Invoice,
    InvoiceFile,
    InvoiceState,
    PriceOverride,
    Settlement,
    SettlementState,
)
from insights.values.period import Period

PDF_TYPE = "application/pdf"


@dataclass(frozen=True, slots=True)
class BillPlace:
    """Where a page of bills ended: the last one's period and its row."""

    period_start: datetime
    invoice_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BillFilter:
    """Which bills: of one status, and with periods that begin in [from_at, to_at); None is any."""

    status: BillStatus | None = None
    from_at: datetime | None = None
    to_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class BillPage:
    """Bills, newest period first, and where the next page begins, if there is one."""

    heads: tuple[BillHead, ...]
    next_place: BillPlace | None


ALL_BILLS = BillFilter()


def list_bills(
    account: Account,
    *,
    now: datetime,
    limit: int,
    after: BillPlace | None = None,
    chosen: BillFilter = ALL_BILLS,
) -> BillPage:
    """List an account's bills from a place on, newest period first; two statements."""
    rows = _invoices(account).filter(_chosen(chosen, now)).defer("details")
    return _page(account, rows if after is None else rows.filter(_behind(after)), now=now, limit=limit)


def _behind(place: BillPlace) -> Q:
    return Q(period_start__lt=place.period_start) | Q(
        period_start=place.period_start, pk__lt=place.invoice_id
    )


def _page(account: Account, rows: QuerySet[Any], *, now: datetime, limit: int) -> BillPage:
    # One more than asked for tells whether there is a next page.
    found = list(rows.order_by("-period_start", "-id")[: limit + 1])
    shown = found[:limit]
    place = BillPlace(shown[-1].period_start, shown[-1].pk) if len(found) > limit else None
    return BillPage(tuple(_heads(account, shown, now)), place)


def list_unissued_bills(account: Account, *, now: datetime) -> tuple[BillHead, ...]:
    """List the drafts and the bills being checked, newest period first."""
    rows = _invoices(account).exclude(state=InvoiceState.ISSUED).defer("details")
    return tuple(_heads(account, list(rows.order_by("-period_start", "-id")), now))


def list_issued_bills(
    account: Account, *, now: datetime, limit: int, older_than: UUID | None = None
) -> BillPage:
    """List issued bills, newest period first; behind one of them, or from the first if it is none of ours."""
    rows = _invoices(account).filter(state=InvoiceState.ISSUED).defer("details")
    if older_than is not None:
        last = Invoice.objects.for_account(account).filter(public_id=older_than).only("period_start").first()
        rows = rows.filter(_behind(BillPlace(last.period_start, last.pk))) if last else rows
    return _page(account, rows, now=now, limit=limit)


@dataclass(frozen=True, slots=True)
class BillOfTime:
    """A bill with what its lines are under: its plans and sources, as stored, and its position."""

    head: BillHead
    details: Mapping[str, Any]
    usage_as_of: int


def list_bills_of_time(
    account: Account, period: Period, *, also: Iterable[int], now: datetime
) -> dict[int, BillOfTime]:
    """The bills, without void ones, whose periods meet a stretch of time, and some others by row; oldest first."""
    void = Settlement.objects.for_account(account).filter(state=SettlementState.VOID).values("invoice_id")
    is_met = Q(period_start__lt=period.end, period_end__gt=period.start)
    rows = _invoices(account).filter(is_met | Q(pk__in=list(also))).exclude(pk__in=void)
    found = list(rows.order_by("period_start", "id"))
    return {
        row.pk: BillOfTime(head, row.details, row.usage_as_of)
        for row, head in zip(found, _heads(account, found, now), strict=True)
    }


def list_owed_bills(account: Account, *, now: datetime) -> tuple[BillHead, ...]:
    """List every bill that is open or overdue, the one due first in front."""
    rows = _invoices(account).filter(state=InvoiceState.ISSUED, settlements__state=SettlementState.OPEN)
    return tuple(_heads(account, list(rows.defer("details").order_by("due_at", "id")), now))


def find_running_draft(account: Account, *, now: datetime) -> BillHead | None:
    """Find the draft whose period holds the moment, the newest of several."""
    rows = _invoices(account).filter(
        state=InvoiceState.DRAFT, kind="period", period_start__lte=now, period_end__gt=now
    )
    return next(
        iter(_heads(account, list(rows.defer("details").order_by("-period_start", "-id")[:1]), now)), None
    )


def get_bill(account: Account, *, public_id: UUID, now: datetime) -> Bill | None:
    """Read one whole bill, or None where the account has no such bill; at most eight statements.

    Raises InvalidStep or InvalidTerms when what is stored is not in its form.
    """
    return get_bills(account, public_ids=[public_id], now=now).get(public_id)


def get_bills(account: Account, *, public_ids: Iterable[UUID], now: datetime) -> dict[UUID, Bill]:
    """Read some whole bills by their ids, in as many statements as one; ids that are not the account's are left out."""
    invoices = list(_invoices(account).filter(public_id__in=list(public_ids)))
    settlements = _settlements(account, invoices)
    lines = list_lines(account, invoices)
    correcting = list_correcting(account, invoices)
    return {
        invoice.public_id: bill_of(
            head_of(invoice, settlements.get(invoice.pk), now=now, is_filed=invoice.is_filed),
            invoice,
            lines[invoice.pk],
            settlement=settlements.get(invoice.pk),
            corrected_by=correcting[invoice.pk],
        )
        for invoice in invoices
    }


def has_bill(account: Account, *, public_id: UUID) -> bool:
    """Tell whether the account has this bill, issued or not."""
    return bool(Invoice.objects.for_account(account).filter(public_id=public_id).exists())


def find_invoice_file(account: Account, *, public_id: UUID) -> bytes | None:
    """Read the PDF of an issued bill as it was made, or None while there is none."""
    files = InvoiceFile.objects.for_account(account).filter(
        invoice__public_id=public_id, invoice__account=account, media_type=PDF_TYPE
    )
    content = files.values_list("content", flat=True).first()
    return None if content is None else bytes(content)


@dataclass(frozen=True, slots=True)
class PricesInForce:
    """What a subscription is priced at by its newest bill; `own` are (plan key, price key) made for the account."""

    head: BillHead
    segments: tuple[PlanSegment, ...]
    own: frozenset[tuple[str, str]]


def list_prices_in_force(account: Account, *, now: datetime) -> tuple[PricesInForce, ...]:
    """List what each subscription is priced at, from its newest bill; three statements."""
    rows = _invoices(account).filter(kind="period", period_start__lte=now)
    newest = list(rows.order_by("subscription_id", "-period_start", "-id").distinct("subscription_id"))
    overrides = list(PriceOverride.objects.for_account(account).order_by("starts_at", "id"))
    return tuple(
        PricesInForce(head, segments_of(invoice.details), _own_prices(invoice, overrides))
        for head, invoice in zip(_heads(account, newest, now), newest, strict=True)
    )


def _own_prices(invoice: Invoice, overrides: Sequence[PriceOverride]) -> frozenset[tuple[str, str]]:
    """The prices of a bill's plans that stand there as an override of its period says.

    Compared by terms, since which plan an override is of is in the catalogue, which customers do not read.
    """
    found = set()
    for stored in (*(invoice.details.get("segments") or ()), *(invoice.details.get("add_ons") or ())):
        for price in stored["sheet"]["prices"]:
            if any(_is_override(one, price, invoice.period_start) for one in overrides):
                found.add((stored["sheet"]["plan_key"], price["key"]))
    return frozenset(found)


def _is_override(override: PriceOverride, price: Mapping[str, Any], at: datetime) -> bool:
    is_in_time = override.starts_at <= at and (override.ends_at is None or at < override.ends_at)
    says_the_same = (override.terms, override.cells) == (price["terms"], price["cells"])
    return is_in_time and override.price_key == price["key"] and says_the_same


def _invoices(account: Account) -> QuerySet[Any]:
    files = InvoiceFile.objects.filter(account=account, invoice=OuterRef("pk"), media_type=PDF_TYPE)
    return (
        Invoice.objects.for_account(account).select_related("subscription").annotate(is_filed=Exists(files))
    )


def _chosen(chosen: BillFilter, now: datetime) -> Q:
    condition = Q()
    if chosen.from_at is not None:
        condition &= Q(period_start__gte=chosen.from_at)
    if chosen.to_at is not None:
        condition &= Q(period_start__lt=chosen.to_at)
    return condition if chosen.status is None else condition & _of_status(chosen.status, now)


def _of_status(status: BillStatus, now: datetime) -> Q:
    """The rows that `bill.bill_status` gives this status."""
    issued = Q(state=InvoiceState.ISSUED)
    match status:
        case BillStatus.DRAFT:
            return Q(state=InvoiceState.DRAFT)
        case BillStatus.CHECKING:
            return Q(state=InvoiceState.PARKED)
        case BillStatus.PAID | BillStatus.VOID:
            return issued & Q(settlements__state=str(status))
    settled = Q(settlements__state__in=[SettlementState.PAID, SettlementState.VOID])
    is_late = Q(due_at__lt=now)
    return issued & ~settled & (is_late if status is BillStatus.OVERDUE else ~is_late)


def _heads(account: Account, invoices: Sequence[Any], now: datetime) -> list[BillHead]:
    settlements = _settlements(account, invoices)
    return [
        head_of(invoice, settlements.get(invoice.pk), now=now, is_filed=invoice.is_filed)
        for invoice in invoices
    ]


def _settlements(account: Account, invoices: Sequence[Invoice]) -> dict[int, Settlement]:
    found = Settlement.objects.for_account(account).filter(invoice__in=[invoice.pk for invoice in invoices])
    return {settlement.invoice_id: settlement for settlement in found}
