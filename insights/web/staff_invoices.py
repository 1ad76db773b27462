"""Finance's pages on invoices: parked ones first with their reasons, totals by state, and what may be decided."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.access import staff_page
from accounts.operations import UnableToChange
from accounts.tenancy import as_staff
from insights.billing.bill import BillStatus
from insights.billing.dispatch_queries import MAILED_WITHIN
from insights.billing.finance_queries import (
    InvoiceFacts,
    InvoicePage,
    InvoiceSearch,
    get_invoice,
    list_invoices,
    page_invoices,
    sum_by_status,
)
from insights.billing.payout_queries import list_left_over, list_payouts
from insights.billing.period_queries import read_clock
from insights.billing.settlement_operations import (
    UnknownInvoice,
    VoidEffect,
    mark_open,
    mark_paid,
    preview_void,
    release_invoice,
    void_invoice,
)
from insights.billing.uncovered_queries import list_accounts_waiting
from insights.exports.invoice_rows import invoice_rows
from insights.web.bills import uuid_of
from insights.web.csv_files import csv_stream, read_by_pages
from insights.web.partials import render_page

INVOICES_PER_PAGE = 50
SEARCH_LENGTH_MAX = 200
PAYOUTS_SHOWN_MAX = 20


@staff_page
@require_safe
def invoices(request: HttpRequest) -> HttpResponse:
    """List invoices by a search, below what is to be decided."""
    now = timezone.now()
    search = _search(request)
    page = page_invoices(
        search, now=now, limit=INVOICES_PER_PAGE, after=uuid_of(request.GET.get("after", ""))
    )
    totals = sum_by_status(now=now)
    context = {
        "nav": "invoices",
        "invoices": page.invoices,
        "count": page.count,
        "page": _links(search, page),
        "totals": totals,
        "left_over": list_left_over(),
        "payouts": list_payouts(limit=PAYOUTS_SHOWN_MAX),
        "payouts_shown_max": PAYOUTS_SHOWN_MAX,
        "uncovered": list_accounts_waiting(),
        "parked": sum(one.count for one in totals if one.status is BillStatus.CHECKING),
        "overdue": sum(one.count for one in totals if one.status is BillStatus.OVERDUE),
        "text": search.text,
        "status": search.status or "",
        "statuses": list(BillStatus),
        "query": _query(search),
    }
    return render_page(request, "staff/invoices.html", context, part="invoices")


@staff_page
@require_safe
def invoices_csv(request: HttpRequest) -> HttpResponseBase:
    """Download everything that the same search finds."""
    return csv_stream(request, invoice_rows(_every_invoice(_search(request), timezone.now())), "invoices.csv")


def _every_invoice(search: InvoiceSearch, now: datetime) -> Iterator[InvoiceFacts]:
    """Every invoice found, as the role of the page that asked, which has ended by then."""
    return read_by_pages(
        as_staff,
        lambda after, limit: list_invoices(search, now=now, limit=limit, after=after),
        lambda one: one.public_id,
    )


@staff_page
@require_safe
def invoice(request: HttpRequest, bill_uuid: UUID) -> HttpResponse:
    """Show one invoice's facts and what may be done, with what each act would do."""
    facts = _or_404(bill_uuid)
    context = {
        "nav": "invoices",
        "facts": facts,
        "effect": _effect(facts),
        "mailed_within_days": MAILED_WITHIN.days,
        "is_open": facts.status in (BillStatus.OPEN, BillStatus.OVERDUE),
    }
    return render(request, "staff/invoice.html", context)


@staff_page
@require_POST
def invoice_release(request: Any, bill_uuid: UUID) -> HttpResponse:
    """Let a parked invoice through."""
    findings, reason = request.POST.getlist("findings"), request.POST.get("reason", "")
    act = partial(release_invoice, bill_uuid, findings=findings, reason=reason, by=request.user)
    return _act(
        request, bill_uuid, act, "Released. The next pass issues it, unless something else speaks against it."
    )


def _act_page(operation: Callable[..., object], done: str) -> Any:
    """A page that settles an invoice one way or the other, with the reason that its form gives."""

    @staff_page
    @require_POST
    def act(request: Any, bill_uuid: UUID) -> HttpResponse:
        said = {"reason": request.POST.get("reason", ""), "by": request.user, "now": read_clock()}
        return _act(request, bill_uuid, partial(operation, bill_uuid, **said), done)

    return act


invoice_paid = _act_page(mark_paid, "Marked as paid.")
invoice_open = _act_page(mark_open, "Marked as not paid.")
invoice_void = _act_page(void_invoice, "Void. Its period is billed anew by the next pass.")


def _act(request: HttpRequest, bill_uuid: UUID, act: Callable[[], object], done: str) -> HttpResponse:
    try:
        act()
    except UnknownInvoice:
        raise Http404 from None
    except UnableToChange as refusal:
        messages.error(request, refusal.message)
    else:
        messages.success(request, done)
    return redirect("staff-invoice", bill_uuid)


def _or_404(bill_uuid: UUID) -> InvoiceFacts:
    facts = get_invoice(bill_uuid, now=timezone.now())
    if facts is None:
        raise Http404
    return facts


def _effect(facts: InvoiceFacts) -> VoidEffect | None:
    return preview_void(facts.public_id) if facts.issued_at else None


def _search(request: HttpRequest) -> InvoiceSearch:
    text = request.GET.get("q", "").strip()
    if len(text) > SEARCH_LENGTH_MAX or "\x00" in text:
        raise BadRequest(f"Search for at most {SEARCH_LENGTH_MAX} characters that can be seen.")
    status = request.GET.get("status", "")
    if status and status not in list(BillStatus):
        raise BadRequest("There is no such state of invoices.")
    return InvoiceSearch(text=text, status=BillStatus(status) if status else None)


def _query(search: InvoiceSearch, **more: str) -> str:
    """The question of a search for an address, with what else is given."""
    said = {"q": search.text, "status": search.status or "", **more}
    return urlencode({name: value for name, value in said.items() if value})


def _links(search: InvoiceSearch, page: InvoicePage) -> dict[str, str | None]:
    last = page.number + len(page.invoices) - 1
    summary = f"Invoices {page.number:,} to {last:,} of {page.count:,}" if page.invoices else ""
    previous = _query(search, after=str(page.after_previous or ""))
    return {
        "summary": summary,
        "previous_url": f"?{previous}" if page.number > 1 else None,
        "next_url": f"?{_query(search, after=str(page.after_this))}" if page.after_this else None,
        "target": "#invoices",
    }
