"""Keeps the sums that pages read, and says up to when they are complete.

Rollups change in the transaction that changes the records, from the rows that ingest left on its stage. New records
add to a day; a day from which a record was taken out, or whose meter cannot be added up, is summed again from the
records themselves. Sums over many series are only marked as no longer right: `sum_operations.py` makes them later.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from accounts.tenancy import connection
from insights.metering.seals import is_sealed_day

# A day's row is added to before any day is summed again: the update holds the row, so that the sum is read
# after every committed writer of that day, and every later writer adds to it.
_ADD = """
    WITH added AS (
    INSERT INTO insights_usagerollup AS r
        (account_id, meter_id, day, series_id, quantity, records, windows_used, maximum)
    SELECT s.account_id, s.meter_id, (s.window_start AT TIME ZONE a.billing_zone)::date, s.series_id,
        sum(s.quantity), count(*), count(*) FILTER (WHERE s.quantity > 0), max(s.quantity)
    FROM ingest_stage s JOIN accounts_account a ON a.id = s.account_id
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
    ON CONFLICT (account_id, meter_id, day, series_id) DO UPDATE SET
        quantity = r.quantity + excluded.quantity,
        records = r.records + excluded.records,
        windows_used = r.windows_used + excluded.windows_used,
        maximum = greatest(r.maximum, excluded.maximum)
    RETURNING r.account_id, r.meter_id, r.day
    )
    INSERT INTO rollup_changed SELECT DISTINCT account_id, meter_id, day FROM added
"""
_CHANGED_DAYS = """
    CREATE TEMP TABLE IF NOT EXISTS rollup_changed (
        account_id bigint, meter_id bigint, day date
    ) ON COMMIT DELETE ROWS;
    CREATE TEMP TABLE IF NOT EXISTS rollup_again (
        account_id bigint, meter_id bigint, day date, series_id bigint
    ) ON COMMIT DELETE ROWS
"""
# Days to be summed again: where a record was taken out, and the new rows of meters that are more than a sum.
# A sender's row ids may share a window, so the used windows of such meters are counted and not added.
_NAME_DAYS = """
    INSERT INTO rollup_again
    SELECT t.account_id, s.meter_id, (t.window_start AT TIME ZONE a.billing_zone)::date, t.series_id
    FROM ingest_taken t JOIN accounts_account a ON a.id = t.account_id
    JOIN insights_series s ON s.account_id = t.account_id AND s.id = t.series_id
    UNION
    SELECT s.account_id, s.meter_id, (s.window_start AT TIME ZONE a.billing_zone)::date, s.series_id
    FROM ingest_stage s JOIN accounts_account a ON a.id = s.account_id JOIN insights_meter m ON m.id = s.meter_id
    WHERE m.aggregation = 'latest' OR (m.aggregation = 'unique_count' AND s.row_id <> '')
"""
# By the same conversion as the adding above: where midnight comes twice, turning the day into an instant would choose
# the second one. The bounds in UTC are wide enough for every zone and let the index be used.
_RECORDS_OF_DAY = """
    FROM insights_usagerecord u
    WHERE u.account_id = d.account_id AND u.series_id = d.series_id
      AND u.window_start >= (d.day - 1)::timestamp AT TIME ZONE 'UTC'
      AND u.window_start < (d.day + 2)::timestamp AT TIME ZONE 'UTC'
      AND (u.window_start AT TIME ZONE a.billing_zone)::date = d.day
"""
_DROP_EMPTY = f"""
    DELETE FROM insights_usagerollup r USING rollup_again d, accounts_account a
    WHERE r.account_id = d.account_id AND r.meter_id = d.meter_id AND r.day = d.day AND r.series_id = d.series_id
      AND a.id = d.account_id AND NOT EXISTS (SELECT 1 {_RECORDS_OF_DAY})
"""
_LOCK_DAYS = """
    SELECT 1 FROM insights_usagerollup r JOIN rollup_again d USING (account_id, meter_id, day, series_id)
    ORDER BY r.account_id, r.meter_id, r.day, r.series_id FOR UPDATE OF r
"""
# Written once, for the days of a chunk and for a whole rebuild, so that both give the same bytes.
_SUM_AGAIN = f"""
    INSERT INTO insights_usagerollup (account_id, meter_id, day, series_id, quantity, records, windows_used, maximum,
        latest_window, latest_quantity)
    SELECT d.account_id, d.meter_id, d.day, d.series_id, summed.quantity, summed.records,
        CASE WHEN m.aggregation = 'unique_count' THEN summed.windows ELSE summed.used END, summed.maximum,
        CASE WHEN m.aggregation = 'latest' THEN summed.latest_window END,
        CASE WHEN m.aggregation = 'latest' THEN summed.latest_quantity END
    FROM rollup_again d JOIN accounts_account a ON a.id = d.account_id JOIN insights_meter m ON m.id = d.meter_id
    CROSS JOIN LATERAL (
        SELECT sum(u.quantity) AS quantity, count(*) AS records, max(u.quantity) AS maximum,
            count(*) FILTER (WHERE u.quantity > 0) AS used,
            count(DISTINCT u.window_start) FILTER (WHERE u.quantity > 0) AS windows,
            max(u.window_start) AS latest_window,
            (array_agg(u.quantity ORDER BY u.window_start DESC, u.row_id DESC))[1] AS latest_quantity
        {_RECORDS_OF_DAY}
    ) summed
    WHERE summed.records > 0 ORDER BY 1, 2, 3, 4
    ON CONFLICT (account_id, meter_id, day, series_id) DO UPDATE SET
        quantity = excluded.quantity, records = excluded.records, windows_used = excluded.windows_used,
        maximum = excluded.maximum, latest_window = excluded.latest_window, latest_quantity = excluded.latest_quantity
"""


# Writers of one day share its name and do not wait for each other, however long one of them takes; who sums the day
# passes over a name that is held. A name that was taken away meanwhile is not held, and the day is named anew.
_NAME_UNSUMMED = """
    WITH changed AS (
        SELECT account_id, meter_id, day FROM rollup_changed
        UNION SELECT account_id, meter_id, day FROM rollup_again
    ), held AS MATERIALIZED (
        SELECT u.account_id, u.meter_id, u.day
        FROM insights_unsummedday u JOIN changed USING (account_id, meter_id, day)
        ORDER BY u.account_id, u.meter_id, u.day, u.id FOR KEY SHARE OF u
    )
    INSERT INTO insights_unsummedday (account_id, meter_id, day)
    SELECT account_id, meter_id, day FROM changed
    WHERE (account_id, meter_id, day) NOT IN (SELECT account_id, meter_id, day FROM held)
"""


def roll_up_stage() -> None:
    """Bring the rollups up to date with the rows of ingest's stage, in the transaction that wrote them."""
    with connection().cursor() as cursor:
        cursor.execute(_CHANGED_DAYS)
        cursor.execute(_ADD)
        cursor.execute(_NAME_DAYS)
        if cursor.rowcount:
            _sum_named_days()
        cursor.execute(_NAME_UNSUMMED)


def _sum_named_days() -> int:
    with connection().cursor() as cursor:
        cursor.execute(_LOCK_DAYS)
        cursor.execute(_DROP_EMPTY)
        cursor.execute(_SUM_AGAIN)
        return cursor.rowcount


def rebuild_rollups(*, account_id: int) -> int:
    """Sum every day of an account again from its records; return the number of days written.

    One account at a time and inside the caller's transaction, since it holds that account's rollups while it reads.
    """
    with connection().cursor() as cursor:
        cursor.execute(_CHANGED_DAYS)
        cursor.execute(_NAME_EVERY_DAY, {"account": account_id})
        days = _sum_named_days()
        cursor.execute(_NAME_UNSUMMED)
    return days


# What an archived month seals has no records to be summed from.
_NAME_EVERY_DAY = f"""
    INSERT INTO rollup_again
    SELECT named.* FROM (
        SELECT account_id, meter_id, day, series_id FROM insights_usagerollup WHERE account_id = %(account)s
        UNION
        SELECT u.account_id, s.meter_id, (u.window_start AT TIME ZONE a.billing_zone)::date, u.series_id
        FROM insights_usagerecord u JOIN insights_series s ON s.account_id = u.account_id AND s.id = u.series_id
        JOIN accounts_account a ON a.id = u.account_id
        WHERE u.account_id = %(account)s
    ) named JOIN accounts_account a ON a.id = named.account_id
    WHERE NOT {is_sealed_day("named.day", zone="a.billing_zone")}
"""
# Nothing is complete beyond the moment when it was received, whatever a sender declares: a mark never falls again.
_RAISE_BY_PARTS = """
    INSERT INTO insights_watermark AS w (account_id, source_id, source_slug, source_name, cadence_seconds, complete_to,
        counts_from, last_window_end, last_received_at, ended_at)
    SELECT p.account_id, s.id, s.slug, s.name, s.cadence_seconds,
        max(least(b.received_at, CASE WHEN p.rejected = 0 AND b.complete_to IS NOT NULL THEN b.complete_to
            ELSE p.last_window_end - make_interval(secs => s.lateness_seconds) END)),
        min(p.first_window), max(p.last_window_end), max(p.received_at), s.ended_at
    FROM insights_batch b JOIN insights_batchpart p ON p.batch_id = b.id JOIN insights_source s ON s.id = b.source_id
    WHERE b.upload_id = %(upload)s AND p.last_window_end IS NOT NULL
    GROUP BY p.account_id, s.id
    ORDER BY p.account_id
    ON CONFLICT (account_id, source_id) DO UPDATE SET
        source_name = excluded.source_name,
        cadence_seconds = excluded.cadence_seconds,
        complete_to = greatest(w.complete_to, excluded.complete_to),
        counts_from = least(w.counts_from, excluded.counts_from),
        last_window_end = greatest(w.last_window_end, excluded.last_window_end),
        last_received_at = greatest(w.last_received_at, excluded.last_received_at)
"""
_RAISE_ALL = """
    UPDATE insights_watermark SET complete_to = greatest(complete_to, %(complete_to)s)
    WHERE id IN (
        SELECT w.id FROM insights_watermark w
        WHERE w.source_id = %(source)s AND coalesce(w.complete_to < %(complete_to)s, true) AND NOT EXISTS (
            SELECT 1 FROM insights_batch b JOIN insights_batchpart p ON p.batch_id = b.id
            WHERE b.upload_id = %(upload)s AND p.account_id = w.account_id AND p.rejected > 0
        )
        ORDER BY w.account_id FOR UPDATE
    )
"""
_UPLOAD_IS_DONE = """
    SELECT bool_or(is_last_part) AND bool_and(state = 'done'),
        max(CASE WHEN complete_to IS NOT NULL THEN least(complete_to, received_at) END)
    FROM insights_batch WHERE upload_id = %s
"""


def move_watermarks_together(*, upload_ids: Iterable[uuid.UUID], source_id: int) -> None:
    """Raise the watermarks of several uploads of a source that are done in one transaction."""
    with connection().cursor() as cursor:
        # All at once in the order of accounts; upload by upload they would be met in no order.
        cursor.execute(
            "SELECT 1 FROM insights_watermark WHERE source_id = %s ORDER BY account_id FOR UPDATE",
            [source_id],
        )
    for upload_id in upload_ids:
        move_watermarks(upload_id=upload_id, source_id=source_id)


def move_watermarks(*, upload_id: uuid.UUID, source_id: int) -> None:
    """Raise the watermarks of an upload's accounts once its last part is done; they never fall.

    What an upload declares complete counts for every account of the source, but for those with refused lines in it.
    Else it is the end of the last window less the source's lateness, account by account.
    """
    with connection().cursor() as cursor:
        # Two parts that finish together must not each take the other for unfinished.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('upload'), hashtext(%s))", [str(upload_id)])
        cursor.execute(_UPLOAD_IS_DONE, [upload_id])
        is_done, complete_to = cursor.fetchone()
        if not is_done:
            return
        cursor.execute(_RAISE_BY_PARTS, {"upload": upload_id})
        if complete_to is not None:
            cursor.execute(_RAISE_ALL, {"source": source_id, "upload": upload_id, "complete_to": complete_to})
