"""Staff let usage pass that no subscription covers; where it is told of is the account's billing page."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from accounts.access import staff_page
from accounts.operations import UnableToChange
from accounts.views.directory import get_account
from insights.billing.uncovered_operations import UnknownFinding, release_uncovered
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
