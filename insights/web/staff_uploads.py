"""Staff try the first lines of a file, and send a file; the limits stand before the body is read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_POST

from accounts.access import staff_page
from insights import tasks
from insights.feeds.batch_queries import find_batch_by_key
from insights.feeds.facts import SourceFacts
from insights.feeds.preview import Preview, open_preview, preview_lines
from insights.feeds.queries import read_catalogue
from insights.ingest.grammar import scan_text
from insights.ingest.lines import form_named
from insights.ingest.mapping import list_meter_facts
from insights.ingest.operations import PIECE_BYTES, Received, receive_batch
from insights.ingest.refusals import Refusal, RequestRefused
from insights.web.source_page import render_source, source_or_404
from insights.web.staff_forms import PreviewForm, UploadForm

# What a multipart form adds around the file itself.
_FORM_BYTES_MAX = 1024 * 1024


@staff_page
@require_POST
@csrf_exempt
def source_preview(request: HttpRequest, slug: str) -> HttpResponse:
    """Say what each of the first lines would become; stores nothing."""
    facts = source_or_404(slug)
    return _refuse_large(request, facts, form="preview_form") or _preview(request, facts)


@staff_page
@require_POST
@csrf_exempt
def source_upload(request: HttpRequest, slug: str) -> HttpResponse:
    """Keep a file for the worker and show its progress."""
    facts = source_or_404(slug)
    return _refuse_large(request, facts, form="upload_form") or _upload(request, facts)


def _refuse_large(request: HttpRequest, facts: SourceFacts, *, form: str) -> HttpResponse | None:
    refusal = find_too_large(request)
    return None if refusal is None else _refused(request, facts, refusal, form=form)


def find_too_large(request: HttpRequest) -> RequestRefused | None:
    """Refuse by the declared length; this is why the forgery check comes after, since it reads the body."""
    try:
        length = int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        length = 0
    if length <= settings.UPLOAD_MAX_SENT_BYTES + _FORM_BYTES_MAX:
        return None
    return RequestRefused("body_too_large", f"a file may have {settings.UPLOAD_MAX_SENT_BYTES:,} bytes")


@csrf_protect
def _preview(request: HttpRequest, facts: SourceFacts) -> HttpResponse:
    form = PreviewForm(request.POST, request.FILES, auto_id="preview_%s")
    if not form.is_valid():
        return render_source(request, facts, preview_form=form, status=422)
    try:
        preview = _previewed(facts, _preview_pieces(form))
    except RequestRefused as refusal:
        return _refused(request, facts, refusal, form="preview_form", bound=form)
    return render_source(request, facts, preview_form=form, preview=preview)


def _previewed(facts: SourceFacts, pieces: Iterable[bytes]) -> Preview:
    opening = open_preview(pieces, definition=facts.definition, meters=list_meter_facts())
    catalogue = read_catalogue(references=opening.references, bound_to=facts.definition.account_id)
    return preview_lines(opening, definition=facts.definition, catalogue=catalogue, now=timezone.now())


def _preview_pieces(form: PreviewForm) -> Iterable[bytes]:
    file: UploadedFile | None = form.cleaned_data.get("file")
    # Lone surrogates cannot be encoded; as replacement bytes they are refused like any other bad byte.
    return file.chunks(PIECE_BYTES) if file else [form.cleaned_data["lines"].encode("utf-8", "surrogatepass")]


@csrf_protect
def _upload(request: HttpRequest, facts: SourceFacts) -> HttpResponse:
    form = UploadForm(request.POST, request.FILES, auto_id="upload_%s")
    if not form.is_valid():
        return render_source(request, facts, upload_form=form, status=422)
    try:
        received = receive_form(request, facts, form)
    except RequestRefused as refusal:
        first = find_batch_by_key(source_id=facts.id, idempotency_key=_key_of(form))
        if refusal.code == "in_progress" and first is not None:
            return redirect("staff-batch", first)
        return _refused(request, facts, refusal, form="upload_form", bound=fresh_form(request))
    tasks.ring(received.batch_id)
    return redirect("staff-batch", received.public_id)


def receive_form(
    request: HttpRequest, facts: SourceFacts, form: UploadForm, *, backfill: UUID | None = None
) -> Received:
    """Keep the file of a valid form, for the worker or for an open backfill; raises RequestRefused."""
    if sum(len(files) for _, files in request.FILES.lists()) > 1:
        # Which of two files was meant is not for us to guess.
        raise RequestRefused("shape", "an upload is one file, and this form brought more")
    values, file = form.cleaned_data, form.cleaned_data["file"]
    return receive_batch(
        source_id=facts.id,
        pieces=file.chunks(PIECE_BYTES),
        media_type=_media_type(facts, file.name or ""),
        via="browser",
        name=values["name"] or _name_of(file.name or ""),
        submitted_by_id=request.user.pk,
        revision=values["revision"],
        complete_to=values["complete_to"],
        create_accounts=values["create_accounts"],
        idempotency_key=_key_of(form),
        backfill=backfill,
    )


def _key_of(form: UploadForm) -> str:
    return f"browser-{form.cleaned_data['token']}"


def fresh_form(request: HttpRequest) -> UploadForm:
    """The same answers under a new token, since another file is another upload."""
    kept = {
        name: request.POST.get(name, "") for name in ("name", "revision", "complete_to", "create_accounts")
    }
    return UploadForm(initial=kept, auto_id="upload_%s")


def _media_type(facts: SourceFacts, name: str) -> str:
    """The form that the file's ending names, if the source leaves it open."""
    if facts.definition.format != "any":
        return "any"
    return form_named(name) or "any"


def _name_of(file_name: str) -> str:
    """The file's name as a label; one that is not a plain text is left out."""
    try:
        return scan_text(PurePosixPath(file_name).name, "name")
    except Refusal:
        return ""


def _refused(
    request: HttpRequest, facts: SourceFacts, refusal: RequestRefused, *, form: str, bound: Any = None
) -> HttpResponse:
    shown = {f"{form}_refusal": refusal}
    if bound is not None:
        shown[form] = bound
    # The htmx settings of the pages swap a 422 and no other refusal.
    status = 422 if getattr(request, "htmx", False) else refusal.status
    return render_source(request, facts, status=status, **shown)
