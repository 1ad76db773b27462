"""Staff issue and revoke the keys of a source; a key's secret is in one answer and never again."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_POST

from accounts.access import staff_page
from insights.feeds.operations import UnknownKey, issue_source_key, revoke_source_key
from insights.web.source_page import render_source, source_or_404
from insights.web.staff_forms import KeyForm


@staff_page
@require_POST
def source_key_issue(request: HttpRequest, slug: str) -> HttpResponse:
    """Make a key and show it this once; loading the answer again asks before making another."""
    facts = source_or_404(slug)
    form = KeyForm(request.POST, auto_id="key_%s")
    if not form.is_valid():
        return render_source(request, facts, key_form=form, status=422)
    issued = issue_source_key(
        slug=facts.definition.slug, name=form.cleaned_data["name"], actor=_actor(request)
    )
    return render_source(request, source_or_404(slug), issued=issued)


@staff_page
@require_POST
def source_key_revoke(request: HttpRequest, slug: str, key_uuid: UUID) -> HttpResponse:
    """End a key for good."""
    facts = source_or_404(slug)
    try:
        is_ended = revoke_source_key(
            slug=facts.definition.slug, key_public_id=key_uuid, actor=_actor(request), now=timezone.now()
        )
    except UnknownKey:
        raise Http404 from None
    if is_ended:
        messages.success(request, "The key is revoked.")
    else:
        messages.info(request, "The key was revoked already.")
    return redirect("staff-source", slug)


def _actor(request: HttpRequest) -> Any:
    return request.user
