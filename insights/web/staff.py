"""Staff pages of the running portal: how the feeds are doing, and what became of one batch.

Operational facts only: counts, codes and lag. What an account used is behind support access.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.access import staff_page
from insights import tasks
from insights.books.queries import find_last_check
from insights.feeds.batch_queries import (
    UnknownBatch,
    get_batch,
    list_parts,
    list_reject_facts,
    list_reject_groups,
)
from insights.feeds.facts import BatchFacts
from insights.feeds.lag import count_feeds, feeds_sentence
from insights.feeds.operations import try_batch_again
from insights.feeds.queries import list_feeds
from insights.feeds.revert_operations import REVERTIBLE_STATES
from insights.feeds.revert_queries import find_revert
from insights.feeds.wording import batch_sentence, equation_of
from insights.ingest.replay_operations import NothingToReplay, replay_rejects
from insights.web.partials import render_page

REJECTS_PER_PAGE = 100
PARTS_SHOWN_MAX = 200
_LINE_NUMBER_DIGITS_MAX = 9


@staff_page
@require_safe
def feeds(request: HttpRequest) -> HttpResponse:
    """Show every feed, in one sentence and one table."""
    now = timezone.now()
    lines = list_feeds(now=now)
    context = {
        "nav": "feeds",
        "now": now,
        "feeds": lines,
        "book_check": find_last_check(),
        "answer": feeds_sentence(count_feeds(lines)),
        "waiting": sum(line.waiting for line in lines),
        "leased": sum(line.leased for line in lines),
        "quarantined": sum(line.quarantined for line in lines),
        "rejected_lately": sum(line.rejected_lately for line in lines),
    }
    return render_page(request, "staff/feeds.html", context, part="feeds")


@staff_page
@require_safe
def batch(request: HttpRequest, batch_uuid: UUID) -> HttpResponse:
    """Show how far a batch is, where every line went, and why lines were refused."""
    facts = _batch_or_404(batch_uuid)
    after_line = _line_number(request.GET.get("after", ""))
    context = _batch_context(facts, after_line)
    return render_page(request, "staff/batch.html", context, part="batch-live")


@staff_page
@require_POST
def batch_replay(request: HttpRequest, batch_uuid: UUID) -> HttpResponse:
    """Read the batch's refused lines again, as a batch of their own."""
    facts = _batch_or_404(batch_uuid)
    if facts.replay_running is not None:
        return redirect("staff-batch", facts.replay_running)
    try:
        received = replay_rejects(batch_public_id=facts.public_id, submitted_by_id=request.user.pk)
    except NothingToReplay:
        messages.info(request, "Every refused line of this batch was replayed before.")
        return redirect("staff-batch", batch_uuid)
    tasks.ring(received.batch_id)
    return redirect("staff-batch", received.public_id)


@staff_page
@require_POST
def batch_try_again(request: HttpRequest, batch_uuid: UUID) -> HttpResponse:
    """Put a batch that was set aside back on the work list, after its cause was mended."""
    batch_id = try_batch_again(public_id=batch_uuid, actor=_actor(request))
    if batch_id is None:
        messages.info(request, "This batch is not set aside; there is nothing to try again.")
    else:
        tasks.ring(batch_id)
    return redirect("staff-batch", batch_uuid)


def _actor(request: HttpRequest) -> Any:
    return request.user


def _batch_or_404(batch_uuid: UUID) -> BatchFacts:
    try:
        return get_batch(public_id=batch_uuid)
    except UnknownBatch:
        raise Http404 from None


def _batch_context(facts: BatchFacts, after_line: int) -> dict[str, Any]:
    groups = list_reject_groups(batch_id=facts.id)
    rejects = list_reject_facts(batch_id=facts.id, after_line=after_line, limit=REJECTS_PER_PAGE + 1)
    shown = rejects[:REJECTS_PER_PAGE]
    revert = find_revert(batch_id=facts.id)
    return {
        "revert": revert,
        "shows_revert": revert is not None or facts.state in REVERTIBLE_STATES,
        "changes_by_itself": not facts.is_finished or (revert is not None and revert.is_worked_on),
        "nav": "feeds",
        "batch": facts,
        "answer": batch_sentence(facts),
        "equation": equation_of(facts.counts),
        "parts": list_parts(batch_id=facts.id, limit=PARTS_SHOWN_MAX),
        "parts_shown_max": PARTS_SHOWN_MAX,
        "groups": groups,
        "rejects": shown,
        "rejects_open": sum(group.lines_open for group in groups),
        "page": _page_of(rejects, shown, after_line),
    }


def _page_of(rejects: tuple[Any, ...], shown: tuple[Any, ...], after_line: int) -> dict[str, str | None]:
    summary = f"Lines {shown[0].line_no:,} to {shown[-1].line_no:,}" if shown else ""
    has_more = len(rejects) > len(shown)
    return {
        "summary": summary,
        "previous_url": "?" if after_line else None,
        "next_url": f"?after={shown[-1].line_no}" if has_more else None,
    }


def _line_number(text: str) -> int:
    """A line number from the address; anything else shows the page from its beginning."""
    is_number = text.isascii() and text.isdigit() and len(text) <= _LINE_NUMBER_DIGITS_MAX
    return int(text) if is_number else 0
