"""Staff let usage pass that no subscription covers, on the page of its account; the list of all accounts as CSV."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.views.decorators.http import require_POST, require_safe

from accounts.access import staff_page
from accounts.operations import UnableToChange
from accounts.tenancy import as_staff
from accounts.views.directory import get_account
from insights.billing.uncovered_operations import UnknownFinding, release_uncovered
from insights.billing.uncovered_queries import list_findings_of_all
from insights.exports.uncovered_rows import uncovered_rows
from insights.web.csv_files import csv_stream, read_by_pages
from insights.web.staff_billing_page import render_billing


@staff_page
@require_POST
def uncovered_release(request: Any, account_uuid: UUID, finding_uuid: UUID) -> HttpResponse:
    """Let one finding pass as it was shown, with the reason that its form gives."""
    account = get_account(account_uuid)
    said = {name: request.POST.get(name, "") for name in ("finding", "reason")}
    try:
        release_uncovered(account, finding_uuid, by=request.user, **said)
    except UnknownFinding:
        raise Http404 from None
    except UnableToChange as error:
        return render_billing(request, account, refusal=error.message)
    messages.success(request, "Let pass as it is; more of it is told of again.")
    return redirect("staff-billing", account.public_id)


@staff_page
@require_safe
def uncovered_csv(request: HttpRequest) -> HttpResponseBase:
    """Download the list of such usage of every account, what was let pass too."""
    listed = read_by_pages(
        as_staff,
        lambda after, limit: list_findings_of_all(limit=limit, after=after),
        lambda one: one.place,
    )
    return csv_stream(request, uncovered_rows(listed), "uncovered.csv")
