"""Staff fill a backfill, see in numbers what it will do, and close or discard it with a reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_POST, require_safe

from accounts.access import staff_page
from insights import tasks
from insights.exports.formatting import csv_lines, safe_text
from insights.feeds.backfill_facts import BackfillFacts
from insights.feeds.backfill_operations import (
    UnableToBackfill,
    UnknownBackfill,
    ask_preview,
    confirm_close,
    discard_backfill,
    open_backfill,
)
from insights.feeds.backfill_queries import BATCHES_SHOWN_MAX, get_backfill
from insights.feeds.backfill_wording import backfill_sentence, close_sentence, preview_rows
from insights.ingest.refusals import RequestRefused
from insights.web.partials import render_page
from insights.web.source_page import render_source, source_or_404
from insights.web.staff_forms import BackfillForm, ReasonForm, UploadForm
from insights.web.staff_uploads import find_too_large, fresh_form, receive_form

DAYS_SHOWN_MAX = 100
ACCOUNTS_SHOWN_MAX = 50
REJECTS_SHOWN_MAX = 50


@staff_page
@require_POST
def source_backfill_open(request: Any, slug: str) -> HttpResponse:
    """Open a backfill of the source."""
    facts = source_or_404(slug)
    form = BackfillForm(request.POST, auto_id="backfill_%s")
    if form.is_valid():
        try:
            opened = open_backfill(slug=slug, actor=request.user, **form.cleaned_data)
            return redirect("staff-backfill", opened)
        except UnableToBackfill as refusal:
            messages.error(request, str(refusal))
            return redirect("staff-source", slug)
    return render_source(request, facts, backfill_form=form, status=422)


@staff_page
@require_safe
def backfill(request: HttpRequest, backfill_uuid: UUID) -> HttpResponse:
    """Show what a backfill holds, what closing it would do, and how far a worker is."""
    return _render(request, _backfill_or_404(backfill_uuid))


@staff_page
@require_safe
def backfill_csv(request: HttpRequest, backfill_uuid: UUID, slug: str) -> HttpResponse:
    """Give one table of the preview as a file."""
    preview = _backfill_or_404(backfill_uuid).preview
    rows = None if preview is None else preview_rows(preview, slug)
    if rows is None:
        raise Http404
    lines = csv_lines(map(safe_text, row) for row in rows)
    response = HttpResponse(b"".join(lines), content_type="text/csv; charset=utf-8; header=present")
    response["Content-Disposition"] = f'attachment; filename="backfill-{slug}-{backfill_uuid}.csv"'
    return response


@staff_page
@require_POST
@csrf_exempt
def backfill_upload(request: HttpRequest, backfill_uuid: UUID) -> HttpResponse:
    """Keep a file for the backfill."""
    facts = _backfill_or_404(backfill_uuid)
    too_large = find_too_large(request)
    if too_large is not None:
        return _render(request, facts, status=too_large.status, upload_form_refusal=too_large)
    return _upload(request, facts)


@csrf_protect
def _upload(request: HttpRequest, facts: BackfillFacts) -> HttpResponse:
    form = UploadForm(request.POST, request.FILES, auto_id="upload_%s")
    if not form.is_valid():
        return _render(request, facts, status=422, upload_form=form)
    try:
        receive_form(request, source_or_404(facts.source_slug), form, backfill=facts.public_id)
    except RequestRefused as refusal:
        # What was refused is listed with the batches as well.
        again = _backfill_or_404(facts.public_id)
        shown = {"upload_form": fresh_form(request), "upload_form_refusal": refusal}
        return _render(request, again, status=refusal.status, **shown)
    messages.success(request, "The file is held. Customers see nothing of it before the close.")
    return redirect("staff-backfill", facts.public_id)


@staff_page
@require_POST
def backfill_preview(request: Any, backfill_uuid: UUID) -> HttpResponse:
    """Have a worker count what closing would do."""
    return _act(request, backfill_uuid, lambda: ask_preview(public_id=backfill_uuid, actor=request.user))


@staff_page
@require_POST
def backfill_close(request: Any, backfill_uuid: UUID) -> HttpResponse:
    """Have a worker write the backfill into the books."""
    form = ReasonForm(request.POST, auto_id="close_%s")
    if not form.is_valid():
        return _render(request, _backfill_or_404(backfill_uuid), status=422, close_form=form)
    reason = form.cleaned_data["reason"]
    return _act(
        request,
        backfill_uuid,
        lambda: confirm_close(public_id=backfill_uuid, actor=request.user, reason=reason),
    )


@staff_page
@require_POST
def backfill_discard(request: Any, backfill_uuid: UUID) -> HttpResponse:
    """End the backfill without a trace in the books."""
    form = ReasonForm(request.POST, auto_id="discard_%s")
    if not form.is_valid():
        return _render(request, _backfill_or_404(backfill_uuid), status=422, discard_form=form)
    now, reason = timezone.now(), form.cleaned_data["reason"]
    return _act(
        request,
        backfill_uuid,
        lambda: discard_backfill(public_id=backfill_uuid, actor=request.user, reason=reason, now=now),
    )


def _act(request: HttpRequest, backfill_uuid: UUID, act: Callable[[], int | None]) -> HttpResponse:
    try:
        batch_id = act()
        if batch_id is not None:
            tasks.ring(batch_id)
    except UnknownBackfill:
        raise Http404 from None
    except UnableToBackfill as refusal:
        messages.error(request, str(refusal))
    return redirect("staff-backfill", backfill_uuid)


def _backfill_or_404(backfill_uuid: UUID) -> BackfillFacts:
    try:
        return get_backfill(public_id=backfill_uuid)
    except UnknownBackfill:
        raise Http404 from None


def _render(request: HttpRequest, facts: BackfillFacts, *, status: int = 200, **shown: Any) -> HttpResponse:
    preview = facts.preview
    context = {
        "nav": "sources",
        "backfill": facts,
        "answer": backfill_sentence(facts),
        "preview": preview,
        "will_do": close_sentence(preview) if preview else "",
        "days": preview.days[:DAYS_SHOWN_MAX] if preview else (),
        "accounts": preview.accounts[:ACCOUNTS_SHOWN_MAX] if preview else (),
        "batch_counts": preview.batches[:BATCHES_SHOWN_MAX] if preview else (),
        "rejects": preview.rejects[:REJECTS_SHOWN_MAX] if preview else (),
        "batches_shown_max": BATCHES_SHOWN_MAX,
        "upload_form": UploadForm(auto_id="upload_%s"),
        "close_form": ReasonForm(auto_id="close_%s"),
        "discard_form": ReasonForm(auto_id="discard_%s"),
        **shown,
    }
    return render_page(request, "staff/backfill.html", context, part="backfill-live", status=status)
