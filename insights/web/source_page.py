"""The page of one source: as first shown, with a form to mend, or with a preview to read."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone

from insights.feeds.backfill_queries import list_backfills
from insights.feeds.facts import SourceFacts
from insights.feeds.lag import Punctuality, every_words, punctuality_of, span_words
from insights.feeds.queries import UnknownSource, get_source, list_recent_batches
from insights.feeds.wording import definition_in_words
from insights.web.partials import render_page
from insights.web.staff_forms import BackfillForm, KeyForm, PreviewForm, UploadForm


def source_or_404(slug: str) -> SourceFacts:
    """The source of that name, or the page that says there is none."""
    try:
        return get_source(slug=slug, now=timezone.now())
    except UnknownSource:
        raise Http404 from None


def render_source(
    request: HttpRequest, facts: SourceFacts, *, status: int = 200, **shown: Any
) -> HttpResponse:
    """Render a source with whatever a form of it came to; forms not named are fresh."""
    batches = list_recent_batches(slug=facts.definition.slug)
    backfills = list_backfills(source_id=facts.id)
    context = {
        "nav": "sources",
        "source": facts,
        "definition": facts.definition,
        "answer": _answer(facts, batches),
        "sentences": definition_in_words(facts.definition),
        "batches": batches,
        "backfills": backfills,
        "has_open_backfill": any(backfill.ended_at is None for backfill in backfills),
        "backfill_form": BackfillForm(auto_id="backfill_%s"),
        "upload_form": UploadForm(auto_id="upload_%s"),
        "preview_form": PreviewForm(auto_id="preview_%s"),
        "key_form": KeyForm(auto_id="key_%s"),
        **shown,
    }
    return render_page(request, "staff/source.html", context, part="source-preview", status=status)


def _answer(facts: SourceFacts, batches: tuple[Any, ...]) -> str:
    definition = facts.definition
    expected = f"expected {every_words(definition.cadence_seconds)}"
    if not batches:
        return f"Has sent nothing yet; {expected}"
    now = timezone.now()
    punctuality = punctuality_of(
        last_received_at=batches[0].received_at,
        cadence_seconds=definition.cadence_seconds,
        is_enabled=definition.enabled,
        ended_at=definition.ended_at,
        now=now,
    )
    if punctuality is Punctuality.OFF:
        return "Switched off; what it sends is refused"
    if punctuality is Punctuality.ENDED:
        return f"Ended on {definition.ended_at:%-d %b %Y, %H:%M} UTC; nothing more is expected"
    silence = span_words(int((now - batches[0].received_at).total_seconds()))
    return f"{punctuality.capitalize()}: last batch {silence} ago, {expected}"
