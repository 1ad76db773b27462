"""What staff do to an account's subscriptions, prices, billing profile and credits; every act is audited."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST, require_safe

from accounts.access import staff_page
from accounts.models import Account
from accounts.operations import UnableToChange
from accounts.views.directory import get_account
from insights.billing.account_terms_operations import ProfileChanges, grant_credit, save_profile
from insights.billing.add_on_operations import end_add_on, start_add_on
from insights.billing.override_operations import end_override, set_override
from insights.billing.period_queries import read_clock
from insights.billing.plan_faults import InvalidPlan
from insights.billing.subscription_operations import (
    cancel_change,
    change_plan,
    end_subscription,
    start_subscription,
)
from insights.billing.subscription_rule_queries import (
    UnknownSubscription,
    next_hour,
    period_end,
    subscription_of,
)
from insights.ingest.instants import scan_instant
from insights.ingest.refusals import Refusal
from insights.rating.plan_change import ChangePolicy
from insights.web.staff_billing_page import billing_form, render_billing


@staff_page
@require_safe
def billing(request: HttpRequest, account_uuid: UUID) -> HttpResponse:
    """Show what the account buys, and the forms to change it."""
    return render_billing(request, get_account(account_uuid))


@staff_page
@require_POST
def subscription_start(request: HttpRequest, account_uuid: UUID) -> HttpResponse:
    """Put the account on a plan."""

    def act(account: Account, said: dict[str, Any]) -> str:
        values = said | {"policy": ChangePolicy(said["policy"])}
        plan_key = values.pop("plan")
        start_subscription(account_id=account.pk, plan_key=plan_key, by=_actor(request), **values)
        return f"{said['name']} is on its plan."

    return _submit(request, account_uuid, "start", act)


@staff_page
@require_POST
def subscription_change(request: HttpRequest, account_uuid: UUID, subscription_uuid: UUID) -> HttpResponse:
    """Put a subscription on another plan, or give it other counts."""

    def act(account: Account, said: dict[str, Any]) -> str:
        change_plan(
            account_id=account.pk,
            subscription_id=subscription_uuid,
            plan_key=said["plan"],
            starts_at=_when(account, subscription_uuid, said),
            policy=ChangePolicy(said["policy"]),
            counts=said["counts"],
            reason=said["reason"],
            by=_actor(request),
        )
        return "The plan changes as asked."

    return _submit(request, account_uuid, "change", act, which=str(subscription_uuid))


@staff_page
@require_POST
def subscription_cancel(request: HttpRequest, account_uuid: UUID, subscription_uuid: UUID) -> HttpResponse:
    """Take back a change that has not begun."""
    account = get_account(account_uuid)
    act = partial(
        cancel_change,
        account_id=account.pk,
        subscription_id=subscription_uuid,
        starts_at=_posted_instant(request, "starts_at"),
        by=_actor(request),
        now=read_clock(),
    )
    return _do(request, account, act, said="The change is cancelled; the plan before it goes on.")


@staff_page
@require_POST
def subscription_end(request: HttpRequest, account_uuid: UUID, subscription_uuid: UUID) -> HttpResponse:
    """End a subscription."""

    def act(account: Account, said: dict[str, Any]) -> str:
        end_subscription(
            account_id=account.pk,
            subscription_id=subscription_uuid,
            ends_at=_when(account, subscription_uuid, said),
            by=_actor(request),
            now=read_clock(),
        )
        return "The subscription ends as asked."

    return _submit(request, account_uuid, "end", act, which=str(subscription_uuid))


@staff_page
@require_POST
def add_on_start(request: HttpRequest, account_uuid: UUID, subscription_uuid: UUID) -> HttpResponse:
    """Give a subscription an add-on."""

    def act(account: Account, said: dict[str, Any]) -> str:
        start_add_on(
            account_id=account.pk,
            subscription_id=subscription_uuid,
            plan_key=said["plan"],
            starts_at=_when(account, subscription_uuid, said),
            counts=said["counts"],
            by=_actor(request),
        )
        return "The add-on begins as asked."

    return _submit(request, account_uuid, "add_on", act, which=str(subscription_uuid))


@staff_page
@require_POST
def add_on_end(request: HttpRequest, account_uuid: UUID, subscription_uuid: UUID) -> HttpResponse:
    """End an add-on, named by its plan and its start."""
    account = get_account(account_uuid)
    act = partial(
        end_add_on,
        account_id=account.pk,
        subscription_id=subscription_uuid,
        plan_key=request.POST.get("add_on", "")[:60].replace("\x00", ""),
        started_at=_posted_instant(request, "started_at"),
        ends_at=_posted_instant(request, "ends_at"),
        by=_actor(request),
        now=read_clock(),
    )
    return _do(request, account, act, said="The add-on ends as asked.")


@staff_page
@require_POST
def override_set(request: HttpRequest, account_uuid: UUID) -> HttpResponse:
    """Give the account its own terms for one price."""

    def act(account: Account, said: dict[str, Any]) -> str:
        plan_key, _, price_key = said.pop("price").partition("/")
        set_override(
            account_id=account.pk, plan_key=plan_key, price_key=price_key, by=_actor(request), **said
        )
        return f"The account has its own price for {price_key}."

    return _submit(request, account_uuid, "override", act)


@staff_page
@require_POST
def override_end(request: HttpRequest, account_uuid: UUID) -> HttpResponse:
    """Let the plan's price hold again, for the price that the form names."""

    def act(account: Account, said: dict[str, Any]) -> str:
        plan_key, _, price_key = said["price"].partition("/")
        end_override(
            account_id=account.pk,
            plan_key=plan_key,
            price_key=price_key,
            started_at=_instant_or_404(said["started_at"]),
            ends_at=said["ends_at"],
            by=_actor(request),
            now=read_clock(),
        )
        return "The plan's price holds again from then on."

    which = f"{request.POST.get('price', '')} {request.POST.get('started_at', '')}"
    return _submit(request, account_uuid, "override_end", act, which=which)


@staff_page
@require_POST
def profile_save(request: HttpRequest, account_uuid: UUID) -> HttpResponse:
    """Save the billing profile."""

    def act(account: Account, said: dict[str, Any]) -> str:
        recipients = tuple(line.strip() for line in said.pop("recipients").splitlines() if line.strip())
        changes = ProfileChanges(legal_entity_key=said.pop("legal_entity"), recipients=recipients, **said)
        save_profile(account_id=account.pk, changes=changes, by=_actor(request), now=read_clock())
        return "Saved. Invoices issued from now on say so; issued ones stay as they are."

    return _submit(request, account_uuid, "profile", act)


@staff_page
@require_POST
def credit_grant(request: HttpRequest, account_uuid: UUID) -> HttpResponse:
    """Grant a credit."""

    def act(account: Account, said: dict[str, Any]) -> str:
        grant_credit(account_id=account.pk, by=_actor(request), now=read_clock(), **said)
        return f"{said['amount']} {account.currency} of credit is granted."

    return _submit(request, account_uuid, "credit", act)


def _submit(
    request: HttpRequest,
    account_uuid: UUID,
    name: str,
    act: Callable[[Account, dict[str, Any]], str],
    *,
    which: str = "",
) -> HttpResponse:
    """Do what a form of the page asks, or show it again with what was typed and what to mend."""
    account = get_account(account_uuid)
    form = billing_form(account, name, request.POST, which=which)
    faults: tuple[Any, ...] = ()
    if form.is_valid():
        try:
            messages.success(request, act(account, dict(form.cleaned_data)))
        except UnknownSubscription:
            raise Http404 from None
        except UnableToChange as error:
            form.add_error(_field_of(form, error), error.message)
        except InvalidPlan as error:
            faults = error.faults
        else:
            return redirect("staff-billing", account.public_id)
    return render_billing(request, account, failed=form, failed_name=name, failed_which=which, faults=faults)


def _do(request: HttpRequest, account: Account, act: Callable[[], None], *, said: str) -> HttpResponse:
    try:
        act()
    except UnknownSubscription:
        raise Http404 from None
    except UnableToChange as error:
        return render_billing(request, account, refusal=error.message)
    messages.success(request, said)
    return redirect("staff-billing", account.public_id)


def _field_of(form: forms.Form, error: UnableToChange) -> str | None:
    field = {"ends_at": "starts_at"}.get(error.field, error.field) if "when" in form.fields else error.field
    return field if field in form.fields else None


def _when(account: Account, subscription_uuid: UUID, said: dict[str, Any]) -> datetime:
    now = read_clock()
    if said["when"] == "instant":
        instant: datetime = said["starts_at"]
        return instant
    if said["when"] == "hour":
        return next_hour(now)
    return period_end(subscription_of(account.pk, subscription_uuid), now)


def _posted_instant(request: HttpRequest, name: str) -> datetime:
    return _instant_or_404(request.POST.get(name, ""))


def _instant_or_404(text: str) -> datetime:
    """An instant that a form has hidden; one that is none belongs to no row, as if the row were not there."""
    try:
        return scan_instant(text, "it", clock_zone=None)
    except Refusal:
        raise Http404 from None


def _actor(request: HttpRequest) -> Any:
    return request.user
