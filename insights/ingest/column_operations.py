"""Stores a chunk that is one thing throughout, wholly new or wholly known, without looking at its lines one by one.

What is neither is left to store_operations.py, which judges line by line; then nothing of this stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction

from accounts.tenancy import current_alias
from insights.ingest.known_column_operations import (
    are_content,
    count_staged_duplicates,
    find_walks,
    look_at_sample,
    may_be_retracted,
)
from insights.ingest.known_operations import Ledger
from insights.ingest.stage_operations import NEW, clear_stage, copy_stage_text, open_stage
from insights.ingest.store_operations import insert_stage
from insights.ingest.verdicts import Verdict

if TYPE_CHECKING:
    from insights.ingest.staged_columns import StagedColumns

SAMPLE_LINES = 100


def store_columns(ledger: Ledger, columns: StagedColumns) -> Verdict | None:
    """Write the lines of a chunk if all are new, and return the verdict that holds for all of them.

    None when they are neither all new nor all duplicates of current records; then nothing is written and the stage is
    empty. Inside the caller's transaction.
    """
    open_stage()
    sample = columns.sample(SAMPLE_LINES)
    known, are_alone = look_at_sample(sample)
    if known == 0 and _are_new(ledger, columns):
        return Verdict.NEW
    if known == len(sample) and _are_duplicates(columns, are_alone=are_alone):
        return Verdict.DUPLICATE
    clear_stage()
    return None


def _are_duplicates(columns: StagedColumns, *, are_alone: bool) -> bool:
    if are_alone and (probes := find_walks(columns)):
        return are_content(columns, probes)
    copy_stage_text(columns.copy_text(phase=NEW))
    return count_staged_duplicates() == columns.count


def _are_new(ledger: Ledger, columns: StagedColumns) -> bool:
    """Insert all lines, or none where one names a fact that is known."""
    if columns.has_repeats(key_kind=ledger.key_kind) or may_be_retracted(ledger, columns):
        return False
    copy_stage_text(columns.copy_text(phase=NEW))
    try:
        # A known fact breaks a key, and leaves nothing behind.
        with transaction.atomic(using=current_alias()):
            insert_stage(ledger)
    except IntegrityError:
        return False
    return True
