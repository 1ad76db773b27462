"""What must hold of batches, chunks, positions, parts and watermarks; constants only."""

from __future__ import annotations

from insights.books.check import Check, count_rows, of_account

BATCH_LINES = Check(
    name="lines of batches add up",
    rows="SELECT count(*) FROM insights_batch",
    differences="""
        SELECT format('batch %%s: received is not the sum of its verdicts', id) FROM insights_batch
        WHERE received <> new + replaced + duplicate + stale + rejected
        UNION ALL
        SELECT format('batch %%s: its parts and refused lines do not come to its counts', b.id)
        FROM insights_batch b
        LEFT JOIN (SELECT batch_id, sum(new) AS new, sum(replaced) AS replaced, sum(duplicate) AS duplicate,
            sum(stale) AS stale, sum(rejected) AS rejected FROM insights_batchpart GROUP BY 1) p ON p.batch_id = b.id
        LEFT JOIN (SELECT batch_id, count(*) AS lines FROM insights_unattributedreject GROUP BY 1) o
            ON o.batch_id = b.id
        WHERE (b.new, b.replaced, b.duplicate, b.stale) IS DISTINCT FROM
            (coalesce(p.new, 0), coalesce(p.replaced, 0), coalesce(p.duplicate, 0), coalesce(p.stale, 0))
          OR b.rejected < coalesce(p.rejected, 0) + coalesce(o.lines, 0)
          OR (b.received_at >= %(kept_since)s AND b.rejected <> coalesce(p.rejected, 0) + coalesce(o.lines, 0))
    """,
    is_platform_wide=True,
)
BATCH_CHUNKS = Check(
    name="chunks cover the lines of batches",
    rows="SELECT count(*) FROM insights_ledgerentry WHERE kind IN ('chunk', 'replay')",
    differences="""
        SELECT format('entry %%s of batch %%s: does not follow the chunk before', id, batch_id)
        FROM (
            SELECT id, batch_id, first_line, last_line,
                lag(last_line) OVER (PARTITION BY batch_id ORDER BY first_line) AS line_before
            FROM insights_ledgerentry WHERE kind IN ('chunk', 'replay')
        ) e
        WHERE last_line < first_line OR first_line <> line_before + 1
        UNION ALL
        SELECT format('batch %%s: %%s lines done, chunks end at line %%s', b.id, b.lines_done, coalesce(e.last_line, 0))
        FROM insights_batch b LEFT JOIN (
            SELECT batch_id, max(last_line) AS last_line, sum(last_line - first_line + 1) AS lines
            FROM insights_ledgerentry WHERE kind IN ('chunk', 'replay') GROUP BY 1
        ) e ON e.batch_id = b.id
        WHERE b.backfill_id IS NULL AND (
            b.lines_done <> coalesce(e.last_line, 0) OR b.received + b.blank_lines <> coalesce(e.lines, 0)
          OR (b.state = 'done' AND e.lines IS NOT NULL AND b.lines_done <> b.lines_total))
    """,
    is_platform_wide=True,
)
POSITIONS = Check(
    name="ledger positions have no gap",
    rows="SELECT count(*) FROM insights_ledgerentry",
    differences="""
        SELECT format('entry %%s: has no position', id) FROM insights_ledgerentry
        WHERE position IS NULL OR committed_at IS NULL
        UNION ALL
        SELECT format('position %%s: follows %%s', position, position_before) FROM (
            SELECT position, coalesce(lag(position) OVER (ORDER BY position), 0) AS position_before
            FROM insights_ledgerentry WHERE position IS NOT NULL
        ) e WHERE position <> position_before + 1
        UNION ALL
        SELECT format('position %%s: committed before the one in front of it', position) FROM (
            SELECT position, committed_at, lag(committed_at) OVER (ORDER BY position) AS instant_before
            FROM insights_ledgerentry WHERE position IS NOT NULL
        ) e WHERE committed_at < instant_before
        UNION ALL
        SELECT format('ledger head %%s: the highest position is %%s', h.position, e.position)
        FROM insights_ledgerhead h
        CROSS JOIN (SELECT coalesce(max(position), 0) AS position FROM insights_ledgerentry) e
        WHERE h.position <> e.position
    """,
    is_platform_wide=True,
)
PARTS = Check(
    name="verdicts and refused lines match the parts",
    rows=count_rows("insights_batchpart"),
    differences=f"""
        SELECT format('account %%s, batch %%s: runs of lines do not come to its counts',
            coalesce(p.account_id, v.account_id), coalesce(p.batch_id, v.batch_id))
        FROM (SELECT * FROM insights_batchpart p WHERE {of_account("p")}) p
        FULL JOIN (
            SELECT account_id, batch_id, sum(lines) FILTER (WHERE verdict = 'replaced') AS replaced,
                sum(lines) FILTER (WHERE verdict = 'duplicate') AS duplicate,
                sum(lines) FILTER (WHERE verdict = 'stale') AS stale
            FROM insights_lineverdict v WHERE {of_account("v")} GROUP BY 1, 2
        ) v ON v.account_id = p.account_id AND v.batch_id = p.batch_id
        WHERE (p.replaced, p.duplicate, p.stale) IS DISTINCT FROM
            (coalesce(v.replaced, 0), coalesce(v.duplicate, 0), coalesce(v.stale, 0))
        UNION ALL
        SELECT format('run of lines %%s: more lines than it spans', v.id) FROM insights_lineverdict v
        WHERE {of_account("v")} AND (v.lines < 1 OR v.lines > v.last_line - v.first_line + 1)
        UNION ALL
        SELECT format('account %%s, batch %%s: received is not the sum of its verdicts', p.account_id, p.batch_id)
        FROM insights_batchpart p
        WHERE {of_account("p")} AND p.received <> p.new + p.replaced + p.duplicate + p.stale + p.rejected
        UNION ALL
        SELECT format('account %%s, batch %%s: refused lines kept do not match its count',
            coalesce(p.account_id, r.account_id), coalesce(p.batch_id, r.batch_id))
        FROM (SELECT * FROM insights_batchpart p WHERE {of_account("p")}) p
        FULL JOIN (
            SELECT account_id, batch_id, count(*) AS lines FROM insights_rejectedline r WHERE {of_account("r")}
            GROUP BY 1, 2
        ) r ON r.account_id = p.account_id AND r.batch_id = p.batch_id
        WHERE p.id IS NULL OR p.rejected < coalesce(r.lines, 0)
          OR (p.received_at >= %(kept_since)s AND p.rejected <> coalesce(r.lines, 0))
    """,
)
# A source's lateness may have been changed since, so the end of its windows is the bound.
WATERMARKS = Check(
    name="watermarks are not above what batches say",
    rows=count_rows("insights_watermark"),
    differences=f"""
        SELECT format('watermark of account %%s, source %%s: above what its batches say', w.account_id, w.source_id)
        FROM insights_watermark w
        LEFT JOIN (
            SELECT p.account_id, b.source_id, max(p.last_window_end) AS window_end, max(p.received_at) AS received_at
            FROM insights_batchpart p JOIN insights_batch b ON b.id = p.batch_id WHERE {of_account("p")} GROUP BY 1, 2
        ) p ON p.account_id = w.account_id AND p.source_id = w.source_id
        LEFT JOIN (SELECT source_id, max(complete_to) AS complete_to FROM insights_batch GROUP BY 1) b
            ON b.source_id = w.source_id
        WHERE {of_account("w")} AND (
            w.complete_to > coalesce(greatest(p.window_end, b.complete_to), '-infinity')
            OR w.last_window_end > coalesce(p.window_end, '-infinity')
            OR w.last_received_at > coalesce(p.received_at, '-infinity')
        )
    """,
)
