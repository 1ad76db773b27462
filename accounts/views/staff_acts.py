"""What staff do to an account: its state, its people, and their own look into it. Each act posts and comes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponseBase
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_POST

from accounts import mail, operations
from accounts.access import staff_page
from accounts.forms import MemberForm, RoleForm, SupportForm, add_refusal
from accounts.models import Account
from accounts.views.directory import account_page_answer, get_account


@staff_page
@require_POST
def account_state(request: Any, account_uuid: UUID) -> HttpResponseBase:
    """Suspend, resume or close an account."""
    account = get_account(account_uuid)
    acts: dict[str, tuple[Callable[[], None], str]] = {
        "suspend": (lambda: operations.suspend_account(account=account, actor=request.user), "is suspended"),
        "resume": (lambda: operations.resume_account(account=account, actor=request.user), "is active again"),
        "close": (
            lambda: operations.close_account(account=account, actor=request.user, now=timezone.now()),
            "is closed",
        ),
    }
    if request.POST.get("act") not in acts:
        raise Http404
    act, said = acts[request.POST["act"]]
    return _do(request, account, act, said=f"{account.name} {said}.")


@staff_page
@require_POST
def member_add(request: Any, account_uuid: UUID) -> HttpResponseBase:
    """Give a person a role; somebody new gets the mail to set a password."""
    account = get_account(account_uuid)
    form = MemberForm(request.POST)
    if form.is_valid():
        try:
            membership, is_new = operations.add_member(
                account=account, actor=request.user, **form.cleaned_data
            )
        except operations.UnableToChange as error:
            add_refusal(form, error)
        else:
            if is_new and not mail.send_welcome(request, user=membership.user, account=account):
                messages.warning(request, mail.unsent_words(membership.user.email))
            messages.success(request, f"{membership.user.email} is {membership.role} of {account.name}.")
            return redirect("staff-account", account.public_id)
    return account_page_answer(request, account, member_form=form)


@staff_page
@require_POST
def member_role(request: Any, account_uuid: UUID, user_uuid: UUID) -> HttpResponseBase:
    """Give a member another role."""
    account = get_account(account_uuid)
    form = RoleForm(request.POST)
    if not form.is_valid():
        return account_page_answer(request, account, refusal="Choose one of the roles.")
    role = form.cleaned_data["role"]
    return _do(
        request,
        account,
        lambda: operations.change_role(
            account=account, user_public_id=user_uuid, role=role, actor=request.user
        ),
        said="The role is changed.",
    )


@staff_page
@require_POST
def member_remove(request: Any, account_uuid: UUID, user_uuid: UUID) -> HttpResponseBase:
    """End a membership."""
    account = get_account(account_uuid)
    return _do(
        request,
        account,
        lambda: operations.remove_member(account=account, user_public_id=user_uuid, actor=request.user),
        said="The person is no longer a member.",
    )


@staff_page
@require_POST
def support_start(request: Any, account_uuid: UUID) -> HttpResponseBase:
    """Start a look into the account and go there."""
    account = get_account(account_uuid)
    form = SupportForm(request.POST)
    if form.is_valid():
        try:
            operations.start_support_access(
                staff=request.user, account=account, reason=form.cleaned_data["reason"], now=timezone.now()
            )
        except operations.UnableToChange as error:
            add_refusal(form, error)
        else:
            return redirect("account-overview", account.public_id)
    return account_page_answer(request, account, support_form=form)


@staff_page
@require_POST
def support_stop(request: Any, account_uuid: UUID) -> HttpResponseBase:
    """End the look; a second time changes nothing."""
    account = get_account(account_uuid)
    if operations.end_support_access(staff=request.user, account=account, now=timezone.now()):
        messages.success(request, f"Your support access to {account.name} has ended.")
    return redirect("staff-account", account.public_id)


def _do(request: Any, account: Account, act: Callable[[], None], *, said: str) -> HttpResponseBase:
    try:
        act()
    except operations.UnableToChange as error:
        return account_page_answer(request, get_account(account.public_id), refusal=error.message)
    messages.success(request, said)
    return redirect("staff-account", account.public_id)
