"""The billing page of an account: subscriptions with their plans in turn, and a form for each act on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.text import slugify

from accounts.models import Account
from insights.billing.catalogue_queries import PlanFacts, list_plans
from insights.billing.credit_queries import list_grant_balances
from insights.billing.payout_queries import LeftOver, list_left_over, list_payouts
from insights.billing.price_words import money_number
from insights.billing.profile_queries import find_billing_profile
from insights.billing.subscription_queries import issued_until, overrides_of, subscriptions_with_phases
from insights.billing.subscription_rule_queries import period_end
from insights.billing.uncovered_queries import list_findings
from insights.models import (
    BillingProfile,
    LegalEntity,
    PriceOverride,
    Subscription,
    SubscriptionPhase,
)
from insights.templatetags.figures import SHARE_WIDTH
from insights.web.hour_field import HourField
from insights.web.override_words import override_words
from insights.web.staff_billing_forms import (
    AddOnForm,
    ChangeForm,
    CreditForm,
    EndForm,
    OverrideEndForm,
    OverrideForm,
    PayoutForm,
    ProfileForm,
    StartForm,
)

# A subscription without an end is drawn as if it went on for a month after its last change.
_DRAWN_ON = timedelta(days=31)
_SERIES = 8


def billing_form(account: Account, name: str, data: Any = None, *, which: str = "") -> forms.Form:
    """A form of the page by its name, with the choices and the clock that the account has.

    `which` says of which row it is, such as a subscription, and keeps the ids of its fields apart.
    """
    form = _form_of(account, name, data, auto_id=f"{name}_{slugify(which)}_%s" if which else f"{name}_%s")
    for field in form.fields.values():
        if isinstance(field, HourField):
            field.set_clock(account.billing_zone, timezone.now())
    return form


def _form_of(account: Account, name: str, data: Any, *, auto_id: str) -> forms.Form:
    if name == "start":
        return _with_choices(StartForm(data, auto_id=auto_id), plan=_plans(account, "base"))
    if name == "change":
        return _with_choices(ChangeForm(data, auto_id=auto_id), plan=_plans(account, "base"))
    if name == "add_on":
        return _with_choices(AddOnForm(data, auto_id=auto_id), plan=_plans(account, "add_on"))
    if name == "override":
        return _with_choices(OverrideForm(data, auto_id=auto_id), price=_prices(account))
    if name == "profile":
        initial = _profile_initial(find_billing_profile(account))
        profile_form = ProfileForm(data, auto_id=auto_id, initial=initial)
        return _with_choices(profile_form, legal_entity=list(LegalEntity.objects.values_list("key", "name")))
    if name == "credit":
        form = CreditForm(data, auto_id=auto_id)
        form.fields["amount"].label = f"Amount, {account.currency}"
        return form
    return {"end": EndForm, "override_end": OverrideEndForm, "payout": PayoutForm}[name](
        data, auto_id=auto_id
    )


def _with_choices(form: forms.Form, **choices: Sequence[tuple[str, str]]) -> forms.Form:
    for name, values in choices.items():
        field: Any = form.fields[name]
        field.choices = values
    return form


def _offered(account: Account) -> list[PlanFacts]:
    return [
        plan
        for plan in list_plans()
        if plan.account_id in (None, account.pk) and plan.currency == account.currency
    ]


def _plans(account: Account, kind: str) -> list[tuple[str, str]]:
    return [
        (plan.key, f"{plan.name} ({plan.key})")
        for plan in _offered(account)
        if plan.kind == kind and plan.retired_at is None and any(each.published_at for each in plan.versions)
    ]


def _prices(account: Account) -> list[tuple[str, str]]:
    return [
        (f"{plan.key}/{price.key}", f"{plan.name}: {price.name} ({price.key})")
        for plan in _offered(account)
        for version in [each for each in plan.versions if each.published_at][-1:]
        for price in version.sheet.prices
    ]


def render_billing(
    request: HttpRequest,
    account: Account,
    *,
    failed: forms.Form | None = None,
    failed_name: str = "",
    failed_which: str = "",
    refusal: str = "",
    faults: Any = (),
) -> HttpResponse:
    """Render the page; the form that failed stands where it was, with what was typed."""
    now = timezone.now()
    rows = subscriptions_with_phases(account.pk)
    issued = issued_until(row.pk for row in rows)

    def form(name: str, which: str = "", **initial: Any) -> forms.Form:
        if failed is not None and (failed_name, failed_which) == (name, which):
            return failed
        made = billing_form(account, name, which=which)
        made.initial.update(initial)
        return made

    subscriptions = []
    for row in rows:
        key = str(row.public_id)
        subscriptions.append(
            _subscription(row, now, issued.get(row.pk), zone=account.billing_zone)
            | {
                "change_form": form("change", key),
                "add_on_form": form("add_on", key),
                "end_form": form("end", key),
            }
            | {"failed": failed_name if failed_which == key else ""}
        )
    context = {
        "nav": "accounts",
        "subject": account,
        "now": now,
        "subscriptions": subscriptions,
        "live": sum(row.ends_at is None or row.ends_at > now for row in rows),
        "has_add_ons": any(one["add_ons"] for one in subscriptions),
        "zone": account.billing_zone,
        "overrides": [_override(each, now, form, failed_which) for each in overrides_of(account.pk)],
        "profile": find_billing_profile(account),
        "credits": list_grant_balances(account),
        "left_over": [_left_over(one, now, form, failed_which) for one in list_left_over(account)],
        "payouts": list_payouts(account),
        "uncovered": list_findings(account),
        "start_form": form("start"),
        "override_form": form("override"),
        "profile_form": form("profile"),
        "credit_form": form("credit"),
        "failed_name": failed_name,
        "refusal": refusal,
        "faults": faults,
    }
    status = 422 if refusal or faults or failed is not None else 200
    return render(request, "staff/billing.html", context, status=status)


def _subscription(row: Subscription, now: datetime, issued: datetime | None, *, zone: str) -> dict[str, Any]:
    phases = [phase for phase in row.phases.all() if phase.cancelled_at is None]
    current = max(
        (phase for phase in phases if phase.starts_at <= now), key=lambda each: each.starts_at, default=None
    )
    ends = [*(phase.starts_at for phase in phases[1:]), row.ends_at][: len(phases)]
    return {
        "row": row,
        "is_over": row.ends_at is not None and row.ends_at <= now,
        "current": current,
        "issued_until": issued,
        "period_end": period_end(row, now),
        "phases": [
            {
                "row": phase,
                "end": end,
                "series": 1 + number % _SERIES,
                "may_cancel": number > 0 and phase.starts_at > now,
            }
            for number, (phase, end) in enumerate(zip(phases, ends, strict=True))
        ],
        "cancelled": sum(phase.cancelled_at is not None for phase in row.phases.all()),
        "ruler": _ruler(row, phases, now, zone=ZoneInfo(zone)),
        "add_ons": [
            {"row": add_on, "is_over": add_on.ends_at is not None and add_on.ends_at <= now}
            for add_on in row.add_ons.all()
        ],
    }


def _ruler(
    row: Subscription, phases: Sequence[SubscriptionPhase], now: datetime, *, zone: ZoneInfo
) -> dict[str, Any]:
    """Each plan as a stretch of one bar, from the start to the end, or to some time after the last change."""
    if not phases:
        return {"width": SHARE_WIDTH, "segments": []}
    end = row.ends_at or max(now, phases[-1].starts_at) + _DRAWN_ON
    whole = (end - row.starts_at) // timedelta(seconds=1)
    edges = [min(phase.starts_at, end) for phase in phases] + [end]
    places = [SHARE_WIDTH * ((edge - row.starts_at) // timedelta(seconds=1)) // whole for edge in edges]
    return {
        "width": SHARE_WIDTH,
        "segments": [
            {
                "x": places[number],
                "width": places[number + 1] - places[number],
                "series": 1 + number % _SERIES,
                "title": f"{phase.plan.name} from {phase.starts_at.astimezone(zone):%-d %b %Y, %H:%M}",
            }
            for number, phase in enumerate(phases)
        ],
    }


def _override(
    row: PriceOverride, now: datetime, form: Callable[..., forms.Form], failed_which: str
) -> dict[str, Any]:
    price, started_at = f"{row.plan.key}/{row.price_key}", row.starts_at.isoformat()
    which = f"{price} {started_at}"
    return {
        "row": row,
        "words": override_words(row),
        "is_over": row.ends_at is not None and row.ends_at <= now,
        "form": form("override_end", which, price=price, started_at=started_at),
        "has_failed": failed_which == which,
    }


def _left_over(
    one: LeftOver, now: datetime, form: Callable[..., forms.Form], failed_which: str
) -> dict[str, Any]:
    currency = one.amount.currency
    paid_on = now.astimezone(ZoneInfo(one.account.billing_zone)).date()
    said = {"currency": currency, "amount": money_number(one.amount), "paid_on": paid_on.isoformat()}
    return {
        "row": one,
        "form": form("payout", currency, payout=uuid4(), **said),
        "has_failed": failed_which == currency,
    }


def _profile_initial(profile: BillingProfile | None) -> dict[str, Any]:
    if profile is None:
        return {}
    percent: Decimal = profile.tax_percent
    return {
        "legal_entity": profile.legal_entity.key,
        "company_name": profile.company_name,
        "address": profile.address,
        "tax_id": profile.tax_id,
        "purchase_order": profile.purchase_order,
        "recipients": "\n".join(profile.recipients),
        "tax_name": profile.tax_name,
        "tax_percent": f"{percent.normalize():f}",
        "tax_exempt_reason": profile.tax_exempt_reason,
        "due_days": profile.due_days,
        "grace_days": profile.grace_days,
    }
