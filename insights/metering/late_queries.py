"""Which stretches of time the ledger entries since a position may have changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from accounts.tenancy import connection

# From when to when usage may have changed; None is open.
Stretch = tuple[datetime | None, datetime | None]


def read_late(account_ids: Sequence[int], after: Sequence[int]) -> dict[int, list[Stretch]]:
    """For each account, the stretches that ledger entries above its position may have changed; None is open.

    A batch that replaced or reverted something may have moved it away from anywhere, so its stretch is open.
    """
    with connection().cursor() as cursor:
        cursor.execute(_LATE, {"accounts": list(account_ids), "after": list(after)})
        late: dict[int, list[Stretch]] = defaultdict(list)
        for account_id, first, end in cursor.fetchall():
            late[account_id].append((first, end))
    return late


_LATE = """
SELECT a.account_id, CASE WHEN is_where_it_says THEN p.first_window END,
    CASE WHEN is_where_it_says THEN p.last_window_end END
FROM unnest(%(accounts)s::bigint[], %(after)s::bigint[]) AS a (account_id, after)
JOIN insights_batchpart p ON p.account_id = a.account_id
JOIN insights_batch b ON b.id = p.batch_id
CROSS JOIN LATERAL (SELECT p.replaced = 0 AND NOT EXISTS (
    SELECT FROM insights_ledgerentry l WHERE l.batch_id = p.batch_id AND l.kind = 'revert' AND l.position > a.after
) AS is_where_it_says) stretch
WHERE EXISTS (SELECT FROM insights_ledgerentry l WHERE l.batch_id = p.batch_id AND l.position > a.after)
    OR (b.backfill_id IS NOT NULL
        AND EXISTS (SELECT FROM insights_ledgerentry l WHERE l.backfill_id = b.backfill_id AND l.position > a.after))
"""
