"""Staff write a plan: its next version as TOML with every fault by line, its heading, and its prices one by one.

Whatever the way, what is saved is a draft, read by the reader of plan files. A published version never changes.
"""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from accounts.access import staff_page
from insights.billing.catalogue_operations import check_plan, load_plan
from insights.billing.catalogue_queries import PlanFacts, next_document
from insights.billing.plan_edit import HeadingTexts, with_heading
from insights.billing.plan_faults import InvalidPlan
from insights.billing.plan_toml import PlanDocument
from insights.billing.plan_toml_text import plan_to_toml
from insights.web.partials import render_page
from insights.web.plan_check import (
    PlanCheck,
    changed_faults,
    check_text,
    draft_context,
    draft_mark,
    preview_context,
)
from insights.web.plan_downloads import INTERVAL_WORDS, plan_or_404
from insights.web.plan_forms import HeadingForm
from insights.web.plan_words import price_rows
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
@require_http_methods(["GET", "HEAD", "POST"])
def plan_new(request: HttpRequest) -> HttpResponse:
    """Write a plan of a new key, or another version of a known one."""
    return _edit(request, None)


@staff_page
@require_http_methods(["GET", "HEAD", "POST"])
def plan_edit(request: HttpRequest, plan_key: str) -> HttpResponse:
    """Write the next version of a plan, from its draft or a copy of its newest version."""
    return _edit(request, plan_or_404(plan_key))


@staff_page
@require_POST
def plan_heading(request: HttpRequest, plan_key: str) -> HttpResponse:
    """Save a draft with another heading."""
    facts = plan_or_404(plan_key)
    form = HeadingForm(request.POST)
    check = PlanCheck(None)
    if form.is_valid():
        document = next_document(facts.key, now=timezone.now())
        try:
            said = with_heading(document, HeadingTexts(**form.cleaned_data))
            return save_draft(request, said, facts)
        except InvalidPlan as error:
            check = PlanCheck(None, error.faults)
    return _render(request, facts, _text_of(facts), check, heading=form, refused=True)


def _edit(request: HttpRequest, facts: PlanFacts | None) -> HttpResponse:
    if request.method != "POST":
        text = _text_of(facts)
        # A new plan begins as an example, of which nothing needs to be said.
        check = check_text(text, facts) if facts else PlanCheck(None)
        return _render(request, facts, text, check)
    form = TomlForm(request.POST, request.FILES)
    if not form.is_valid():
        return _render(request, facts, request.POST.get("text", ""), PlanCheck(None), form=form, refused=True)
    text = form.cleaned_data["text"]
    check = check_text(text, facts)
    wants_save = request.POST.get("act") == "save"
    if check.document is not None and wants_save:
        try:
            return save_draft(request, check.document, facts)
        except InvalidPlan as error:
            check = PlanCheck(None, error.faults)
    return _render(request, facts, text, check, refused=check.document is None)


def save_draft(request: HttpRequest, document: PlanDocument, facts: PlanFacts | None) -> HttpResponse:
    """Save the document as the draft of its plan and go on to edit it; or InvalidPlan with every fault."""
    if facts is not None and (faults := changed_faults(facts, request.POST.get("mark", ""))):
        raise InvalidPlan(faults)
    check_plan(document=document)
    loaded = load_plan(document=document, actor=_actor(request))
    messages.success(request, f"Version {loaded.number} is saved as a draft. Nobody is billed by it yet.")
    return redirect("staff-plan-edit", loaded.key)


def _text_of(facts: PlanFacts | None) -> str:
    if facts is None:
        return EXAMPLE_TOML
    return plan_to_toml(next_document(facts.key, now=timezone.now()))


def _render(
    request: HttpRequest,
    facts: PlanFacts | None,
    text: str,
    check: PlanCheck,
    *,
    form: TomlForm | None = None,
    heading: HeadingForm | None = None,
    refused: bool = False,
) -> HttpResponse:
    # What came as a file is shown in the box, so that the next press of a button has it again.
    shown = form or TomlForm(initial={"text": text})
    context: dict[str, Any] = {
        "nav": "plans",
        "form": shown,
        "faults": check.faults,
        "is_refused": refused,
        "lines": "\n".join(map(str, range(1, text.count("\n") + 2))),
        "preview": preview_context(check.document, facts) if check.document else None,
    }
    if facts is not None:
        context |= _plan_context(facts, heading)
    return render_page(
        request, "staff/plan_edit.html", context, part="plan-check", status=422 if refused else 200
    )


def _plan_context(facts: PlanFacts, heading: HeadingForm | None) -> dict[str, Any]:
    document = next_document(facts.key, now=timezone.now())
    initial = {name: getattr(document, name) for name in HeadingForm.base_fields}
    return {
        "plan": facts,
        "interval": INTERVAL_WORDS[facts.interval_months],
        **draft_context(facts),
        "mark": draft_mark(facts),
        "next_name": document.name,
        "next_from": document.effective_from,
        "newest": facts.versions[-1] if facts.versions else None,
        "heading": heading or HeadingForm(initial=initial, auto_id="heading_%s"),
        "own_prices": price_rows(document.sheet(1)) if document.prices else (),
    }


def _actor(request: HttpRequest) -> Any:
    return request.user
