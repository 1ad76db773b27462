"""Staff pages of the catalogue: plans and their versions with every price in words; drafts are published or dropped."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.access import staff_page
from accounts.operations import UnableToChange
from insights.billing.catalogue_operations import delete_draft, publish_version, retire_plan
from insights.billing.catalogue_queries import PlanFacts, VersionFacts
from insights.billing.period_queries import read_clock
from insights.billing.plan_faults import InvalidPlan
from insights.web.plan_check import draft_context
from insights.web.plan_downloads import INTERVAL_WORDS, plan_lines, plan_or_404
from insights.web.plan_forms import PublishForm
from insights.web.plan_words import price_rows
from insights.web.prices import whole_words


@staff_page
@require_safe
def plans(request: HttpRequest) -> HttpResponse:
    """List the plans, with the version in force and how many subscriptions have each."""
    now = timezone.now()
    lines = plan_lines(now)
    context = {
        "nav": "plans",
        "lines": lines,
        "offered": sum(line["plan"].retired_at is None for line in lines),
        "drafts": sum(line["plan"].draft is not None for line in lines),
    }
    return render(request, "staff/plans.html", context)


@staff_page
@require_safe
def plan(request: HttpRequest, plan_key: str) -> HttpResponse:
    """Show every version of a plan, the newest first."""
    return _render_plan(request, plan_or_404(plan_key))


@staff_page
@require_POST
def plan_publish(request: HttpRequest, plan_key: str) -> HttpResponse:
    """Publish the draft whose number the form names."""
    facts, number = plan_or_404(plan_key), _number(request)
    form = PublishForm(request.POST)
    if not form.is_valid():
        return _render_plan(request, facts, refusal=str(form.errors["effective_from"][0]))
    act = partial(
        publish_version,
        key=facts.key,
        number=number,
        actor=_actor(request),
        now=read_clock(),
        effective_from=form.cleaned_data["effective_from"],
    )
    return _do(request, facts, act, said=f"Version {number} is published.")


@staff_page
@require_POST
def plan_drop(request: HttpRequest, plan_key: str) -> HttpResponse:
    """Drop the draft whose number the form names."""
    facts, number = plan_or_404(plan_key), _number(request)
    act = partial(delete_draft, key=facts.key, number=number, actor=_actor(request))
    return _do(request, facts, act, said=f"The draft of version {number} is dropped.")


@staff_page
@require_POST
def plan_retire(request: HttpRequest, plan_key: str) -> HttpResponse:
    """Offer the plan to nobody from now on."""
    facts = plan_or_404(plan_key)
    act = partial(retire_plan, key=facts.key, actor=_actor(request), now=read_clock())
    return _do(request, facts, act, said=f"{facts.name} is not offered any more.")


def _do(request: HttpRequest, facts: PlanFacts, act: Callable[[], None], *, said: str) -> HttpResponse:
    try:
        act()
    except UnableToChange as error:
        return _render_plan(request, plan_or_404(facts.key), refusal=error.message)
    except InvalidPlan as error:
        return _render_plan(request, plan_or_404(facts.key), faults=error.faults)
    messages.success(request, said)
    return redirect("staff-plan", facts.key)


def _render_plan(
    request: HttpRequest, facts: PlanFacts, *, refusal: str = "", faults: Any = ()
) -> HttpResponse:
    now = timezone.now()
    in_force = facts.in_force(now)
    context = {
        "nav": "plans",
        "plan": facts,
        **draft_context(facts),
        "interval": INTERVAL_WORDS[facts.interval_months],
        "in_force": in_force,
        "versions": [_version(facts, version, in_force) for version in reversed(facts.versions)],
        "refusal": refusal,
        "faults": faults,
    }
    return render(request, "staff/plan.html", context, status=422 if refusal or faults else 200)


def _version(facts: PlanFacts, version: VersionFacts, in_force: VersionFacts | None) -> dict[str, Any]:
    return {
        "facts": version,
        "words": str(version.number),
        "is_in_force": in_force is not None and in_force.id == version.id,
        "is_to_come": version.published_at is not None and version.effective_from > timezone.now(),
        "prices": price_rows(version.sheet),
        "whole": whole_words(version.sheet),
    }


def _number(request: HttpRequest) -> int:
    text = request.POST.get("version", "")
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        raise Http404
    return int(text)


def _actor(request: HttpRequest) -> Any:
    return request.user
