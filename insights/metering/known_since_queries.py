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
from insights.metering.windows import Slot

# About as many lines as are looked at in the time that a page may take.
LINES_LOOKED_AT_MAX = 200_000


def read_since(account: Account, then: Exploration, now: datetime) -> Since:
    """Ask the question of an answer again as known now, and say which records make the difference."""
    question = replace(then.filter, known=None, group_by="", compares=False)
    today = explore(account, question, now)
    reading = KnownReading.of(account, then.filter)
    slots = tuple(bucket.slot for bucket in then.buckets)
    went, lines = 0, 0
    if slots and reading.series:
        [[went, lines]] = rows_of(known_sql.WENT_AND_LINES, reading.parameters(slots, WHOLE))
    return Since(
        then=then.total,
        now=today.total,
        came=_records(today) - _records(then) + went,
        went=went,
        batches=_batches(reading, slots) if lines <= LINES_LOOKED_AT_MAX else None,
    )


def _records(answer: Exploration) -> int:
    return sum(bucket.records for bucket in answer.buckets)


def _batches(reading: KnownReading, slots: tuple[Slot, ...]) -> tuple[BatchSince, ...]:
    if not slots or not reading.series:
        return ()
    found = rows_of(known_sql.CHANGES_BY_BATCH, reading.parameters(slots, WHOLE, all_days=True))
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
