"""Billing passes as rows of a CSV. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from insights.billing.bill_document import instant_text
from insights.billing.run_queries import RunFacts
from insights.exports.formatting import safe_text

COLUMNS = (
    "kind", "part", "parts", "started_at", "advanced_at", "finished_at", "subscriptions", "done", "issued", "parked",
    "failed", "problem",
)  # fmt: skip


def run_rows(listed: Iterable[RunFacts]) -> Iterator[list[str]]:
    """One row for each pass, under a heading."""
    yield list(COLUMNS)
    for one in listed:
        yield [
            one.kind,
            str(one.part),
            str(one.parts),
            instant_text(one.started_at) or "",
            instant_text(one.advanced_at) or "",
            instant_text(one.finished_at) or "",
            str(one.total),
            str(one.done),
            str(one.issued),
            str(one.parked),
            str(one.failed),
            safe_text(one.problem),
        ]
