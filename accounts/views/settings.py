"""An account's settings: keys, people, who looked, and what was done. A new key is in one answer and nowhere else."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from accounts import operations, queries
from accounts.access import account_page
from accounts.forms import KeyForm, add_refusal
from accounts.permissions import KEY_ROLES, can_manage_keys, is_open_support_access
from accounts.wording import describe_act


@account_page
@require_safe
def account_settings(request: Any) -> HttpResponseBase:
    """Show everything that is set and everybody who looked."""
    return _page(request, form=KeyForm())


@account_page(roles=KEY_ROLES)
@require_http_methods(["GET", "HEAD", "POST"])
def key_create(request: Any) -> HttpResponseBase:
    """Make a key and show it in this answer; the address alone leads back to the settings."""
    if request.method != "POST":
        return redirect("account-settings", request.account.public_id)
    form = KeyForm(request.POST)
    now = timezone.now()
    if not form.is_valid():
        return _page(request, form=form, status=422)
    try:
        key, plain = operations.issue_api_key(
            account=request.account,
            name=form.cleaned_data["name"],
            actor=request.user,
            role=request.membership.role,
            now=now,
            expires_at=form.expires_at(zone=request.account.billing_zone),
            reads_bills=form.cleaned_data["reads_bills"],
            writes_notes=form.cleaned_data["writes_notes"],
        )
    except operations.UnableToChange as error:
        add_refusal(form, error)
        return _page(request, form=form, status=422)
    return _page(request, form=KeyForm(), new_key=plain, new_key_name=key.name)


@account_page(roles=KEY_ROLES)
@require_http_methods(["GET", "HEAD", "POST"])
def key_revoke(request: Any, key_uuid: UUID) -> HttpResponseBase:
    """Revoke one of the account's keys; its next use is refused."""
    key = queries.find_api_key(request.account, public_id=key_uuid)
    if key is None:
        raise Http404
    if request.method == "POST":
        operations.revoke_api_key(
            account=request.account,
            key=key,
            actor=request.user,
            role=request.membership.role,
            now=timezone.now(),
        )
        if request.htmx:
            return _page(request, form=KeyForm())
        messages.success(request, f"The key “{key.name}” is revoked.")
    return redirect("account-settings", request.account.public_id)


def _page(
    request: Any, *, form: KeyForm, status: int = 200, new_key: str = "", new_key_name: str = ""
) -> HttpResponse:
    account = request.account
    now = timezone.now()
    role = request.membership.role if request.membership is not None else None
    api_keys = queries.list_api_keys(account)
    context: dict[str, Any] = {
        "form": form,
        "new_key": new_key,
        "new_key_name": new_key_name,
        "api_keys": [(key, _key_state(key, now)) for key in api_keys],
        "live_keys": sum(_key_state(key, now) == "active" for key in api_keys),
        "may_manage_keys": can_manage_keys(role=role, state=account.state),
        "now": now,
    }
    if request.htmx and not request.htmx.history_restore_request:
        return render(request, "accounts/settings.html#settings-keys", context, status=status)
    accesses = queries.list_support_accesses(account)
    pages = queries.pages_by_access(account, accesses)
    context |= {
        "members": queries.list_members(account),
        "support_log": [
            (access, _access_state(access, now), pages.get(access.pk, ())) for access in accesses
        ],
        "acts": [
            (entry, describe_act(act=entry.act, subject=entry.subject, details=entry.details))
            for entry in queries.list_audit_entries(account)
        ],
    }
    return render(request, "accounts/settings.html", context, status=status)


def _key_state(key: Any, now: Any) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= now else "active"


def _access_state(access: Any, now: Any) -> str:
    return "active" if is_open_support_access(access, now=now) else "ended"
