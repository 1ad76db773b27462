"""Reads what differs between an earlier moment and now: quantities, records that came or went, and their batches."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from accounts.models import Account
from insights.metering import known_sql
from insights.metering.explore import Exploration
from insights.metering.known import BatchSince, Since
from insights.metering.known_queries import WHOLE, KnownReading, rows_of
from insights.metering.queries import explore


def read_since(account: Account, then: Exploration, now: datetime) -> Since:
    """Ask the question of an answer again as known now, and count the records that make the difference."""
    question = replace(then.filter, known=None, group_by="", compares=False)
    today = explore(account, question, now)
    batches = _batches(KnownReading.of(account, then.filter), then)
    return Since(
        then=then.total,
        now=today.total,
        came=sum(batch.came for batch in batches),
        went=sum(batch.went for batch in batches),
        batches=batches,
    )


def _batches(reading: KnownReading, then: Exploration) -> tuple[BatchSince, ...]:
    slots = tuple(bucket.slot for bucket in then.buckets)
    if not slots or not reading.series:
        return ()
    found = rows_of(known_sql.CHANGES_BY_BATCH, reading.parameters(slots, WHOLE))
    return tuple(
        BatchSince(
            id=batch_id,
            name=name or (str(batch_id)[:8] if batch_id else ""),
            source=source or "",
            received_at=received_at,
            is_revert=is_revert,
            came=came,
            went=went,
        )
        for batch_id, name, source, received_at, is_revert, came, went in found
    )
