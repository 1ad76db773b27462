"""Staff pages that make and change sources, by form or as TOML; every write is audited by its operation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.access import staff_page
from insights.feeds.facts import SourceFacts
from insights.feeds.lag import every_words
from insights.feeds.operations import (
    SavedSource,
    change_source,
    create_source,
    import_source_toml,
    set_source_enabled,
)
from insights.feeds.queries import find_account_id, list_sources
from insights.ingest.source_definition import InvalidSource, source_to_toml
from insights.web.source_form import SourceForm, add_faults, initial_of
from insights.web.source_page import render_source, source_or_404
from insights.web.staff_forms import TomlForm

EXAMPLE_TOML = """\
slug = "edge"
name = "Edge traffic"
key_kind = "window"
format = "csv"
window = "hour"

[columns]
account = "customer"
meter = "metric"
window_start = "hour"
quantity = "value"
"dimension.region" = "region"
"""


@staff_page
@require_safe
def sources(request: HttpRequest) -> HttpResponse:
    """List the sources."""
    lines = [(line, every_words(line.definition.cadence_seconds)) for line in list_sources()]
    enabled = sum(line.is_enabled for line, _ in lines)
    context = {"nav": "sources", "lines": lines, "enabled": enabled, "disabled": len(lines) - enabled}
    return render(request, "staff/sources.html", context)


@staff_page
@require_safe
def source(request: HttpRequest, slug: str) -> HttpResponse:
    """Show one source: what it is, a preview, an upload, its keys, its last batches."""
    return render_source(request, source_or_404(slug))


@staff_page
@require_http_methods(["GET", "HEAD", "POST"])
def source_new(request: HttpRequest) -> HttpResponse:
    """Make a source by form; the page offers TOML as well."""
    if request.method != "POST":
        return _render_new(request, SourceForm(), _example_form())
    form = SourceForm(request.POST)
    if form.is_valid() and (saved := _create(request, form)) is not None:
        return _to_saved(request, saved)
    return _render_new(request, form, _example_form(), status=422)


@staff_page
@require_POST
def source_new_toml(request: HttpRequest) -> HttpResponse:
    """Make a source, or change the one that has the name, from TOML."""
    form = TomlForm(request.POST, request.FILES, auto_id="toml_%s")
    if form.is_valid() and (saved := _import(request, form)) is not None:
        return _to_saved(request, saved)
    return _render_new(request, SourceForm(), form, status=422)


@staff_page
@require_http_methods(["GET", "HEAD", "POST"])
def source_edit(request: HttpRequest, slug: str) -> HttpResponse:
    """Change every setting of a source that may still change."""
    facts = source_or_404(slug)
    if request.method != "POST":
        return _render_edit(request, facts, _edit_form(facts), _toml_form(facts))
    form = _edit_form(facts, request.POST)
    if form.is_valid() and (saved := _change(request, form)) is not None:
        return _to_saved(request, saved)
    return _render_edit(request, facts, form, _toml_form(facts), status=422)


@staff_page
@require_POST
def source_import(request: HttpRequest, slug: str) -> HttpResponse:
    """Give a source the definition that the TOML describes."""
    facts = source_or_404(slug)
    form = TomlForm(request.POST, request.FILES, auto_id="toml_%s")
    if form.is_valid() and (saved := _import(request, form, expected_slug=slug)) is not None:
        return _to_saved(request, saved)
    return _render_edit(request, facts, _edit_form(facts), form, status=422)


@staff_page
@require_safe
def source_toml(request: HttpRequest, slug: str) -> HttpResponse:
    """Give the source's definition as a TOML file."""
    definition = source_or_404(slug).definition
    response = HttpResponse(source_to_toml(definition), content_type="application/toml; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{definition.slug}.toml"'
    return response


@staff_page
@require_POST
def source_state(request: HttpRequest, slug: str) -> HttpResponse:
    """Switch a source on or off."""
    facts = source_or_404(slug)
    is_enabled = request.POST.get("enabled") == "1"
    set_source_enabled(slug=facts.definition.slug, is_enabled=is_enabled, actor=_actor(request))
    messages.success(request, "The source may send." if is_enabled else "The source is switched off.")
    return redirect("staff-source", slug)


def _actor(request: HttpRequest) -> Any:
    return request.user


def _account_id(form: SourceForm) -> int | None:
    reference = form.cleaned_data["account_reference"]
    if not reference:
        return None
    account_id = find_account_id(reference=reference)
    if account_id is None:
        raise InvalidSource((("account_reference", "No account has this reference."),))
    return account_id


def _create(request: HttpRequest, form: SourceForm) -> SavedSource | None:
    try:
        definition = form.definition(account_id=_account_id(form))
        return create_source(
            definition=definition, actor=_actor(request), billable=form.cleaned_data["billable"]
        )
    except InvalidSource as error:
        add_faults(form, error.errors)
        return None


def _change(request: HttpRequest, form: SourceForm) -> SavedSource | None:
    try:
        definition = form.definition(account_id=_account_id(form))
        return change_source(
            definition=definition, actor=_actor(request), billable=form.cleaned_data["billable"]
        )
    except InvalidSource as error:
        add_faults(form, error.errors)
        return None


def _import(request: HttpRequest, form: TomlForm, *, expected_slug: str | None = None) -> SavedSource | None:
    try:
        return import_source_toml(
            text=form.cleaned_data["text"], actor=_actor(request), expected_slug=expected_slug
        )
    except InvalidSource as error:
        add_faults(form, error.errors, fallback="text")
        return None


def _to_saved(request: HttpRequest, saved: SavedSource) -> HttpResponse:
    if saved.is_new:
        messages.success(request, "The source is made. Send it a file, or issue a key.")
    elif saved.changed:
        count = len(saved.changed)
        messages.success(request, f"{count} {'setting is' if count == 1 else 'settings are'} changed.")
    else:
        messages.info(request, "Nothing was different, so nothing was changed.")
    return redirect("staff-source", saved.slug)


def _example_form() -> TomlForm:
    return TomlForm(initial={"text": EXAMPLE_TOML}, auto_id="toml_%s")


def _toml_form(facts: SourceFacts) -> TomlForm:
    return TomlForm(initial={"text": source_to_toml(facts.definition)}, auto_id="toml_%s")


def _edit_form(facts: SourceFacts, data: Any = None) -> SourceForm:
    initial = initial_of(
        replace(facts.definition), is_billable=facts.is_billable, account_reference=facts.account_reference
    )
    form = SourceForm(data, initial=initial)
    form.fields["slug"].disabled = True
    for name in ("key_kind", "account_reference"):
        form.fields[name].disabled = facts.has_batches
    return form


def _render_new(
    request: HttpRequest, form: SourceForm, toml_form: TomlForm, *, status: int = 200
) -> HttpResponse:
    context = {"nav": "sources", "form": form, "toml_form": toml_form}
    return render(request, "staff/source_new.html", context, status=status)


def _render_edit(
    request: HttpRequest, facts: SourceFacts, form: SourceForm, toml_form: TomlForm, *, status: int = 200
) -> HttpResponse:
    context = {"nav": "sources", "source": facts, "form": form, "toml_form": toml_form}
    return render(request, "staff/source_edit.html", context, status=status)
