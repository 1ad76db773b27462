"""The customer's pages on what was received for them: every batch, every verdict, every refused line."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.core.exceptions import BadRequest
from django.http import Http404, HttpResponse, HttpResponseBase
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import account_page
from accounts.models import Account
from insights.exports.reject_queries import REJECTS, rejects_copy
from insights.feeds.part_queries import (
    PartFacts,
    PartPage,
    SourceName,
    find_part,
    list_part_page,
    list_part_sources,
    list_reason_groups,
    list_refused_cells,
    list_verdict_runs,
    sum_parts,
)
from insights.feeds.reject_words import words_for
from insights.feeds.wording import equation_of
from insights.metering.archived_queries import list_archived_months
from insights.metering.change_queries import list_changes
from insights.values.period import Period
from insights.web.downloads import stream_csv
from insights.web.partials import render_page
from insights.web.words import month_words

BATCHES_PER_PAGE = 50
LINES_PER_PAGE = 100
RUNS_SHOWN_MAX = 200
CHANGES_SHOWN_MAX = 400
SUMMARY_DAYS = 30
_LINE_NUMBER_DIGITS_MAX = 9
VIA_WORDS = {
    "api": "through the API",
    "browser": "uploaded by staff",
    "command": "read from a file",
    "replay": "refused lines read again",
}


@account_page
@require_safe
def batch_list(request: Any) -> HttpResponse:
    """List the batches that brought usage for the account, newest first."""
    now = timezone.now()
    sources = list_part_sources(request.account)
    source_slug = _source_slug(request, sources)
    with_rejects = request.GET.get("rejects", "") == "with"
    page = list_part_page(
        request.account,
        limit=BATCHES_PER_PAGE,
        source_slug=source_slug,
        with_rejects=with_rejects,
        older_than=_uuid(request.GET.get("older", "")),
        newer_than=_uuid(request.GET.get("newer", "")),
    )
    context = {
        "nav": "batches",
        "now": now,
        "summary": sum_parts(request.account, since=now - timedelta(days=SUMMARY_DAYS)),
        "summary_days": SUMMARY_DAYS,
        "sources": sources,
        "source_slug": source_slug,
        "with_rejects": with_rejects,
        "is_filtered": bool(source_slug) or with_rejects,
        "parts": page.parts,
        "page": _part_links(page, source_slug=source_slug, with_rejects=with_rejects),
        "zone": request.account.billing_zone,
    }
    return render_page(request, "batches/list.html", context, part="batch-table")


@account_page
@require_safe
def batch_detail(request: Any, batch_uuid: UUID) -> HttpResponse:
    """Show where every line of one batch went, and why lines were refused."""
    part = _part_or_404(request, batch_uuid)
    after_line = _line_number(request.GET.get("after", ""))
    cells = list_refused_cells(
        request.account, batch_id=part.batch_id, after_line=after_line, limit=LINES_PER_PAGE + 1
    )
    shown = cells[:LINES_PER_PAGE]
    reasons = list_reason_groups(request.account, batch_id=part.batch_id)
    runs = list_verdict_runs(request.account, batch_id=part.batch_id, limit=RUNS_SHOWN_MAX + 1)
    context = {
        "nav": "batches",
        "part": part,
        "via": VIA_WORDS.get(part.via, part.via),
        "equation": equation_of(part.counts),
        "reasons": [(reason, words_for(reason.code)) for reason in reasons],
        "refused_kept": sum(reason.lines for reason in reasons),
        "cells": shown,
        "runs": runs[:RUNS_SHOWN_MAX],
        "has_more_runs": len(runs) > RUNS_SHOWN_MAX,
        "runs_shown_max": RUNS_SHOWN_MAX,
        **_change_context(request.account, part),
        "page": {
            "summary": f"Lines {shown[0].line_no:,} to {shown[-1].line_no:,}" if shown else "",
            "previous_url": "?#refused" if after_line else None,
            "next_url": f"?after={shown[-1].line_no}#refused" if len(cells) > len(shown) else None,
        },
        "zone": request.account.billing_zone,
    }
    return render_page(request, "batches/detail.html", context, part="batch-part")


def _change_context(account: Account, part: PartFacts) -> dict[str, Any]:
    changes = list_changes(
        account,
        batch_id=part.batch_id,
        first_window=part.first_window,
        last_window_end=part.last_window_end,
    )
    archived: tuple[date, ...] = ()
    if part.first_window and part.last_window_end and part.first_window < part.last_window_end:
        archived = list_archived_months(account, Period(part.first_window, part.last_window_end))
    return {
        "changes_archived": [month_words(month) for month in archived],
        "changes": changes[:CHANGES_SHOWN_MAX],
        "changes_in_all": len(changes),
        "records_before": sum(change.records_before for change in changes),
        "records_after": sum(change.records_after for change in changes),
    }


@account_page
@require_safe
def batch_rejects_csv(request: Any, batch_uuid: UUID) -> HttpResponseBase:
    """Download the refused lines of one batch."""
    part = _part_or_404(request, batch_uuid)
    source = rejects_copy(account_id=request.account.pk, batch_id=part.batch_id)
    name = f"rejected-lines-{part.public_id}.csv"
    return stream_csv(request, source=source, kind=REJECTS, query=f"batch={part.public_id}", name=name)


def _source_slug(request: Any, sources: tuple[SourceName, ...]) -> str:
    """The source to filter by; one that never sent for the account is refused, whether it exists or not."""
    slug: str = request.GET.get("source", "")
    if slug and slug not in {source.slug for source in sources}:
        raise BadRequest(f"No source “{slug[:80]}” has sent for this account.")
    return slug


def _part_or_404(request: Any, batch_uuid: UUID) -> PartFacts:
    part = find_part(request.account, public_id=batch_uuid)
    if part is None:
        raise Http404
    return part


def _part_links(page: PartPage, *, source_slug: str, with_rejects: bool) -> dict[str, str | None]:
    kept = {"source": source_slug} if source_slug else {}
    if with_rejects:
        kept["rejects"] = "with"
    first, last = (page.parts[0], page.parts[-1]) if page.parts else (None, None)
    return {
        "summary": "Newest first",
        "previous_url": f"?{urlencode({**kept, 'newer': first.public_id})}"
        if first and page.has_newer
        else None,
        "next_url": f"?{urlencode({**kept, 'older': last.public_id})}" if last and page.has_older else None,
        "target": "#batch-table",
    }


def _uuid(text: str) -> UUID | None:
    """An id from the address; anything else shows the list from its beginning."""
    try:
        return UUID(text) if len(text) == 36 else None
    except ValueError:
        return None


def _line_number(text: str) -> int:
    """A line number from the address; anything else shows the lines from the first."""
    is_number = text.isascii() and text.isdigit() and len(text) <= _LINE_NUMBER_DIGITS_MAX
    return int(text) if is_number else 0
