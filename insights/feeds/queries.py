"""Reads on sources, batches and refusals for the people who run the portal: counts and codes, never a cell.

Runs as portal_staff, which has no grant on usage data and none on the values of refused lines.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Max, Min, OuterRef, Q, Subquery, Sum

from accounts.models import Account
from insights.feeds.facts import (
    BatchLine,
    FeedLine,
    KeyLine,
    LineCounts,
    SourceFacts,
    SourceLine,
)
from insights.feeds.lag import punctuality_of
from insights.ingest.catalogue import AccountFact, Catalogue
from insights.ingest.mapping import definition_of, list_meter_facts
from insights.models import Batch, Source, SourceKey, Watermark, WorkItem, WorkState

REJECTS_SHOWN_HOURS = 24


class UnknownSource(LookupError):
    """There is no source of that name."""


def read_catalogue(*, references: Collection[str], bound_to: int | None) -> Catalogue:
    """What reading a few lines needs to know: every meter, and the accounts those lines could name."""
    accounts = Account.objects.filter(Q(reference__in=references) | Q(pk=bound_to)).values_list(
        "reference", "id", "state", "closed_at"
    )
    return Catalogue(
        accounts={
            reference: AccountFact(id=account_id, state=state, closed_at=closed_at)
            for reference, account_id, state, closed_at in accounts
        },
        meters=list_meter_facts(),
    )


def list_feeds(*, now: datetime) -> tuple[FeedLine, ...]:
    """One line for each source: its last batch, how complete and punctual it is, what is still to be done."""
    # One look into the index per source; sorting all batches would grow with every day.
    # What a backfill brings is no sign that the feed reports.
    newest = Batch.objects.filter(source=OuterRef("pk"), backfill=None).order_by("-id").values("id")[:1]
    sources = tuple(Source.objects.annotate(last_batch_id=Subquery(newest)))
    last_batches = Batch.objects.in_bulk([source.last_batch_id for source in sources if source.last_batch_id])
    watermarks = _by_source(
        Watermark.objects.values("source_id").annotate(
            lowest=Min("complete_to"), highest=Max("complete_to"), accounts=Count("id")
        )
    )
    rejects = _by_source(
        Batch.objects.filter(received_at__gte=now - timedelta(hours=REJECTS_SHOWN_HOURS))
        .values("source_id")
        .annotate(rejected=Sum("rejected"))
    )
    work = _by_source(
        WorkItem.objects.exclude(state=WorkState.DONE)
        .order_by()
        .values("batch__source_id")
        .annotate(
            waiting=Count("id", filter=Q(state=WorkState.WAITING)),
            leased=Count("id", filter=Q(state=WorkState.LEASED)),
            quarantined=Count("id", filter=Q(state=WorkState.QUARANTINED)),
        ),
        key="batch__source_id",
    )
    return tuple(
        _feed_line(source, last_batches.get(source.last_batch_id), watermarks, rejects, work, now)
        for source in sources
    )


def _by_source(rows: Any, *, key: str = "source_id") -> dict[int, Mapping[str, Any]]:
    return {row[key]: row for row in rows}


def _feed_line(
    source: Source,
    last_batch: Batch | None,
    watermarks: Mapping[int, Mapping[str, Any]],
    rejects: Mapping[int, Mapping[str, Any]],
    work: Mapping[int, Mapping[str, Any]],
    now: datetime,
) -> FeedLine:
    watermark = watermarks.get(source.pk, {})
    todo = work.get(source.pk, {})
    return FeedLine(
        slug=source.slug,
        name=source.name,
        is_enabled=source.enabled,
        cadence_seconds=source.cadence_seconds,
        last_batch=None if last_batch is None else _batch_line(last_batch),
        punctuality=punctuality_of(
            last_received_at=None if last_batch is None else last_batch.received_at,
            cadence_seconds=source.cadence_seconds,
            is_enabled=source.enabled,
            ended_at=source.ended_at,
            now=now,
        ),
        accounts=watermark.get("accounts", 0),
        complete_to=watermark.get("lowest"),
        complete_to_highest=watermark.get("highest"),
        rejected_lately=rejects.get(source.pk, {}).get("rejected") or 0,
        waiting=todo.get("waiting", 0),
        leased=todo.get("leased", 0),
        quarantined=todo.get("quarantined", 0),
    )


def _batch_line(batch: Batch) -> BatchLine:
    return BatchLine(
        public_id=batch.public_id,
        name=batch.name,
        via=batch.via,
        state=batch.state,
        received_at=batch.received_at,
        finished_at=batch.finished_at,
        counts=line_counts(batch),
    )


def line_counts(batch: Any) -> LineCounts:
    """The verdict counts of a batch or of its part for one account."""
    return LineCounts(
        received=batch.received,
        new=batch.new,
        replaced=batch.replaced,
        duplicate=batch.duplicate,
        stale=batch.stale,
        rejected=batch.rejected,
    )


def list_sources() -> tuple[SourceLine, ...]:
    """Every source by name, with the account it is bound to and its keys in use."""
    sources = Source.objects.select_related("account").annotate(
        live_keys=Count("keys", filter=Q(keys__revoked_at__isnull=True))
    )
    return tuple(
        SourceLine(
            slug=source.slug,
            name=source.name,
            is_enabled=source.enabled,
            account_name=source.account.name if source.account else "",
            live_keys=source.live_keys,
            definition=definition_of(source),
        )
        for source in sources
    )


def get_source(*, slug: str, now: datetime) -> SourceFacts:
    """One source with its keys, or UnknownSource."""
    source = Source.objects.select_related("account").filter(slug=slug).first()
    if source is None:
        raise UnknownSource(slug)
    return SourceFacts(
        id=source.pk,
        definition=definition_of(source),
        is_billable=source.billable,
        account_name=source.account.name if source.account else "",
        account_reference=source.account.reference if source.account else "",
        has_batches=Batch.objects.filter(source=source).exists(),
        keys=_list_keys(source, now),
    )


def _list_keys(source: Source, now: datetime) -> tuple[KeyLine, ...]:
    keys = SourceKey.objects.filter(source=source).select_related("created_by").order_by("-id")
    return tuple(
        KeyLine(
            public_id=key.public_id,
            name=key.name,
            prefix=key.prefix,
            created_at=key.created_at,
            created_by=key.created_by.email if key.created_by else "command line",
            last_used_at=key.last_used_at,
            expires_at=key.expires_at,
            state=_key_state(key, now),
        )
        for key in keys
    )


def _key_state(key: SourceKey, now: datetime) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= now else "active"


def list_recent_batches(*, slug: str, limit: int = 20) -> tuple[BatchLine, ...]:
    """The newest batches of a source, newest first."""
    batches = Batch.objects.filter(source__slug=slug).order_by("-id")[:limit]
    return tuple(_batch_line(batch) for batch in batches)


def find_account_id(*, reference: str) -> int | None:
    """The account that usage files call so, if there is one."""
    return Account.objects.filter(reference=reference).values_list("id", flat=True).first()
