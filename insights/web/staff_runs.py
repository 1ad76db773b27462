"""How far drafting and issuing are: the passes under way, and those before."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import staff_page
from accounts.tenancy import as_staff
from insights.billing.run_queries import RunFacts, list_runs, list_unfinished
from insights.exports.run_rows import run_rows
from insights.web.csv_files import csv_stream, read_by_pages
from insights.web.partials import render_page

RUNS_PER_PAGE = 50
_ID_DIGITS_MAX = 18


@staff_page
@require_safe
def runs(request: HttpRequest) -> HttpResponse:
    """Show passes with how far they are, the newest first."""
    now = timezone.now()
    before = _before(request)
    listed = list_runs(now=now, limit=RUNS_PER_PAGE + 1, before=before)
    shown = listed[:RUNS_PER_PAGE]
    unfinished = list_unfinished(now=now)
    older = f"?before={shown[-1].id}" if len(listed) > RUNS_PER_PAGE else ""
    context = {
        "nav": "invoices",
        "now": now,
        "unfinished": [(_title(one), one) for one in unfinished],
        "still": [one for one in unfinished if one.stands_still],
        "runs": [(_title(one), one) for one in shown],
        "is_first": before is None,
        "page": {"next_url": older, "previous_url": reverse("staff-runs") if before else ""},
    }
    return render_page(request, "staff/runs.html", context, part="runs")


def _title(run: RunFacts) -> str:
    words = "Issue what is due" if run.kind == "issue" else "Draft what changed"
    return f"{words}, part {run.part} of {run.parts}" if run.parts > 1 else words


@staff_page
@require_safe
def runs_csv(request: HttpRequest) -> HttpResponseBase:
    """Download every pass that is kept."""
    return csv_stream(request, run_rows(_every_run(timezone.now())), "billing-passes.csv")


def _every_run(now: datetime) -> Iterator[RunFacts]:
    """Every pass, as the role of the page that asked, which has ended by then."""
    return read_by_pages(
        as_staff,
        lambda before, limit: list_runs(now=now, limit=limit, before=before),
        lambda one: one.id,
    )


def _before(request: HttpRequest) -> int | None:
    text = request.GET.get("before", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _ID_DIGITS_MAX):
        raise BadRequest("before must be the number of a pass")
    return int(text)
