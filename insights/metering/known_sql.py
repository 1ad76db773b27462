"""The SQL of usage as it was known at a ledger position.

Known then is what is current now and was not written since, and what is past now and was ended since. Which entries
came since is asked of the ledger: ids of entries are not in the order of commits. Days that nothing has touched since
are taken from the rollups; only the others are summed again. Each statement is one snapshot of its own.
"""

from __future__ import annotations

from insights.metering.aggregations import AGGREGATES

# A batch of so few days is taken to have touched each of them; of a longer one with few lines the rows are looked up.
DAYS_TAKEN_WHOLE = 3
LINES_PER_DAY_TAKEN_WHOLE = 200

SINCE = """since AS MATERIALIZED (
    SELECT entry_id, batch_id, is_revert, was_begun FROM portal_entries_after(%(position)s)
), after AS MATERIALIZED (
    SELECT DISTINCT entry_id FROM since
)"""
NOT_SINCE = "entry_id NOT IN (SELECT entry_id FROM after)"
# IS TRUE, here and below, keeps a look-up among few from becoming a join, whose order the planner would have to guess.
# Ids of what came since lie close together, so that block ranges lead to what it ended.
ENDED_SINCE = """h.ended_by_entry_id >= (SELECT min(entry_id) FROM after)
        AND (h.ended_by_entry_id IN (SELECT entry_id FROM after)) IS TRUE"""
_RECORD = "account_id, series_id, window_start, row_id, revision, quantity, batch_id, line_no"
# What is current still, and what was then.
KNOWN_PARTS = (
    f"(SELECT {_RECORD} FROM insights_usagerecord WHERE {NOT_SINCE})",
    f"(SELECT {_RECORD} FROM insights_usagerevision h WHERE {ENDED_SINCE} AND {NOT_SINCE})",
)
# What came and what went since then: then less what went, and with what came, is now.
RECORDS_CHANGED = f"""(
    SELECT {_RECORD}, 'came' AS change FROM insights_usagerecord
    WHERE (entry_id IN (SELECT entry_id FROM after)) IS TRUE
    UNION ALL
    SELECT {_RECORD}, 'went' FROM insights_usagerevision h WHERE {ENDED_SINCE} AND {NOT_SINCE}
)"""
_CHOSEN = """chosen AS MATERIALIZED (
    SELECT c.series_id, c.group_no, c.window_seconds, c.tuple_no
    FROM unnest(%(series)s::bigint[], %(groups)s::int[], %(seconds)s::bigint[], %(tuples)s::int[])
        AS c (series_id, group_no, window_seconds, tuple_no)
)"""
# Whatever was ended since, also what came since itself. Stale revisions were ended by the entry that brought them, so
# that none of them was ever known.
_PAST = f"""ended AS MATERIALIZED (
    SELECT h.series_id, h.window_start, h.row_id, h.quantity, h.ended_by_entry_id, h.{NOT_SINCE} AS was_known,
        (h.window_start AT TIME ZONE %(zone)s)::date AS day
    FROM insights_usagerevision h
    WHERE h.account_id = %(account)s AND {ENDED_SINCE}
        AND h.window_start >= %(wide_start)s AND h.window_start < %(wide_end)s
        AND (h.series_id IN (SELECT series_id FROM chosen)) IS TRUE
), past AS (
    SELECT * FROM ended WHERE was_known
)"""
# A corrected window stands in history, so only what is new has to be looked for, and row ids, which may move.
_BROUGHT = f"""brought AS MATERIALIZED (
    SELECT p.batch_id, p.first_window, p.last_window_end, d.first_day, d.last_day,
        d.last_day - d.first_day < {DAYS_TAKEN_WHOLE}
            OR p.new + p.replaced > {LINES_PER_DAY_TAKEN_WHOLE} * (d.last_day - d.first_day) AS is_whole
    FROM (SELECT DISTINCT batch_id FROM since WHERE NOT is_revert) s
    JOIN insights_batchpart p ON p.account_id = %(account)s AND p.batch_id = s.batch_id
    CROSS JOIN LATERAL (
        SELECT (p.first_window AT TIME ZONE %(zone)s)::date AS first_day,
            ((p.last_window_end - interval '1 microsecond') AT TIME ZONE %(zone)s)::date AS last_day
    ) d
    WHERE p.first_window < %(wide_end)s AND p.last_window_end > %(wide_start)s AND (p.new > 0 OR EXISTS (
        SELECT FROM insights_usagerevision h
        WHERE h.account_id = %(account)s AND {ENDED_SINCE} AND h.row_id <> '' AND p.replaced > 0
    ))
), sparse AS MATERIALIZED (
    SELECT * FROM brought WHERE NOT is_whole
)"""
_WHOLE_DAYS = """whole AS MATERIALIZED (
    SELECT DISTINCT d.day::date AS day FROM brought b CROSS JOIN LATERAL generate_series(
        greatest(b.first_day, %(first_day)s)::timestamp, least(b.last_day, %(end_day)s - 1)::timestamp, '1 day'
    ) AS d (day) WHERE b.is_whole
)"""
# One look into the block ranges for all sparse batches. What a revert made current again is looked for among
# everything that was said of its row.
_PAIRS = """pairs AS MATERIALIZED (
    SELECT t.series_id, t.day FROM (
        SELECT series_id, day FROM ended
        UNION
        SELECT r.series_id, (r.window_start AT TIME ZONE %(zone)s)::date FROM insights_usagerecord r
        WHERE r.account_id = %(account)s
            AND r.batch_id >= (SELECT min(batch_id) FROM sparse) AND r.batch_id <= (SELECT max(batch_id) FROM sparse)
            AND r.window_start >= (SELECT min(first_window) FROM sparse)
            AND r.window_start < (SELECT max(last_window_end) FROM sparse)
            AND r.window_start >= %(wide_start)s AND r.window_start < %(wide_end)s
            AND (r.batch_id IN (SELECT batch_id FROM sparse)) IS TRUE
        UNION
        SELECT h.series_id, (h.window_start AT TIME ZONE %(zone)s)::date FROM insights_usagerevision x
        JOIN insights_usagerevision h ON h.account_id = x.account_id AND h.source_id = x.source_id
            AND h.row_id = x.row_id AND h.row_id <> '' AND NOT h.is_further
        WHERE x.account_id = %(account)s AND x.row_id <> ''
            AND (x.ended_by_entry_id IN (SELECT entry_id FROM since WHERE is_revert)) IS TRUE
    ) t WHERE t.day >= %(first_day)s AND t.day < %(end_day)s
        AND t.day NOT IN (SELECT day FROM whole) AND (t.series_id IN (SELECT series_id FROM chosen)) IS TRUE
)"""
# Days that batches of then reach; of the others nothing was known, and nothing has to be read.
_REACHED = """reached AS MATERIALIZED (
    SELECT DISTINCT d.day::date AS day FROM insights_batchpart p CROSS JOIN LATERAL generate_series(
        greatest((p.first_window AT TIME ZONE %(zone)s)::date, %(first_day)s)::timestamp,
        least((p.last_window_end AT TIME ZONE %(zone)s)::date, %(end_day)s - 1)::timestamp, '1 day'
    ) AS d (day)
    WHERE p.account_id = %(account)s AND p.first_window < %(wide_end)s AND p.last_window_end > %(wide_start)s
        AND p.batch_id NOT IN (SELECT batch_id FROM since WHERE NOT is_revert AND NOT was_begun)
)"""
# No clock was set back by more than three hours since 2000; the day itself decides, by the rollups' own conversion.
_SPANS = """spans AS MATERIALIZED (
    SELECT min(day)::timestamp AT TIME ZONE %(zone)s - interval '4 hours' AS first,
        (max(day) + 1)::timestamp AT TIME ZONE %(zone)s + interval '4 hours' AS last
    FROM (SELECT day, day - row_number() OVER (ORDER BY day)::int AS island FROM whole
        WHERE (day IN (SELECT day FROM reached)) IS TRUE OR %(all_days)s) t GROUP BY island
)"""
# Look-ups series by series: nothing tells the planner how few days were touched. The wide bounds are no narrower than
# the days are, but are known before anything is read, so that only the months they meet are planned for.
_CURRENT = """current AS (
    SELECT u.* FROM chosen c CROSS JOIN spans s CROSS JOIN LATERAL (
        SELECT r.*, (r.window_start AT TIME ZONE %(zone)s)::date AS day FROM insights_usagerecord r
        WHERE r.account_id = %(account)s AND r.series_id = c.series_id
            AND r.window_start >= %(wide_start)s AND r.window_start < %(wide_end)s
            AND r.window_start >= s.first AND r.window_start < s.last OFFSET 0
    ) u WHERE (u.day IN (SELECT day FROM whole)) IS TRUE
    UNION ALL
    SELECT u.* FROM pairs p CROSS JOIN LATERAL (
        SELECT r.*, (r.window_start AT TIME ZONE %(zone)s)::date AS day FROM insights_usagerecord r
        WHERE r.account_id = %(account)s AND r.series_id = p.series_id
            AND r.window_start >= %(wide_start)s AND r.window_start < %(wide_end)s
            AND r.window_start >= p.day::timestamp AT TIME ZONE %(zone)s - interval '4 hours'
            AND r.window_start < (p.day + 1)::timestamp AT TIME ZONE %(zone)s + interval '4 hours' OFFSET 0
    ) u WHERE u.day = p.day
)"""
TOUCHED = (
    f"{_CHOSEN}, {SINCE}, {_PAST}, {_BROUGHT}, {_WHOLE_DAYS}, {_PAIRS}, {_REACHED}, {_SPANS}, {_CURRENT}"
)
_KNOWN_DAYS = f"""{TOUCHED}, again AS (
    SELECT series_id, window_start, row_id, quantity, day FROM current WHERE {NOT_SINCE}
    UNION ALL
    SELECT series_id, window_start, row_id, quantity, day FROM past
    WHERE day >= %(first_day)s AND day < %(end_day)s
), known AS (
    SELECT r.series_id, r.day, r.quantity, r.records, r.windows_used, r.maximum, r.latest_window, r.latest_quantity
    FROM insights_usagerollup r
    WHERE r.account_id = %(account)s AND r.meter_id = %(meter)s
        AND r.day >= %(first_day)s AND r.day < %(end_day)s AND r.day NOT IN (SELECT day FROM whole)
        AND (r.series_id, r.day) NOT IN (SELECT series_id, day FROM pairs)
    UNION ALL
    SELECT series_id, day, sum(quantity), count(*), {{windows}}, max(quantity), {{latest}} FROM again GROUP BY 1, 2
)"""
_LATEST = "max(window_start), (array_agg(quantity ORDER BY window_start DESC, row_id DESC))[1]"


# Of each stretch and each group; or of each stretch in all and of each group over all stretches, read in one go.
EACH = "slot_no, group_no"
BOTH_WAYS = "GROUPING SETS ((slot_no), (group_no))"
_IN_SLOTS = """r JOIN chosen c ON c.series_id = r.series_id
    CROSS JOIN LATERAL (SELECT width_bucket(r.day, %(slot_days)s::date[]) AS slot_no) s"""


def slot_rows_known(aggregation: str, *, ways: str = EACH) -> str:
    """Rows (slot number, group number, value, records, holds daily totals) by days, as known at a position."""
    days = _KNOWN_DAYS.format(
        windows="count(DISTINCT window_start) FILTER (WHERE quantity > 0)"
        if aggregation == "unique_count"
        else "0",
        latest=_LATEST if aggregation == "latest" else "NULL::timestamptz, NULL::numeric",
    )
    return _rows_of_days(days, aggregation, f"known {_IN_SLOTS}", ways)


def slot_rows_untouched(aggregation: str, *, ways: str = EACH) -> str:
    """The same rows out of rollups alone where nothing that came or went since is of these days; else a row of nulls.

    Most bills are read so: what came since is of later months. Planning a look into records takes longer than this.
    """
    touched = f"""{_CHOSEN}, {SINCE}, {_PAST}, {_BROUGHT}, touched AS MATERIALIZED (
    SELECT EXISTS (SELECT FROM brought) OR EXISTS (SELECT FROM ended)
        OR EXISTS (SELECT FROM since WHERE is_revert) AS is_so
)"""
    days = f"""insights_usagerollup {_IN_SLOTS}
    WHERE r.account_id = %(account)s AND r.meter_id = %(meter)s
        AND r.day >= %(first_day)s AND r.day < %(end_day)s AND NOT (SELECT is_so FROM touched)"""
    return f"""{_rows_of_days(touched, aggregation, days, ways)}
UNION ALL SELECT NULL, NULL, NULL, NULL, NULL FROM touched WHERE is_so"""


def _rows_of_days(tables: str, aggregation: str, days: str, ways: str) -> str:
    aggregate = AGGREGATES[aggregation]
    if not aggregate.is_per_series:
        return f"""WITH {tables}
SELECT slot_no - 1, group_no, {aggregate.over_rollups}, sum(r.records)::bigint, false FROM {days} GROUP BY {ways}"""
    return f"""WITH {tables}, parts AS (
    SELECT slot_no, group_no, {aggregate.over_rollups} AS value, sum(r.records) AS records
    FROM {days} GROUP BY slot_no, group_no, c.series_id
)
SELECT slot_no - 1, group_no, sum(value), sum(records)::bigint, false FROM parts GROUP BY {ways}"""


def slot_rows_of_known_records(aggregation: str, *, ways: str = EACH) -> str:
    """The same rows out of the records: for hours, and where day sums cannot tell windows apart."""
    aggregate = AGGREGATES[aggregation]
    series = ", u.series_id" if aggregate.is_per_series else ""
    return f"""WITH {_CHOSEN}, {SINCE}, {_PAST}, known AS (
    SELECT u.series_id, u.window_start, u.row_id, u.quantity FROM chosen c CROSS JOIN LATERAL (
        SELECT r.* FROM insights_usagerecord r
        WHERE r.account_id = %(account)s AND r.series_id = c.series_id
            AND r.window_start >= %(start)s AND r.window_start < %(end)s OFFSET 0
    ) u WHERE u.{NOT_SINCE}
    UNION ALL
    SELECT series_id, window_start, row_id, quantity FROM past
    WHERE window_start >= %(start)s AND window_start < %(end)s
), parts AS (
    SELECT width_bucket(u.window_start, %(slot_starts)s::timestamptz[]) AS slot_no, c.group_no,
        {aggregate.over_records} AS value, count(*) AS records, bool_or(c.window_seconds > 3600) AS is_daily
    FROM known u JOIN chosen c ON c.series_id = u.series_id
    GROUP BY 1, 2{series}
)
SELECT slot_no - 1, group_no, sum(value), sum(records)::bigint, bool_or(is_daily) FROM parts GROUP BY {ways}"""


# Of each series the first row that was known; nearly always the first one there is.
FIRST_DAY_KNOWN = f"""
WITH {SINCE}
SELECT (min(f.window_start) AT TIME ZONE %(zone)s)::date FROM (
    SELECT u.window_start FROM unnest(%(series)s::bigint[]) AS c (series_id) CROSS JOIN LATERAL (
        SELECT r.window_start FROM insights_usagerecord r
        WHERE r.account_id = %(account)s AND r.series_id = c.series_id AND r.{NOT_SINCE}
        ORDER BY r.window_start LIMIT 1
    ) u
    UNION ALL
    SELECT min(h.window_start) FROM insights_usagerevision h
    WHERE h.account_id = %(account)s AND {ENDED_SINCE} AND h.{NOT_SINCE}
        AND h.series_id = ANY(%(series)s::bigint[])
) f
"""
# What went from the period, and how many lines came in all since, by which it is decided whether to look at each.
WENT_AND_LINES = f"""
WITH {_CHOSEN}, {SINCE}, {_PAST}
SELECT (SELECT count(*) FROM past WHERE window_start >= %(start)s AND window_start < %(end)s),
    (SELECT coalesce(sum(p.new + p.replaced), 0) FROM insights_batchpart p
     WHERE p.account_id = %(account)s AND p.first_window < %(end)s AND p.last_window_end > %(start)s
        AND (p.batch_id IN (SELECT batch_id FROM since)) IS TRUE)
"""
# What a revert did is named by the batch that it took out; an entry that many batches share names none.
CHANGES_BY_BATCH = f"""
WITH {TOUCHED}, entries AS MATERIALIZED (
    SELECT entry_id, CASE WHEN count(*) = 1 THEN min(batch_id) END AS batch_id, bool_or(is_revert) AS is_revert
    FROM since GROUP BY 1
), moved AS MATERIALIZED (
    SELECT u.entry_id, u.batch_id, 1 AS came, 0 AS went FROM current u
    WHERE (u.entry_id IN (SELECT entry_id FROM after)) IS TRUE
        AND u.window_start >= %(start)s AND u.window_start < %(end)s
    UNION ALL
    SELECT h.ended_by_entry_id, NULL, 0, 1 FROM past h JOIN chosen c ON c.series_id = h.series_id
    WHERE h.window_start >= %(start)s AND h.window_start < %(end)s
), summed AS (
    SELECT CASE WHEN e.is_revert THEN e.batch_id ELSE coalesce(e.batch_id, m.batch_id) END AS batch_id, e.is_revert,
        sum(m.came) AS came, sum(m.went) AS went
    FROM moved m JOIN entries e ON e.entry_id = m.entry_id GROUP BY 1, 2
)
SELECT p.batch_public_id, p.batch_name, p.source_name, p.received_at, s.is_revert, s.came::bigint, s.went::bigint
FROM summed s LEFT JOIN insights_batchpart p ON p.account_id = %(account)s AND p.batch_id = s.batch_id
ORDER BY s.came + s.went DESC, p.received_at DESC, p.batch_id DESC
"""
