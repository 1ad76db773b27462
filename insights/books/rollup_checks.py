"""What must hold of rollups: a new sum of the records, in other words than those that wrote them; constants only."""

from __future__ import annotations

from insights.books.check import Check, count_rows, of_account
from insights.metering.seals import sealed_days_now, seals_now

_ROLLUP = """format('rollup of account %%s, meter %%s, series %%s, day %%s: differs from its records',
    coalesce(r.account_id, d.account_id), coalesce(r.meter_id, d.meter_id), coalesce(r.series_id, d.series_id),
    coalesce(r.day, d.day))"""
# What an archived month seals is held to its seal below; its records are not in the ledger. Asked of a list of days, as
# the clock of an account takes long to ask for every row.
_SEALED = f"sealed AS MATERIALIZED ({sealed_days_now()})"
_IS_OPEN = "NOT EXISTS (SELECT 1 FROM sealed z WHERE z.account_id = {account} AND z.day = {day})"
_IS_ROLLUP_OPEN = _IS_OPEN.format(
    account="coalesce(r.account_id, d.account_id)", day="coalesce(r.day, d.day)"
)
_DAY = "(u.window_start AT TIME ZONE a.billing_zone)::date"
_RECORDS_BY_DAY = f"""
    FROM insights_usagerecord u JOIN accounts_account a ON a.id = u.account_id
    JOIN insights_series s ON s.account_id = u.account_id AND s.id = u.series_id
    JOIN insights_meter m ON m.id = s.meter_id
    WHERE {of_account("u")}
"""
ROLLUPS = Check(
    name="rollups are the sums of their records",
    rows=count_rows("insights_usagerollup"),
    differences=f"""
        WITH {_SEALED}
        SELECT {_ROLLUP}
        FROM (SELECT r.*, m.aggregation FROM insights_usagerollup r JOIN insights_meter m ON m.id = r.meter_id
              WHERE {of_account("r")}) r
        FULL JOIN (
            SELECT u.account_id, s.meter_id, {_DAY} AS day, u.series_id, sum(u.quantity) AS quantity,
                count(*) AS records, count(*) FILTER (WHERE u.quantity > 0) AS used, max(u.quantity) AS maximum,
                max(u.window_start) AS latest_window
            {_RECORDS_BY_DAY} GROUP BY 1, 2, 3, 4
        ) d ON d.account_id = r.account_id AND d.meter_id = r.meter_id AND d.day = r.day AND d.series_id = r.series_id
        WHERE ((r.quantity, r.records, r.maximum) IS DISTINCT FROM (d.quantity, d.records::integer, d.maximum)
          OR (r.aggregation <> 'unique_count' AND r.windows_used <> d.used)
          OR r.latest_window IS DISTINCT FROM (CASE WHEN r.aggregation = 'latest' THEN d.latest_window END)
          OR (r.aggregation <> 'latest' AND r.latest_quantity IS NOT NULL)) AND {_IS_ROLLUP_OPEN}
    """,
)
ROLLUP_MEANINGS = Check(
    name="rollups of unique and latest are their records'",
    rows="SELECT count(*) FROM insights_usagerollup t JOIN insights_meter m ON m.id = t.meter_id "
    f"WHERE m.aggregation IN ('unique_count', 'latest') AND {of_account('t')}",
    differences=f"""
        WITH {_SEALED}
        SELECT {_ROLLUP}
        FROM (SELECT r.* FROM insights_usagerollup r JOIN insights_meter m ON m.id = r.meter_id
              WHERE m.aggregation = 'unique_count' AND {of_account("r")}) r
        FULL JOIN (
            SELECT u.account_id, s.meter_id, {_DAY} AS day, u.series_id,
                count(DISTINCT u.window_start) FILTER (WHERE u.quantity > 0) AS windows
            {_RECORDS_BY_DAY} AND m.aggregation = 'unique_count' GROUP BY 1, 2, 3, 4
        ) d ON d.account_id = r.account_id AND d.meter_id = r.meter_id AND d.day = r.day AND d.series_id = r.series_id
        WHERE r.windows_used IS DISTINCT FROM d.windows::integer AND {_IS_ROLLUP_OPEN}
        UNION ALL
        SELECT {_ROLLUP}
        FROM (SELECT r.* FROM insights_usagerollup r JOIN insights_meter m ON m.id = r.meter_id
              WHERE m.aggregation = 'latest' AND {of_account("r")}) r
        FULL JOIN (
            SELECT DISTINCT ON (u.account_id, s.meter_id, {_DAY}, u.series_id) u.account_id, s.meter_id, {_DAY} AS day,
                u.series_id, u.quantity
            {_RECORDS_BY_DAY} AND m.aggregation = 'latest'
            ORDER BY u.account_id, s.meter_id, {_DAY}, u.series_id, u.window_start DESC, u.row_id DESC
        ) d ON d.account_id = r.account_id AND d.meter_id = r.meter_id AND d.day = r.day AND d.series_id = r.series_id
        WHERE r.latest_quantity IS DISTINCT FROM d.quantity AND {_IS_ROLLUP_OPEN}
    """,
)
_SUM = """format('sum of account %%s, meter %%s, %%s of day %%s: differs from its records',
    coalesce(s.account_id, g.account_id), coalesce(s.meter_id, g.meter_id),
    coalesce(nullif(coalesce(s.key, g.key), ''), 'the whole'), day)"""
# Where the clock shows midnight twice the day begins with the first one, and PostgreSQL names the second.
_MIDNIGHT = """(SELECT min(at) FROM unnest(ARRAY[0, 30, 60]) AS back (minutes)
    CROSS JOIN LATERAL (SELECT (n.day::timestamp AT TIME ZONE n.zone) - make_interval(mins => minutes) AS at) midnight
    WHERE (at AT TIME ZONE n.zone)::date = n.day)"""
# A day counts from the records only when nothing says that it is still to be summed.
_IS_UNSUMMED = """EXISTS (SELECT 1 FROM insights_unsummedday o
    WHERE o.account_id = {row}.account_id AND o.meter_id = {row}.meter_id AND o.day = {row}.day)"""
# Texts are looked at once for each series, and each value of a dimension gets a number: records are grouped by those.
_GROUPS = f"""series AS MATERIALIZED (
    SELECT s.account_id, s.meter_id, s.id, m.aggregation, s.window_seconds, m.dimensions,
        dense_rank() OVER (ORDER BY s.account_id, s.meter_id,
            ARRAY(SELECT s.dimensions ->> k FROM unnest(m.unique_dimensions) k)) AS mark
    FROM insights_series s JOIN insights_meter m ON m.id = s.meter_id WHERE {of_account("s")}
), keys AS MATERIALIZED (
    SELECT account_id, meter_id, id, '' AS key FROM series
    UNION ALL
    SELECT account_id, meter_id, id, unnest(dimensions) FROM series
), places AS MATERIALIZED (
    SELECT k.account_id, k.meter_id, k.id AS series_id, k.key, coalesce(v.value, '') AS value, dense_rank() OVER (
        ORDER BY k.account_id, k.meter_id, k.key COLLATE "C", coalesce(v.value, '') COLLATE "C") AS group_no
    FROM keys k LEFT JOIN insights_seriesdimension v
        ON v.account_id = k.account_id AND v.series_id = k.id AND v.key = k.key
), groups AS MATERIALIZED (
    SELECT DISTINCT group_no, account_id, meter_id, key, value FROM places
)"""
_SUMMED = f"""days AS MATERIALIZED (
    SELECT n.account_id, n.day, {_MIDNIGHT} AS midnight
    FROM (SELECT DISTINCT r.account_id, r.day, a.billing_zone AS zone FROM insights_usagerollup r
          JOIN accounts_account a ON a.id = r.account_id WHERE {of_account("r")}) n
    WHERE {_IS_OPEN.format(account="n.account_id", day="n.day")}
), summed AS MATERIALIZED (
    -- OFFSET keeps each record from being held against every day of its account.
    SELECT n.series_id, n.mark, n.aggregation, n.day, n.window_start, n.row_id, n.quantity, n.added,
        floor(extract(epoch FROM n.window_start - days.midnight) / 3600)::smallint AS hour
    FROM (
        SELECT u.account_id, s.meter_id, u.series_id, s.mark, s.aggregation, {_DAY} AS day, u.window_start, u.row_id,
            u.quantity, CASE s.aggregation WHEN 'count' THEN 1 WHEN 'time_weighted_sum'
                THEN u.quantity * s.window_seconds ELSE u.quantity END AS added
        FROM insights_usagerecord u JOIN accounts_account a ON a.id = u.account_id
        JOIN series s ON s.account_id = u.account_id AND s.id = u.series_id
        WHERE {of_account("u")} OFFSET 0
    ) n
    JOIN days ON days.account_id = n.account_id AND days.day = n.day
    WHERE NOT {_IS_UNSUMMED.format(row="n")}
)"""
# Windows that series with the same marks share are one window.
_HOURS_THAT_ADD = """
    SELECT p.group_no, n.day, n.hour, sum(n.added) AS quantity, count(*) AS records
    FROM summed n JOIN places p ON p.series_id = n.series_id
    WHERE n.aggregation IN ('count', 'time_weighted_sum', 'sum') GROUP BY 1, 2, 3
    UNION ALL
    SELECT group_no, day, hour, count(*) FILTER (WHERE is_used), sum(records) FROM (
        SELECT p.group_no, n.day, n.hour, bool_or(n.quantity > 0) AS is_used, count(*) AS records
        FROM summed n JOIN places p ON p.series_id = n.series_id
        WHERE n.aggregation = 'unique_count' GROUP BY p.group_no, n.day, n.hour, n.mark, n.window_start
    ) windows GROUP BY 1, 2, 3"""


def _of_each_series(hour: str) -> str:
    """What the others come to, by hour or by day: one value of each series first, its peak or its latest."""
    return f"""
    SELECT p.group_no, v.day, v.hour, sum(v.quantity) AS quantity, sum(v.records) AS records FROM (
        SELECT n.series_id, n.day, {hour} AS hour, max(n.quantity) AS quantity, count(*) AS records
        FROM summed n WHERE n.aggregation = 'max' GROUP BY n.series_id, n.day, {hour}
        UNION ALL
        SELECT n.series_id, n.day, {hour}, (array_agg(n.quantity ORDER BY n.window_start DESC, n.row_id DESC))[1],
            count(*)
        FROM summed n WHERE n.aggregation = 'latest' GROUP BY n.series_id, n.day, {hour}
    ) v JOIN places p ON p.series_id = v.series_id GROUP BY 1, 2, 3"""


_DIFFERS = "(s.quantity, s.records::bigint) IS DISTINCT FROM (d.quantity::numeric(48, 9), d.records::bigint)"
SUMS = Check(
    name="sums over series are those of their records",
    rows=count_rows("insights_usagesum"),
    differences=f"""
        WITH {_SEALED}, {_GROUPS}, {_SUMMED}, adding AS MATERIALIZED ({_HOURS_THAT_ADD}), kept AS MATERIALIZED (
            SELECT s.*, g.group_no FROM insights_usagesum s LEFT JOIN groups g USING (account_id, meter_id, key, value)
            WHERE {of_account("s")} AND NOT {_IS_UNSUMMED.format(row="s")}
              AND {_IS_OPEN.format(account="s.account_id", day="s.day")}
        )
        SELECT {_SUM} FROM kept s FULL JOIN (
            SELECT group_no, day, sum(quantity) AS quantity, sum(records) AS records FROM adding GROUP BY 1, 2
            UNION ALL
            SELECT group_no, day, quantity, records FROM ({_of_each_series("NULL::smallint")}) days_of_each
        ) d USING (group_no, day) LEFT JOIN groups g USING (group_no)
        WHERE {_DIFFERS}
        UNION ALL
        SELECT {_SUM} FROM (
            SELECT k.account_id, k.meter_id, k.key, k.day, k.group_no, h.*
            FROM kept k, unnest(k.hours, k.hour_quantities, k.hour_records) AS h (hour, quantity, records)
        ) s FULL JOIN (SELECT * FROM adding UNION ALL {_of_each_series("n.hour")}) d USING (group_no, day, hour)
        LEFT JOIN groups g USING (group_no)
        WHERE {_DIFFERS}
    """,
)
_SEALS_NOW = seals_now(
    months="m.state = 'archived'", accounts="(%(account)s::bigint IS NULL OR a.id = %(account)s)"
)
SEALS = Check(
    name="sealed rollups equal their seals",
    rows=f"SELECT coalesce(sum(n.rows), 0)::bigint FROM ({_SEALS_NOW}) n",
    differences=f"""
        SELECT format('seal of account %%s, month %%s: %%s differs from it', coalesce(s.account_id, n.account_id),
            to_char(coalesce(s.month, n.month), 'YYYY-MM'), coalesce(s.rollup, n.rollup))
        FROM (SELECT * FROM insights_rollupseal s WHERE {of_account("s")}) s
        FULL JOIN ({_SEALS_NOW}) n
            ON n.account_id = s.account_id AND n.month = s.month AND n.rollup = s.rollup
        WHERE (s.rows, s.sha256) IS DISTINCT FROM (n.rows, n.sha256)
    """,
)
ARCHIVED_KNOWN = Check(
    name="archived records are still known",
    rows="SELECT coalesce(sum(records), 0)::bigint FROM insights_usagemonth WHERE state = 'archived'",
    differences="""
        SELECT format('month %%s: %%s of %%s archived records are known', to_char(m.month, 'YYYY-MM'),
            coalesce(k.known, 0), m.records)
        FROM insights_usagemonth m
        LEFT JOIN (SELECT month, sum(cardinality(digests)) AS known FROM insights_archivedseries GROUP BY 1) k
            ON k.month = m.month
        WHERE m.state = 'archived' AND m.records <> coalesce(k.known, 0)
    """,
    is_platform_wide=True,
)
