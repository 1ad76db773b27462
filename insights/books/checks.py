"""All checks of the books, in the order in which a record passes what they look at."""

from __future__ import annotations

from insights.books.backfill_checks import BACKFILLS
from insights.books.bill_checks import BILL_CHECKS
from insights.books.line_checks import BATCH_CHUNKS, BATCH_LINES, PARTS, POSITIONS, WATERMARKS
from insights.books.payout_checks import PAYOUTS
from insights.books.record_checks import (
    IDENTITIES,
    NUMBERS,
    PAST_ENTRIES,
    RECORD_ENTRY,
    RECORD_SERIES,
    REVISIONS,
)
from insights.books.rollup_checks import ARCHIVED_KNOWN, ROLLUP_MEANINGS, ROLLUPS, SEALS, SUMS
from insights.books.uncovered_checks import UNCOVERED

CHECKS = (
    BATCH_LINES,
    BATCH_CHUNKS,
    BACKFILLS,
    POSITIONS,
    PARTS,
    RECORD_SERIES,
    RECORD_ENTRY,
    IDENTITIES,
    REVISIONS,
    PAST_ENTRIES,
    NUMBERS,
    ROLLUPS,
    ROLLUP_MEANINGS,
    SUMS,
    SEALS,
    ARCHIVED_KNOWN,
    WATERMARKS,
    *BILL_CHECKS,
    PAYOUTS,
    UNCOVERED,
)
