"""What must hold of backfills: wholly in the books with one entry, or not there at all; constants only."""

from __future__ import annotations

from insights.books.check import Check

# A CSV's header is line 1 and belongs to no chunk.
BACKFILLS = Check(
    name="backfills are in the books wholly or not at all",
    rows="SELECT count(*) FROM insights_batch",
    differences="""
        SELECT format('backfill %%s: %%s with %%s entries', f.id, f.state, count(e.id))
        FROM insights_backfill f LEFT JOIN insights_ledgerentry e ON e.backfill_id = f.id
        GROUP BY f.id HAVING count(e.id) <> (f.state = 'closed')::integer
        UNION ALL
        SELECT format('batch %%s of backfill %%s: %%s, and the backfill is %%s', b.id, f.id, b.state, f.state)
        FROM insights_batch b JOIN insights_backfill f ON f.id = b.backfill_id
        WHERE b.source_id <> f.source_id OR b.state NOT IN ('refused', CASE
            WHEN f.state = 'discarded' THEN 'discarded' WHEN f.state = 'closed' THEN 'done' ELSE 'held' END)
          AND NOT (f.state = 'closed' AND b.state IN ('reverted', 'quarantined', 'processing'))
          AND NOT (f.state = 'discarded' AND b.state = 'held')
        UNION ALL
        SELECT format('batch %%s: %%s without a backfill', b.id, b.state) FROM insights_batch b
        WHERE b.backfill_id IS NULL AND b.state IN ('held', 'discarded')
        UNION ALL
        SELECT format('batch %%s of backfill %%s: %%s of %%s lines done', b.id, f.id, b.lines_done, b.lines_total)
        FROM insights_batch b JOIN insights_backfill f ON f.id = b.backfill_id
        WHERE b.state <> 'refused' AND CASE WHEN f.state = 'closed'
            THEN b.lines_done <> b.lines_total
              OR b.received + b.blank_lines <> b.lines_done - (jsonb_array_length(b.header) > 0)::integer
            ELSE b.lines_done + b.received + b.blank_lines > 0 END
        UNION ALL
        SELECT format('batch %%s of backfill %%s: has an entry of its own', b.id, b.backfill_id)
        FROM insights_batch b JOIN insights_ledgerentry e ON e.batch_id = b.id
        WHERE b.backfill_id IS NOT NULL AND e.kind IN ('chunk', 'replay')
        UNION ALL
        SELECT format('account %%s, batch %%s: seen before its backfill is closed', p.account_id, p.batch_id)
        FROM insights_batchpart p JOIN insights_batch b ON b.id = p.batch_id
        JOIN insights_backfill f ON f.id = b.backfill_id WHERE f.state <> 'closed'
    """,
    is_platform_wide=True,
)
