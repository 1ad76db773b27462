"""Keeps what a check of all the books came to, so that staff see when it last ran and what it found."""

from __future__ import annotations

from datetime import datetime, timedelta

from insights.books.queries import CheckResult, check_books
from insights.models import BookCheck

DIFFERENCES_KEPT_MAX = 50
# Refused lines are kept for 90 days; a day more than that lets the drop and the check run in any order.
REJECTS_KEPT = timedelta(days=89)


def keep_check(*, now: datetime) -> BookCheck:
    """Check all the books and keep the result with the first differences by name."""
    named: list[str] = []

    def name(difference: str) -> None:
        if len(named) < DIFFERENCES_KEPT_MAX:
            named.append(difference)

    def ignore(_result: CheckResult) -> None:
        pass

    results = check_books(
        account_id=None, kept_since=now - REJECTS_KEPT, on_result=ignore, on_difference=name
    )
    return BookCheck.objects.create(
        rows=sum(result.rows for result in results),
        differences=sum(result.differences for result in results),
        named=named,
        started_at=now,
    )
