"""The ledger's months as staff see them: where each one is, how large, and what may be archived.

Archiving and restoring are commands of whoever runs the portal; the page says which one, and shows what was done.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import staff_page
from insights.exports.formatting import csv_lines, safe_text
from insights.retention.care_operations import MONTHS_AHEAD
from insights.retention.facts import MonthFacts, count_months, month_rows, months_sentence
from insights.retention.month_queries import list_months
from insights.retention.rule import MONTHS_KEPT
from insights.values.months import month_of, months_from
from insights.web.partials import render_page


@staff_page
@require_safe
def months(request: HttpRequest) -> HttpResponse:
    """Show every month of the ledger, newest first, below a sentence that says what there is to do."""
    now = timezone.now()
    listed = list_months(now=now)
    counts = count_months(listed, ahead=months_from(month_of(now), MONTHS_AHEAD + 1))
    context = {
        "nav": "months",
        "now": now,
        "months": listed,
        "counts": counts,
        "answer": months_sentence(counts),
        "months_ahead": MONTHS_AHEAD,
        "months_kept": MONTHS_KEPT,
        "largest": max((facts.records or 0 for facts in listed), default=0),
        "archivable": [facts for facts in reversed(listed) if facts.may_be_archived],
        "archives": [facts for facts in listed if facts.archive is not None],
    }
    return render_page(request, "staff/months.html", context, part="months")


@staff_page
@require_safe
def months_csv(request: HttpRequest) -> HttpResponse:
    """Download the same table."""
    listed: tuple[MonthFacts, ...] = list_months(now=timezone.now())
    lines = csv_lines(map(safe_text, row) for row in month_rows(listed))
    response = HttpResponse(b"".join(lines), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="ledger-months.csv"'
    return response
