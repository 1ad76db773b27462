"""What must hold of records, identities and past revisions; constants only."""

from __future__ import annotations

from insights.books.check import Check, count_rows, of_account
from insights.metering.seals import is_archived_window

_RECORD = """format('record of account %%s, series %%s, window %%s, row %%s: ',
    u.account_id, u.series_id, u.window_start, u.row_id)"""
_PAST = "format('past revision %%s of account %%s: ', h.id, h.account_id)"

RECORD_SERIES = Check(
    name="records have their series",
    rows=count_rows("insights_usagerecord"),
    differences=f"""
        SELECT {_RECORD} || CASE WHEN s.id IS NULL THEN 'no such series of the account'
            ELSE 'its key is not of its source''s kind' END
        FROM insights_usagerecord u
        LEFT JOIN insights_series s ON s.account_id = u.account_id AND s.id = u.series_id
        LEFT JOIN insights_source o ON o.id = s.source_id
        WHERE {of_account("u")} AND (s.id IS NULL OR (u.row_id = '') <> (o.key_kind = 'window'))
    """,
)
RECORD_ENTRY = Check(
    name="records have their entry and batch",
    rows=count_rows("insights_usagerecord"),
    differences=f"""
        SELECT {_RECORD} || CASE WHEN e.position IS NULL THEN 'no entry with a position'
            WHEN b.id IS NULL THEN 'no such batch' ELSE 'its entry or source is not that of its batch' END
        FROM insights_usagerecord u
        LEFT JOIN insights_ledgerentry e ON e.id = u.entry_id
        LEFT JOIN insights_batch b ON b.id = u.batch_id
        LEFT JOIN insights_series s ON s.account_id = u.account_id AND s.id = u.series_id
        WHERE {of_account("u")} AND (
            e.position IS NULL OR b.id IS NULL OR b.source_id <> s.source_id
            OR (e.kind IN ('chunk', 'replay')
                AND (e.batch_id <> u.batch_id OR u.line_no NOT BETWEEN e.first_line AND e.last_line))
            OR (e.kind = 'backfill_close'
                AND (e.backfill_id IS DISTINCT FROM b.backfill_id OR u.line_no NOT BETWEEN 1 AND b.lines_done))
        )
    """,
)
IDENTITIES = Check(
    name="identities point to their records",
    rows=count_rows("insights_usageidentity"),
    differences=f"""
        SELECT format('identity of account %%s, source %%s, row %%s: ', coalesce(i.account_id, u.account_id),
                coalesce(i.source_id, u.source_id), coalesce(i.row_id, u.row_id))
            || CASE WHEN i.row_id IS NULL THEN 'missing' WHEN u.row_id IS NULL THEN 'points to no record'
               ELSE 'points elsewhere than its record' END
        FROM (SELECT * FROM insights_usageidentity i WHERE {of_account("i")}) i
        FULL JOIN (
            SELECT u.account_id, s.source_id, u.row_id, u.series_id, u.window_start
            FROM insights_usagerecord u JOIN insights_series s ON s.account_id = u.account_id AND s.id = u.series_id
            WHERE u.row_id <> '' AND {of_account("u")}
        ) u ON u.account_id = i.account_id AND u.source_id = i.source_id AND u.row_id = i.row_id
        WHERE (i.series_id, i.window_start) IS DISTINCT FROM (u.series_id, u.window_start)
          AND NOT (u.row_id IS NULL AND EXISTS (
            SELECT 1 FROM insights_usagerevision h WHERE h.account_id = i.account_id AND h.source_id = i.source_id
              AND h.row_id = i.row_id AND h.row_id <> '' AND h.kind = 'retracted'
          ))
          AND NOT (u.row_id IS NULL AND {is_archived_window("i.window_start")})
    """,
)
# A past revision's identity, and the record that is current for it. A row id may have moved since. Looked up one by
# one: as a join it has been seen to compare each revision with every record of its account.
_CURRENT_OF_PAST = """
    FROM insights_usagerevision h
    LEFT JOIN insights_usageidentity i ON h.row_id <> '' AND i.account_id = h.account_id
        AND i.source_id = h.source_id AND i.row_id = h.row_id
    LEFT JOIN LATERAL (
        SELECT u.* FROM insights_usagerecord u WHERE u.account_id = h.account_id
          AND u.series_id = coalesce(i.series_id, h.series_id)
          AND u.window_start = coalesce(i.window_start, h.window_start) AND u.row_id = h.row_id OFFSET 0
    ) u ON true
"""
# One key for both kinds of identity, so that it can be hashed: a row id stands for itself, else series and window do.
_IS_RETRACTED = """EXISTS (
    SELECT 1 FROM insights_usagerevision x
    WHERE x.account_id = h.account_id AND x.source_id = h.source_id AND x.row_id = h.row_id
      AND CASE WHEN x.row_id = '' THEN x.series_id ELSE 0 END = CASE WHEN h.row_id = '' THEN h.series_id ELSE 0 END
      AND CASE WHEN x.row_id = '' THEN x.window_start ELSE 'epoch' END
        = CASE WHEN h.row_id = '' THEN h.window_start ELSE 'epoch' END
      AND x.revision = h.revision AND x.kind = 'retracted'
)"""
# A revert goes chunk by chunk, and passes over what a later chunk of it will retract.
_IS_BEING_RETRACTED = """EXISTS (
    SELECT 1 FROM insights_batchrevert v
    WHERE v.batch_id = h.batch_id AND v.confirmed_at IS NOT NULL AND v.finished_at IS NULL
)"""
REVISIONS = Check(
    name="the current revision is the highest",
    rows=count_rows("insights_usagerevision"),
    differences=f"""
        SELECT {_PAST} || 'is current too' {_CURRENT_OF_PAST}
        LEFT JOIN insights_ledgerentry e ON e.id = u.entry_id
        WHERE {of_account("h")} AND u.revision = h.revision
          AND (e.kind IS DISTINCT FROM 'revert' OR u.quantity <> h.quantity OR {_IS_RETRACTED})
        UNION ALL
        SELECT {_PAST} || CASE WHEN u.revision IS NULL THEN 'nothing is current and it is not retracted'
            ELSE 'is higher than the current one and not retracted' END
        {_CURRENT_OF_PAST}
        WHERE {of_account("h")} AND (u.revision IS NULL OR u.revision < h.revision)
          AND NOT {_IS_RETRACTED} AND NOT {_IS_BEING_RETRACTED}
          AND NOT (u.revision IS NULL AND {is_archived_window("coalesce(i.window_start, h.window_start)")})
    """,
)
PAST_ENTRIES = Check(
    name="past revisions have their entries",
    rows=count_rows("insights_usagerevision"),
    differences=f"""
        SELECT {_PAST} || CASE WHEN e.position IS NULL OR d.position IS NULL THEN 'an entry of it has no position'
            WHEN d.position < e.position THEN 'it ended before it began'
            WHEN b.id IS NULL THEN 'no such batch' ELSE 'its series or batch is of another source' END
        FROM insights_usagerevision h
        LEFT JOIN insights_ledgerentry e ON e.id = h.entry_id
        LEFT JOIN insights_ledgerentry d ON d.id = h.ended_by_entry_id
        LEFT JOIN insights_batch b ON b.id = h.batch_id
        LEFT JOIN insights_series s ON s.account_id = h.account_id AND s.id = h.series_id
        WHERE {of_account("h")} AND (
            e.position IS NULL OR d.position IS NULL OR d.position < e.position
            OR b.id IS NULL OR b.source_id <> h.source_id OR s.id IS NULL OR s.source_id <> h.source_id
        )
    """,
)
NUMBERS = Check(
    name="every quantity is a number",
    rows=f"SELECT ({count_rows('insights_usagerecord')}) + ({count_rows('insights_usagerevision')}) "
    f"+ ({count_rows('insights_usagerollup')})",
    differences=f"""
        SELECT {_RECORD} || 'not a number' FROM insights_usagerecord u WHERE {of_account("u")} AND u.quantity = 'NaN'
        UNION ALL
        SELECT {_PAST} || 'not a number' FROM insights_usagerevision h WHERE {of_account("h")} AND h.quantity = 'NaN'
        UNION ALL
        SELECT format('rollup of account %%s, series %%s, day %%s: not a number', r.account_id, r.series_id, r.day)
        FROM insights_usagerollup r
        WHERE {of_account("r")} AND 'NaN' IN (r.quantity, r.maximum, r.latest_quantity)
    """,
)
