"""Staff record what was paid out to a closed account; the lists of what is to be paid out, and of what was, as CSV."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.views.decorators.http import require_POST, require_safe

from accounts.access import staff_page
from accounts.operations import UnableToChange
from accounts.tenancy import as_staff
from accounts.views.directory import get_account
from insights.billing.payout_operations import NOT_FINAL, NOTHING_LEFT, record_payout
from insights.billing.payout_queries import list_left_over, list_payouts
from insights.billing.period_queries import read_clock
from insights.exports.payout_rows import left_over_rows, payout_rows
from insights.web.csv_files import csv_stream, read_by_pages
from insights.web.staff_billing_page import billing_form, render_billing


@staff_page
@require_POST
def payout_record(request: Any, account_uuid: UUID) -> HttpResponse:
    """Record a payout, or show the form again with what was typed and what to mend."""
    account = get_account(account_uuid)
    currency = request.POST.get("currency", "")
    form = billing_form(account, "payout", request.POST, which=currency)
    # The form is on the page only while there is something left and no bill is to come.
    left = {one.amount.currency: one for one in list_left_over(account)}.get(currency)
    is_shown = left is not None and left.is_final
    refusal = "" if is_shown else NOT_FINAL if left is not None else NOTHING_LEFT
    if "payout" in form.errors:
        refusal = "The form is not whole; open the page again."
    if form.is_valid():
        said = dict(form.cleaned_data)
        public_id = said.pop("payout")
        try:
            record_payout(account, public_id=public_id, by=request.user, now=read_clock(), **said)
        except UnableToChange as error:
            if is_shown and error.field in form.fields:
                form.add_error(error.field, error.message)
            else:
                refusal = error.message
        else:
            messages.success(request, f"{said['amount']} {currency} is recorded as paid out.")
            return redirect("staff-billing", account.public_id)
    return render_billing(
        request, account, failed=form, failed_name="payout", failed_which=currency, refusal=refusal
    )


@staff_page
@require_safe
def left_over_csv(request: HttpRequest) -> HttpResponseBase:
    """Download what is to be paid out to closed accounts."""
    listed = read_by_pages(
        as_staff, lambda after, limit: list_left_over(limit=limit, after=after), lambda one: one.place
    )
    return csv_stream(request, left_over_rows(listed), "to-be-paid-out.csv")


@staff_page
@require_safe
def payouts_csv(request: HttpRequest) -> HttpResponseBase:
    """Download what was paid out to closed accounts."""
    listed = read_by_pages(
        as_staff, lambda after, limit: list_payouts(limit=limit, after=after), lambda one: one.place
    )
    return csv_stream(request, payout_rows(listed), "paid-out.csv")
