"""What must hold of usage that no subscription covers: it is on the list of such usage; constants only."""

from __future__ import annotations

from insights.books.check import Check, count_rows, of_account

# Every stretch of time of an account in which it has no subscription, and series of its priced and charged meters that
# were used on days of it. From there the records themselves; what came lately the next look at the list will find.
UNCOVERED = Check(
    name="usage that no subscription covers is listed",
    rows=count_rows("insights_uncoveredusage"),
    differences=f"""
        WITH gaps AS MATERIALIZED (
            SELECT s.account_id, a.billing_zone,
                unnest('{{(,)}}'::tstzmultirange - range_agg(tstzrange(s.starts_at, s.ends_at))) AS gap
            FROM insights_subscription s JOIN accounts_account a ON a.id = s.account_id
            WHERE {of_account("s")} AND (a.closed_at IS NULL OR s.starts_at < a.closed_at) GROUP BY 1, 2
        ), priced AS MATERIALIZED (
            SELECT DISTINCT p.account_id, m.id AS meter_id FROM insights_subscriptionphase p
            JOIN insights_planversion v ON v.plan_id = p.plan_id AND v.published_at IS NOT NULL
            JOIN insights_price r ON r.plan_version_id = v.id
            JOIN insights_meter m ON m.key = r.meter_key OR jsonb_path_exists(jsonb_build_array(r.terms, r.cells),
                'strict $.**.count_meter ? (@ == $key)', jsonb_build_object('key', m.key))
            WHERE {of_account("p")} AND p.cancelled_at IS NULL
        ), used AS MATERIALIZED (
            SELECT DISTINCT g.account_id, g.gap, r.meter_id, r.series_id
            FROM gaps g JOIN insights_usagerollup r ON r.account_id = g.account_id
            JOIN priced p ON p.account_id = r.account_id AND p.meter_id = r.meter_id
            JOIN insights_series c ON c.account_id = r.account_id AND c.id = r.series_id
            JOIN insights_source b ON b.id = c.source_id AND b.billable
            WHERE g.gap && tstzrange(r.day::timestamp AT TIME ZONE g.billing_zone,
                (r.day + 1)::timestamp AT TIME ZONE g.billing_zone)
        ), found AS (
            SELECT u.account_id, u.meter_id, lower(u.gap) AS begins_at, count(*) AS records
            FROM used u CROSS JOIN LATERAL (
                SELECT r.entry_id FROM insights_usagerecord r
                WHERE r.account_id = u.account_id AND r.series_id = u.series_id
                  AND r.window_start >= coalesce(lower(u.gap), '-infinity')
                  AND r.window_start < coalesce(upper(u.gap), 'infinity') OFFSET 0
            ) r JOIN insights_ledgerentry e ON e.id = r.entry_id
            WHERE e.committed_at < now() - interval '2 hours' GROUP BY 1, 2, 3
        )
        SELECT format('account %%s, meter %%s: %%s records that no subscription covers are not listed',
            f.account_id, f.meter_id, f.records)
        FROM found f LEFT JOIN insights_uncoveredusage l ON l.account_id = f.account_id AND l.meter_id = f.meter_id
            AND l.begins_at IS NOT DISTINCT FROM f.begins_at
        WHERE l.id IS NULL
    """,
)
