"""The SQL of the records by which usage as known at one ledger position differs from usage as known at a later one.

A record is known at a position if its entry is not above it and nothing had ended it by then. So what came between two
positions was brought above the first, not above the second, and still stood at the second; what went was brought by the
first and ended between them. What came and went again in between was never known at either.
"""

from __future__ import annotations

# Which series in which stretch of time, and the number of the place that their records belong to.
PLACES = """places AS MATERIALIZED (
    SELECT p.series_id, p.start, p.stop, p.place FROM unnest(
        %(series)s::bigint[], %(starts)s::timestamptz[], %(stops)s::timestamptz[], %(places)s::int[]
    ) AS p (series_id, start, stop, place)
)"""
_ENTRIES = """since AS MATERIALIZED (
    SELECT entry_id, batch_id, is_revert FROM portal_entries_after(%(position)s)
), after AS MATERIALIZED (
    SELECT DISTINCT entry_id FROM since
), later AS MATERIALIZED (
    SELECT DISTINCT entry_id FROM portal_entries_after(%(until)s)
), between_both AS MATERIALIZED (
    SELECT entry_id FROM after EXCEPT SELECT entry_id FROM later
)"""
_RECORD = "account_id, series_id, window_start, row_id, revision, quantity, batch_id, line_no"
_IN_PERIOD = "account_id = %(account)s AND window_start >= %(first)s AND window_start < %(end)s"
# Block ranges lead to what batches brought; what a revert made current again names the batch it came with, so that
# after a revert all records are looked at. IS TRUE keeps a look-up among few from becoming a join.
_BROUGHT = f"""
    SELECT {_RECORD} FROM insights_usagerecord
    WHERE {_IN_PERIOD} AND NOT EXISTS (SELECT FROM since WHERE is_revert)
        AND batch_id >= (SELECT min(batch_id) FROM since) AND batch_id <= (SELECT max(batch_id) FROM since)
        AND (entry_id IN (SELECT entry_id FROM between_both)) IS TRUE
    UNION ALL
    SELECT {_RECORD} FROM insights_usagerecord
    WHERE {_IN_PERIOD} AND EXISTS (SELECT FROM since WHERE is_revert)
        AND (entry_id IN (SELECT entry_id FROM between_both)) IS TRUE
    UNION ALL
    SELECT {_RECORD} FROM insights_usagerevision
    WHERE {_IN_PERIOD} AND ended_by_entry_id >= (SELECT min(entry_id) FROM later)
        AND (ended_by_entry_id IN (SELECT entry_id FROM later)) IS TRUE
        AND (entry_id IN (SELECT entry_id FROM between_both)) IS TRUE"""
_ENDED = f"""
    SELECT {_RECORD} FROM insights_usagerevision
    WHERE {_IN_PERIOD} AND ended_by_entry_id >= (SELECT min(entry_id) FROM between_both)
        AND (ended_by_entry_id IN (SELECT entry_id FROM between_both)) IS TRUE
        AND entry_id NOT IN (SELECT entry_id FROM after)"""
# `came` is 1 for what came and 0 for what went, so that what went stands before what came in its place.
MOVED = f"""{PLACES}, {_ENTRIES}, moved AS (
    SELECT m.*, p.place FROM (
        SELECT t.*, 1 AS came FROM ({_BROUGHT}) t
        UNION ALL
        SELECT t.*, 0 FROM ({_ENDED}) t
    ) m JOIN places p ON p.series_id = m.series_id AND m.window_start >= p.start AND m.window_start < p.stop
)"""
MOVED_BY_PLACE = f"""
WITH {MOVED}
SELECT m.place, sum(m.came)::bigint, sum(1 - m.came)::bigint,
    sum((2 * m.came - 1) * m.quantity), sum((2 * m.came - 1) * m.quantity * s.window_seconds)
FROM moved m JOIN insights_series s ON s.account_id = %(account)s AND s.id = m.series_id
GROUP BY m.place
"""
