"""Staff pages of the catalogue: plans, their versions with every price in words, and a new version from TOML."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.access import staff_page
from accounts.operations import UnableToChange
from insights.billing.catalogue_operations import (
    check_plan,
    delete_draft,
    load_plan,
    publish_version,
    retire_plan,
)
from insights.billing.catalogue_queries import (
    PlanFacts,
    UnknownPlan,
    VersionFacts,
    get_plan,
    plan_document,
)
from insights.billing.plan_faults import InvalidPlan
from insights.billing.plan_toml import PlanDocument, parse_plan_toml
from insights.billing.plan_toml_text import plan_to_toml
from insights.billing.subscription_queries import count_subscribers
from insights.web.plan_downloads import INTERVAL_WORDS, plan_lines, plan_or_404
from insights.web.plan_words import differences, price_rows
from insights.web.prices import whole_words
from insights.web.staff_forms import TomlForm

EXAMPLE_TOML = """\
key = "pro"
name = "Pro"
currency = "USD"
interval = "month"

[version]
effective_from = 2027-01-01T00:00:00Z
note = "First prices"

[[prices]]
key = "base"
name = "Base fee"
model = "flat"
amount = "20"
timing = "in_advance"
prorated = true

[[prices]]
key = "out"
name = "Data out"
meter = "bytes_out"
unit = "byte"
per = "GB"
included = "5"
model = "graduated"
tiers = [
    { up_to = "100", unit_amount = "0.10" },
    { unit_amount = "0.08" },
]
"""


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
@require_http_methods(["GET", "HEAD", "POST"])
def plan_new(request: HttpRequest) -> HttpResponse:
    """Make a plan or a version of one from TOML: first shown what it changes, then saved as a draft."""
    if request.method != "POST":
        return _render_new(request, TomlForm(initial={"text": _first_text(request.GET.get("plan", ""))}))
    form = TomlForm(request.POST, request.FILES)
    if not form.is_valid():
        return _render_new(request, form, status=422)
    text = form.cleaned_data["text"]
    # What came as a file is shown in the box, so that the next press of a button has it again.
    shown = TomlForm(initial={"text": text})
    try:
        document = parse_plan_toml(text)
        if request.POST.get("act") != "save":
            check_plan(document=document)
            return _render_new(request, shown, document=document)
        loaded = load_plan(document=document, actor=_actor(request))
    except InvalidPlan as error:
        return _render_new(request, shown, faults=error.faults, status=422)
    messages.success(request, f"Version {loaded.number} is saved as a draft. Nobody is billed by it yet.")
    return redirect("staff-plan", loaded.key)


@staff_page
@require_POST
def plan_publish(request: HttpRequest, plan_key: str) -> HttpResponse:
    """Publish the draft whose number the form names."""
    facts, number = plan_or_404(plan_key), _number(request)
    act = partial(publish_version, key=facts.key, number=number, actor=_actor(request), now=timezone.now())
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
    act = partial(retire_plan, key=facts.key, actor=_actor(request), now=timezone.now())
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
    draft = facts.draft
    context = {
        "nav": "plans",
        "plan": facts,
        "interval": INTERVAL_WORDS[facts.interval_months],
        "in_force": in_force,
        "subscribers": count_subscribers([facts.id])[facts.id],
        "versions": [_version(facts, version, in_force) for version in reversed(facts.versions)],
        "draft": draft,
        "changes": differences(_sheet_before(facts, draft), draft.sheet) if draft else (),
        "refusal": refusal,
        "faults": faults,
    }
    return render(request, "staff/plan.html", context, status=422 if refusal or faults else 200)


def _version(facts: PlanFacts, version: VersionFacts, in_force: VersionFacts | None) -> dict[str, Any]:
    return {
        "facts": version,
        "is_in_force": in_force is not None and in_force.id == version.id,
        "is_to_come": version.published_at is not None and version.effective_from > timezone.now(),
        "prices": price_rows(version.sheet),
        "whole": whole_words(version.sheet),
    }


def _sheet_before(facts: PlanFacts, version: VersionFacts) -> Any:
    published = [each for each in facts.versions if each.published_at and each.number != version.number]
    return max(published, key=lambda each: each.effective_from).sheet if published else None


def _render_new(
    request: HttpRequest,
    form: TomlForm,
    *,
    document: PlanDocument | None = None,
    faults: Any = (),
    status: int = 200,
) -> HttpResponse:
    context: dict[str, Any] = {"nav": "plans", "form": form, "faults": faults, "document": document}
    if document is not None:
        context |= _preview(document)
    return render(request, "staff/plan_new.html", context, status=status)


def _preview(document: PlanDocument) -> dict[str, Any]:
    try:
        facts = get_plan(document.key)
    except UnknownPlan:
        facts = None
    published = [each for each in facts.versions if each.published_at] if facts else []
    last = max(published, key=lambda each: each.effective_from, default=None)
    return {
        "known": facts,
        "last": last,
        "changes": differences(last.sheet if last else None, document.sheet(1)),
        "subscribers": count_subscribers([facts.id])[facts.id] if facts else 0,
        "replaces": facts.draft if facts else None,
    }


def _first_text(plan_key: str) -> str:
    try:
        return plan_to_toml(plan_document(plan_key))
    except UnknownPlan:
        return EXAMPLE_TOML


def _number(request: HttpRequest) -> int:
    text = request.POST.get("version", "")
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        raise Http404
    return int(text)


def _actor(request: HttpRequest) -> Any:
    return request.user
