"""Staff pages of the catalogue: plans, their versions with every price in words, and a new version from TOML."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
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
    list_plans,
    plan_document,
)
from insights.billing.plan_faults import InvalidPlan
from insights.billing.plan_toml import PlanDocument, parse_plan_toml
from insights.billing.plan_toml_text import plan_to_toml
from insights.billing.subscription_queries import count_subscribers
from insights.exports.formatting import csv_lines, safe_text
from insights.web.plan_words import PRICE_COLUMNS, differences, price_rows
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
_INTERVALS = {1: "month", 3: "quarter", 12: "year"}


@staff_page
@require_safe
def plans(request: HttpRequest) -> HttpResponse:
    """List the plans, with the version in force and how many subscriptions have each."""
    now = timezone.now()
    lines = _lines(now)
    context = {
        "nav": "plans",
        "lines": lines,
        "offered": sum(line["plan"].retired_at is None for line in lines),
        "drafts": sum(line["plan"].draft is not None for line in lines),
    }
    return render(request, "staff/plans.html", context)


@staff_page
@require_safe
def plans_csv(request: HttpRequest) -> HttpResponse:
    """Download the same table."""
    columns = (
        "plan",
        "name",
        "kind",
        "currency",
        "interval",
        "in_force",
        "draft",
        "subscriptions",
        "retired",
    )
    rows = [columns, *(_csv_row(line) for line in _lines(timezone.now()))]
    return _csv_answer(rows, "plans.csv")


@staff_page
@require_safe
def plan(request: HttpRequest, plan_key: str) -> HttpResponse:
    """Show every version of a plan, the newest first."""
    return _render_plan(request, _plan_or_404(plan_key))


@staff_page
@require_safe
def plan_csv(request: HttpRequest, plan_key: str) -> HttpResponse:
    """Download every price of every version."""
    facts = _plan_or_404(plan_key)
    rows: list[tuple[str, ...]] = [PRICE_COLUMNS]
    for version in facts.versions:
        rows += _price_lines(facts, version)
    return _csv_answer(rows, f"{facts.key}-prices.csv")


@staff_page
@require_safe
def plan_toml(request: HttpRequest, plan_key: str) -> HttpResponse:
    """Give a version as a TOML file that loads to the same prices: the one asked for, or the newest."""
    number = request.GET.get("version", "")
    if number and not (number.isascii() and number.isdigit() and len(number) < 7):
        raise Http404
    try:
        document = plan_document(plan_key, number=int(number) if number else None)
    except UnknownPlan:
        raise Http404 from None
    response = HttpResponse(plan_to_toml(document), content_type="application/toml; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{document.key}.toml"'
    return response


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
    facts, number = _plan_or_404(plan_key), _number(request)
    act = lambda: publish_version(  # noqa: E731
        key=facts.key, number=number, actor=_actor(request), now=timezone.now()
    )
    return _do(request, facts, act, said=f"Version {number} is published.")


@staff_page
@require_POST
def plan_drop(request: HttpRequest, plan_key: str) -> HttpResponse:
    """Drop the draft whose number the form names."""
    facts, number = _plan_or_404(plan_key), _number(request)
    act = lambda: delete_draft(key=facts.key, number=number, actor=_actor(request))  # noqa: E731
    return _do(request, facts, act, said=f"The draft of version {number} is dropped.")


@staff_page
@require_POST
def plan_retire(request: HttpRequest, plan_key: str) -> HttpResponse:
    """Offer the plan to nobody from now on."""
    facts = _plan_or_404(plan_key)
    act = lambda: retire_plan(key=facts.key, actor=_actor(request), now=timezone.now())  # noqa: E731
    return _do(request, facts, act, said=f"{facts.name} is not offered any more.")


def _do(request: HttpRequest, facts: PlanFacts, act: Callable[[], None], *, said: str) -> HttpResponse:
    try:
        act()
    except UnableToChange as error:
        return _render_plan(request, _plan_or_404(facts.key), refusal=error.message)
    except InvalidPlan as error:
        return _render_plan(request, _plan_or_404(facts.key), faults=error.faults)
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
        "interval": _INTERVALS[facts.interval_months],
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


def _lines(now: datetime) -> list[dict[str, Any]]:
    found = list_plans()
    subscribers = count_subscribers(facts.id for facts in found)
    return [
        {
            "plan": facts,
            "interval": _INTERVALS[facts.interval_months],
            "in_force": facts.in_force(now),
            "subscribers": subscribers[facts.id],
        }
        for facts in found
    ]


def _csv_row(line: dict[str, Any]) -> tuple[str, ...]:
    facts: PlanFacts = line["plan"]
    return (
        facts.key,
        facts.name,
        facts.kind,
        facts.currency,
        line["interval"],
        str(line["in_force"].number) if line["in_force"] else "",
        str(facts.draft.number) if facts.draft else "",
        str(line["subscribers"]),
        "yes" if facts.retired_at else "no",
    )


def _price_lines(facts: PlanFacts, version: VersionFacts) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for row in price_rows(version.sheet):
        head = (
            facts.key,
            str(version.number),
            f"{version.effective_from:%Y-%m-%dT%H:%M:%SZ}",
            "yes" if version.published_at else "no",
            row.key,
            row.name,
            row.meter_key,
            row.what,
        )
        rows.append((*head, "", ", ".join((row.words, *row.marks))))
        rows += [(*head, tier.units, tier.price) for tier in row.tiers]
    return rows


def _csv_answer(rows: list[tuple[str, ...]], name: str) -> HttpResponse:
    body = b"".join(csv_lines(map(safe_text, row) for row in rows))
    response = HttpResponse(body, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _plan_or_404(plan_key: str) -> PlanFacts:
    try:
        return get_plan(plan_key)
    except UnknownPlan:
        raise Http404 from None


def _number(request: HttpRequest) -> int:
    text = request.POST.get("version", "")
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        raise Http404
    return int(text)


def _actor(request: HttpRequest) -> Any:
    return request.user
