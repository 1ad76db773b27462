"""How one account's feeds do, for the staff page of the account: times and line counts, never a quantity."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Max, Sum

from accounts.models import Account
from accounts.panels import Panel
from insights.models import BatchPart, Watermark

LINES_COUNTED_OVER = timedelta(days=30)
_COUNTS = ("received", "new", "replaced", "duplicate", "stale", "rejected")


def feeds_panel(account: Account, now: datetime) -> Panel:
    """One row for each source that has sent anything for the account."""
    watermarks = {
        mark.source_slug: mark for mark in Watermark.objects.for_account(account).order_by("source_slug")
    }
    parts: dict[str, Any] = {
        row["source_slug"]: row
        for row in BatchPart.objects.for_account(account)
        .filter(received_at__gte=now - LINES_COUNTED_OVER)
        .values("source_slug")
        .annotate(batches=Count("id"), last=Max("received_at"), **{name: Sum(name) for name in _COUNTS})
    }
    return Panel(
        title="Feeds in the last 30 days",
        columns=(
            "Source",
            "Complete to (UTC)",
            "Last batch (UTC)",
            "Batches",
            *(c.capitalize() for c in _COUNTS),
        ),
        rows=tuple(
            (
                slug,
                _time(watermarks[slug].complete_to if slug in watermarks else None),
                _time(parts[slug]["last"] if slug in parts else _last_received(watermarks, slug)),
                *(f"{parts.get(slug, {}).get(name, 0):,}" for name in ("batches", *_COUNTS)),
            )
            for slug in sorted(watermarks.keys() | parts.keys())
        ),
        empty_text="No source has sent anything for this account.",
        numeric=1 + len(_COUNTS),
    )


def _last_received(watermarks: dict[str, Watermark], slug: str) -> datetime | None:
    return watermarks[slug].last_received_at if slug in watermarks else None


def _time(instant: datetime | None) -> str:
    return "never" if instant is None else f"{instant:%-d %b %Y, %H:%M}"
