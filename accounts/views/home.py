"""Where a person lands after signing in: their account, a choice of accounts, or the staff's feeds."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from accounts import queries
from accounts.access import signed_in_page


@signed_in_page
@require_safe
def home(request: Any) -> HttpResponseBase:
    """Open the only account at once; with several show them, with none say so."""
    memberships = queries.list_memberships_of(request.user)
    if len(memberships) == 1 and "switch" not in request.GET:
        return redirect("account-overview", memberships[0].account.public_id)
    if not memberships and request.user.is_staff:
        return redirect("staff-feeds")
    return render(request, "accounts/home.html", {"memberships": memberships})
