"""What must hold of rollups: a new sum of the records, in other words than those that wrote them; constants only."""

from __future__ import annotations

from insights.books.check import Check, count_rows, of_account
from insights.metering.seals import is_sealed_day, seals_now

_ROLLUP = """format('rollup of account %%s, meter %%s, series %%s, day %%s: differs from its records',
    coalesce(r.account_id, d.account_id), coalesce(r.meter_id, d.meter_id), coalesce(r.series_id, d.series_id),
    coalesce(r.day, d.day))"""
# What an archived month seals is held to its seal below; its records are not in the ledger.
_IS_OPEN = f"""EXISTS (SELECT 1 FROM accounts_account a WHERE a.id = coalesce(r.account_id, d.account_id)
    AND NOT {is_sealed_day("coalesce(r.day, d.day)", zone="a.billing_zone")})"""
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
          OR (r.aggregation <> 'latest' AND r.latest_quantity IS NOT NULL)) AND {_IS_OPEN}
    """,
)
ROLLUP_MEANINGS = Check(
    name="rollups of unique and latest are their records'",
    rows="SELECT count(*) FROM insights_usagerollup t JOIN insights_meter m ON m.id = t.meter_id "
    f"WHERE m.aggregation IN ('unique_count', 'latest') AND {of_account('t')}",
    differences=f"""
        SELECT {_ROLLUP}
        FROM (SELECT r.* FROM insights_usagerollup r JOIN insights_meter m ON m.id = r.meter_id
              WHERE m.aggregation = 'unique_count' AND {of_account("r")}) r
        FULL JOIN (
            SELECT u.account_id, s.meter_id, {_DAY} AS day, u.series_id,
                count(DISTINCT u.window_start) FILTER (WHERE u.quantity > 0) AS windows
            {_RECORDS_BY_DAY} AND m.aggregation = 'unique_count' GROUP BY 1, 2, 3, 4
        ) d ON d.account_id = r.account_id AND d.meter_id = r.meter_id AND d.day = r.day AND d.series_id = r.series_id
        WHERE r.windows_used IS DISTINCT FROM d.windows::integer AND {_IS_OPEN}
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
        WHERE r.latest_quantity IS DISTINCT FROM d.quantity AND {_IS_OPEN}
    """,
)
_SUM = """format('sum of account %%s, meter %%s, %%s of day %%s: differs from its records',
    account_id, meter_id, coalesce(nullif(key, ''), 'the whole'), day)"""
# Where the clock shows midnight twice the day begins with the first one, and PostgreSQL names the second.
_MIDNIGHT = """(SELECT min(at) FROM unnest(ARRAY[0, 30, 60]) AS back (minutes)
    CROSS JOIN LATERAL (SELECT (n.day::timestamp AT TIME ZONE n.zone) - make_interval(mins => minutes) AS at) midnight
    WHERE (at AT TIME ZONE n.zone)::date = n.day)"""
# A day counts from the records only when nothing says that it is still to be summed.
_SUMMED_RECORDS = f"""
    SELECT n.*, floor(extract(epoch FROM n.window_start - days.midnight) / 3600)::smallint AS hour
    FROM (
        SELECT u.account_id, s.meter_id, {_DAY} AS day, a.billing_zone AS zone, m.aggregation, s.window_seconds,
            u.series_id, u.window_start, u.row_id, u.quantity,
            ARRAY(SELECT s.dimensions ->> k FROM unnest(m.unique_dimensions) k) AS marks
        {_RECORDS_BY_DAY}
    ) n
    JOIN (
        SELECT n.account_id, n.day, {_MIDNIGHT} AS midnight
        FROM (SELECT DISTINCT r.account_id, r.day, a.billing_zone AS zone FROM insights_usagerollup r
              JOIN accounts_account a ON a.id = r.account_id WHERE {of_account("r")}) n
    ) days ON days.account_id = n.account_id AND days.day = n.day
    WHERE NOT EXISTS (SELECT 1 FROM insights_unsummedday o
        WHERE o.account_id = n.account_id AND o.meter_id = n.meter_id AND o.day = n.day)
      AND NOT {is_sealed_day("n.day", zone="n.zone")}
"""
_KEYS = """CROSS JOIN LATERAL (
        SELECT '' AS key, '' AS value
        UNION ALL
        SELECT k, coalesce((SELECT v.value FROM insights_seriesdimension v WHERE v.account_id = n.account_id
            AND v.series_id = n.series_id AND v.key = k), '')
        FROM insights_meter m CROSS JOIN unnest(m.dimensions) AS k WHERE m.id = n.meter_id
    ) kept"""


def _of_stretch(hour: str) -> str:
    """What a sum comes to, by hour or by day: one value of each series first, or distinct windows."""
    places = f"n.account_id, n.meter_id, kept.key, kept.value, n.day, {hour}"
    return f"""
    SELECT account_id, meter_id, key, value, day, hour, sum(quantity) AS quantity, sum(records) AS records FROM (
        SELECT {places} AS hour, n.series_id, count(*) AS records, CASE n.aggregation
            WHEN 'count' THEN count(*) WHEN 'time_weighted_sum' THEN sum(n.quantity * n.window_seconds)
            WHEN 'max' THEN max(n.quantity) WHEN 'sum' THEN sum(n.quantity)
            ELSE (array_agg(n.quantity ORDER BY n.window_start DESC, n.row_id DESC))[1] END AS quantity
        FROM summed n {_KEYS} WHERE n.aggregation <> 'unique_count' GROUP BY {places}, n.series_id, n.aggregation
    ) of_series GROUP BY 1, 2, 3, 4, 5, 6
    UNION ALL
    SELECT {places}, count(DISTINCT (n.marks, n.window_start)) FILTER (WHERE n.quantity > 0), count(*)
    FROM summed n {_KEYS} WHERE n.aggregation = 'unique_count' GROUP BY {places}"""


SUMS = Check(
    name="sums over series are those of their records",
    rows=count_rows("insights_usagesum"),
    differences=f"""
        WITH summed AS MATERIALIZED ({_SUMMED_RECORDS}), kept AS MATERIALIZED (
            SELECT s.* FROM insights_usagesum s JOIN accounts_account a ON a.id = s.account_id
            WHERE {of_account("s")} AND NOT {is_sealed_day("s.day", zone="a.billing_zone")} AND NOT EXISTS (
                SELECT 1 FROM insights_unsummedday o
                WHERE o.account_id = s.account_id AND o.meter_id = s.meter_id AND o.day = s.day)
        )
        SELECT {_SUM} FROM kept s FULL JOIN ({_of_stretch("NULL::smallint")}) d
            USING (account_id, meter_id, key, value, day)
        WHERE (s.quantity, s.records::bigint) IS DISTINCT FROM (d.quantity::numeric(48, 9), d.records::bigint)
        UNION ALL
        SELECT {_SUM} FROM (
            SELECT k.account_id, k.meter_id, k.key, k.value, k.day, h.*
            FROM kept k, unnest(k.hours, k.hour_quantities, k.hour_records) AS h (hour, quantity, records)
        ) s FULL JOIN ({_of_stretch("n.hour")}) d USING (account_id, meter_id, key, value, day, hour)
        WHERE (s.quantity, s.records::bigint) IS DISTINCT FROM (d.quantity::numeric(48, 9), d.records::bigint)
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
