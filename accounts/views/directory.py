"""The staff's directory: find an account, open a new one, look at its state. No page here shows usage."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.core.paginator import InvalidPage, Page, Paginator
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from accounts import mail, operations, queries
from accounts.access import staff_page
from accounts.forms import AccountSearchForm, MemberForm, NewAccountForm, SupportForm, add_refusal
from accounts.models import Account, Role
from accounts.panels import list_panels
from accounts.permissions import is_open_support_access

ACCOUNTS_PER_PAGE = 50


@staff_page
@require_safe
def staff_accounts(request: Any) -> HttpResponseBase:
    """List accounts, or those that match what was typed."""
    form = AccountSearchForm(request.GET)
    text = form.cleaned_data["q"].strip() if form.is_valid() else None
    found = queries.search_accounts(text) if text is not None else Account.objects.none()
    page = _page_of(found.order_by("name", "id"), request.GET.get("page", "1"))
    context = {
        "form": form,
        "text": text,
        "accounts": page.object_list,
        "page": _pagination(page, text or ""),
    }
    fragment = request.htmx and not request.htmx.history_restore_request
    return render(
        request, "support/accounts.html#account-results" if fragment else "support/accounts.html", context
    )


@staff_page
@require_http_methods(["GET", "HEAD", "POST"])
def staff_account_new(request: Any) -> HttpResponseBase:
    """Open an account and send its first owner the mail to set a password."""
    form = NewAccountForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            account, owner, is_new = operations.create_account(**form.cleaned_data, actor=request.user)
        except operations.UnableToChange as error:
            add_refusal(form, error)
        else:
            if not is_new:
                said = f" {owner.email} has a sign-in already and can open it now."
            elif mail.send_welcome(request, user=owner, account=account):
                said = f" {owner.email} was sent a mail to set a password."
            else:
                said = ""
                messages.warning(request, mail.unsent_words(owner.email))
            messages.success(request, f"{account.name} is open.{said}")
            return redirect("staff-account", account.public_id)
    return render(request, "support/account_new.html", {"form": form}, status=422 if form.errors else 200)


@staff_page
@require_safe
def staff_account(request: Any, account_uuid: UUID) -> HttpResponseBase:
    """Show an account's state, people and support accesses, and how its feeds do."""
    return account_page_answer(request, get_account(account_uuid))


def get_account(account_uuid: UUID) -> Account:
    """Return the account of the address, or answer that there is none."""
    account = queries.find_account(public_id=account_uuid)
    if account is None:
        raise Http404
    return account


def account_page_answer(
    request: Any,
    account: Account,
    *,
    support_form: SupportForm | None = None,
    member_form: MemberForm | None = None,
    refusal: str = "",
) -> HttpResponse:
    """Render the staff page of an account, with the forms as they were sent if one was refused."""
    now = timezone.now()
    accesses = queries.list_support_accesses(account)
    mine = [access for access in accesses if access.staff_user_id == request.user.pk]
    context = {
        "subject": account,
        "members": queries.list_members(account),
        "roles": Role.choices,
        "open_access": next((access for access in mine if is_open_support_access(access, now=now)), None),
        "support_log": [(access, is_open_support_access(access, now=now)) for access in accesses],
        "live_keys": queries.count_live_api_keys(account, now=now),
        "panels": list_panels(account, now=now),
        "support_form": support_form or SupportForm(),
        "member_form": member_form or MemberForm(),
        "refusal": refusal,
        "now": now,
    }
    refused = refusal or (support_form and support_form.errors) or (member_form and member_form.errors)
    return render(request, "support/account.html", context, status=422 if refused else 200)


def _page_of(found: Any, number: str) -> Page[Any]:
    try:
        return Paginator(found, ACCOUNTS_PER_PAGE).page(number)
    except InvalidPage as error:
        raise Http404 from error


def _pagination(page: Page[Any], text: str) -> dict[str, Any]:
    def address(number: int) -> str:
        return f"{reverse('staff-accounts')}?{urlencode({'q': text, 'page': number})}"

    total = page.paginator.count
    return {
        "summary": f"Accounts {page.start_index():,} to {page.end_index():,} of {total:,}" if total else "",
        "previous_url": address(page.previous_page_number()) if page.has_previous() else None,
        "next_url": address(page.next_page_number()) if page.has_next() else None,
        "target": "#account-results",
    }
