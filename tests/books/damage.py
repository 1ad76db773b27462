"""Ways of damaging the books, and how each one is named: the statement, how the line begins, and what it says."""

from __future__ import annotations

ONE = "(SELECT min(id) FROM insights_{})"
RECORD = "account_id = (SELECT id FROM accounts_account WHERE reference = 'brook') AND quantity = 7"
DAMAGE = {
    "batch part": (
        "UPDATE insights_batchpart SET new = new + 1, received = received + 1 WHERE id = "
        + ONE.format("batchpart"),
        "batch ",
        "parts",
    ),
    "unattributed": ("DELETE FROM insights_unattributedreject", "batch ", "its parts and refused lines"),
    "lines done": (
        "UPDATE insights_batch SET lines_done = 1 WHERE id = " + ONE.format("batch"),
        "batch ",
        "lines done",
    ),
    "chunk": (
        "UPDATE insights_ledgerentry SET first_line = first_line + 1 WHERE id = " + ONE.format("ledgerentry"),
        "batch ",
        "lines done",
    ),
    "position": ("DELETE FROM insights_ledgerentry WHERE position = 2", "position 3: ", "follows 1"),
    "head": ("UPDATE insights_ledgerhead SET position = 9", "ledger head 9: ", "4"),
    "clock": (
        "UPDATE insights_ledgerentry SET committed_at = 'epoch' WHERE position = 2",
        "position 2: ",
        "before",
    ),
    "run of lines": ("DELETE FROM insights_lineverdict WHERE verdict = 'stale'", "account ", "runs of lines"),
    "refused line": ("DELETE FROM insights_rejectedline", "account ", "refused lines kept"),
    "series": (
        f"UPDATE insights_usagerecord SET series_id = -series_id WHERE {RECORD}",
        "record of account ",
        "no such series",
    ),
    "key kind": (
        f"UPDATE insights_usagerecord SET row_id = 'x' WHERE {RECORD}",
        "record of account ",
        "kind",
    ),
    "entry": (
        f"UPDATE insights_usagerecord SET entry_id = 0 WHERE {RECORD}",
        "record of account ",
        "no entry",
    ),
    "batch": (
        f"UPDATE insights_usagerecord SET batch_id = 0 WHERE {RECORD}",
        "record of account ",
        "no such batch",
    ),
    "line": (
        f"UPDATE insights_usagerecord SET line_no = 9999 WHERE {RECORD}",
        "record of account ",
        "entry or source",
    ),
    "identity lost": (
        "DELETE FROM insights_usageidentity WHERE row_id = 'r2'",
        "identity of account ",
        "missing",
    ),
    "identity astray": (
        "UPDATE insights_usageidentity SET window_start = '2026-11-05 00:00Z' WHERE row_id = 'r2'",
        "identity of account ",
        "points elsewhere",
    ),
    "identity alone": (
        "DELETE FROM insights_usagerecord WHERE row_id = 'r2'",
        "identity of account ",
        "points to no record",
    ),
    "twice": (
        "UPDATE insights_usagerecord SET revision = 2 WHERE revision = 3",
        "past revision ",
        "is current too",
    ),
    "not the highest": (
        "UPDATE insights_usagerevision SET revision = 7 WHERE kind = 'stale'",
        "past revision ",
        "higher than",
    ),
    "nothing current": (
        "DELETE FROM insights_usagerecord WHERE revision = 3",
        "past revision ",
        "nothing is current",
    ),
    "past entry": (
        "UPDATE insights_usagerevision SET ended_by_entry_id = 0 WHERE kind = 'stale'",
        "past revision ",
        "no position",
    ),
    "rollup": (
        "UPDATE insights_usagerollup SET quantity = quantity + 0.000000001 WHERE quantity = 6",
        "rollup of account ",
        "differs",
    ),
    "rollup lost": ("DELETE FROM insights_usagerollup WHERE quantity = 6", "rollup of account ", "differs"),
    "rollup alone": (f"DELETE FROM insights_usagerecord WHERE {RECORD}", "rollup of account ", "differs"),
    "windows used": (
        "UPDATE insights_usagerollup SET windows_used = windows_used + 1 WHERE quantity = 6",
        "rollup of account ",
        "differs",
    ),
    "unique windows": (
        "UPDATE insights_usagerollup SET windows_used = windows_used + 1 WHERE windows_used = 20",
        "rollup of account ",
        "differs",
    ),
    "latest window": (
        "UPDATE insights_usagerollup SET latest_window = 'epoch' WHERE latest_window IS NOT NULL",
        "rollup of account ",
        "differs",
    ),
    "latest quantity": (
        "UPDATE insights_usagerollup SET latest_quantity = 77 WHERE latest_window IS NOT NULL",
        "rollup of account ",
        "differs",
    ),
    "sum": (
        "UPDATE insights_usagesum SET quantity = quantity + 0.000000001 WHERE key = ''",
        "sum of account ",
        "differs",
    ),
    "sum of an hour": (
        "UPDATE insights_usagesum SET hour_quantities[2] = hour_quantities[2] + 1 WHERE value = 'a'",
        "sum of account ",
        "differs",
    ),
    "records of an hour": (
        "UPDATE insights_usagesum SET hour_records[2] = 0 WHERE key = ''",
        "sum of account ",
        "differs",
    ),
    "sum lost": ("DELETE FROM insights_usagesum WHERE value = 'a'", "sum of account ", "endpoint"),
    "day said to be summed": ("DELETE FROM insights_unsummedday", "sum of account ", "differs"),
    "watermark": (
        "UPDATE insights_watermark SET complete_to = '2027-01-01Z'",
        "watermark of account ",
        "above",
    ),
}
