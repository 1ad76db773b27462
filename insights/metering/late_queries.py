"""Which stretches of time the ledger entries since a position may have changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from accounts.tenancy import connection

# From when to when usage may have changed; None is open.
Stretch = tuple[datetime | None, datetime | None]


def parts_since(account: str, position: str) -> str:
    """SQL for the parts that changed usage of an account by ledger entries above a position; both given as SQL.

    A part is told finished or reverted in the transaction of the entry that does it, at most an hour before it commits,
    so that an index by these instants leads to the few that may have one. A backfill's entry is of all its batches.
    """
    return f"""
        SELECT p.* FROM insights_batchpart p
        WHERE p.account_id = {account} AND p.new + p.replaced > 0
          AND (p.finished_at IS NULL OR greatest(p.finished_at, p.reverted_at, p.received_at) >= coalesce(
            (SELECT e.committed_at FROM insights_ledgerentry e WHERE e.position = {position}) - interval '1 hour',
            '-infinity'))
          AND EXISTS (SELECT FROM insights_ledgerentry l WHERE l.batch_id = p.batch_id AND l.position > {position})
        UNION ALL
        SELECT p.* FROM insights_ledgerentry l JOIN insights_batch b ON b.backfill_id = l.backfill_id
        JOIN insights_batchpart p ON p.account_id = {account} AND p.batch_id = b.id AND p.new + p.replaced > 0
        WHERE l.backfill_id IS NOT NULL AND l.position > {position}
    """


def read_late(account_ids: Sequence[int], after: Sequence[int]) -> dict[int, list[Stretch]]:
    """For each account, the stretches that ledger entries above its position may have changed; None is open.

    What a part brought is in its own stretch, and what it replaced is found in history, day by day. A batch that was
    taken back may have put something back anywhere, so its stretch is open.
    """
    with connection().cursor() as cursor:
        cursor.execute(_LATE, {"accounts": list(account_ids), "after": list(after)})
        late: dict[int, list[Stretch]] = defaultdict(list)
        for account_id, first, end in cursor.fetchall():
            late[account_id].append((first, end))
    return late


_LATE = f"""
WITH touched AS MATERIALIZED (
    SELECT a.account_id, a.after, p.batch_id, p.first_window, p.last_window_end, p.replaced, EXISTS (
        SELECT FROM insights_ledgerentry l
        WHERE l.batch_id = p.batch_id AND l.kind = 'revert' AND l.position > a.after
    ) AS is_taken_back
    FROM unnest(%(accounts)s::bigint[], %(after)s::bigint[]) AS a (account_id, after)
    CROSS JOIN LATERAL ({parts_since("a.account_id", "a.after")}) p
), ended_by AS MATERIALIZED (
    SELECT DISTINCT t.account_id, l.id
    FROM touched t JOIN insights_batch b ON b.id = t.batch_id
    JOIN insights_ledgerentry l ON (l.batch_id = b.id OR l.backfill_id = b.backfill_id) AND l.position > t.after
    WHERE t.replaced > 0 AND NOT t.is_taken_back
)
SELECT account_id, CASE WHEN NOT is_taken_back THEN first_window END,
    CASE WHEN NOT is_taken_back THEN last_window_end END
FROM touched
UNION ALL
SELECT h.account_id, min(h.window_start), max(h.window_start) + interval '1 microsecond'
FROM insights_usagerevision h JOIN ended_by e ON e.account_id = h.account_id AND e.id = h.ended_by_entry_id
WHERE h.ended_by_entry_id >= (SELECT min(id) FROM ended_by) AND h.ended_by_entry_id <= (SELECT max(id) FROM ended_by)
    AND h.account_id = ANY(%(accounts)s::bigint[]) AND h.kind <> 'stale'
GROUP BY h.account_id, (h.window_start AT TIME ZONE 'UTC')::date
"""
