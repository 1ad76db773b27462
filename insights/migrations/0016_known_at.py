"""Usage can be read as it was known at a ledger position.

The ledger's entries are the platform's, and the web role has no right to them. Two functions with the owner's rights
answer about one account, the one of the transaction: what its position was by an instant, and which entries came
since a position. They name no entry of a batch that has nothing of the account.
"""

from __future__ import annotations

from django.db import migrations, models

# A backfill's entry names no batch; it concerns those who have a part of one of its batches.
SHARES = """EXISTS (
        SELECT FROM public.insights_batchpart p JOIN public.insights_batch b ON b.id = p.batch_id
        WHERE p.account_id = mine AND b.backfill_id = {entry}.backfill_id
    )"""
MINE = "nullif(pg_catalog.current_setting('portal.account', true), '')::bigint"

KNOWN_POSITION = f"""
CREATE FUNCTION portal_known_position(instant timestamptz, highest bigint)
RETURNS TABLE (known_position bigint, changed_at timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    mine bigint := {MINE};
    bound bigint;
BEGIN
    SELECT l.position INTO bound FROM public.insights_ledgerentry l
    WHERE l.committed_at <= instant ORDER BY l.committed_at DESC, l.position DESC LIMIT 1;
    IF bound IS NULL OR mine IS NULL THEN
        RETURN;
    END IF;
    bound := least(bound, highest);
    -- An account that is sent usage all the time is found within a few entries of the ledger.
    RETURN QUERY
    SELECT e.position, e.committed_at FROM (
        SELECT l.position, l.committed_at, l.batch_id, l.backfill_id FROM public.insights_ledgerentry l
        WHERE l.position <= bound ORDER BY l.position DESC LIMIT 2000
    ) e
    WHERE EXISTS (
        SELECT FROM public.insights_batchpart p WHERE p.account_id = mine AND p.batch_id = e.batch_id
    ) OR (e.backfill_id IS NOT NULL AND {SHARES.format(entry="e")})
    ORDER BY e.position DESC LIMIT 1;
    IF FOUND THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT e.position, e.committed_at FROM (
        SELECT l.position, l.committed_at FROM public.insights_batchpart p
        JOIN public.insights_ledgerentry l ON l.batch_id = p.batch_id
        WHERE p.account_id = mine AND l.position <= bound
        UNION ALL
        SELECT l.position, l.committed_at FROM public.insights_ledgerentry l
        WHERE l.backfill_id IS NOT NULL AND l.position <= bound AND {SHARES.format(entry="l")}
    ) e
    ORDER BY e.position DESC LIMIT 1;
END
$$;
REVOKE ALL ON FUNCTION portal_known_position(timestamptz, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION portal_known_position(timestamptz, bigint) TO portal_web;
"""

ENTRIES_AFTER = f"""
CREATE FUNCTION portal_entries_after(after bigint)
RETURNS TABLE (entry_id bigint, batch_id bigint, is_revert boolean, was_begun boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    mine bigint := {MINE};
BEGIN
    RETURN QUERY
    SELECT l.id, l.batch_id, l.kind = 'revert', EXISTS (
        SELECT FROM public.insights_ledgerentry e WHERE e.batch_id = l.batch_id AND e.position <= after
    ) OR EXISTS (
        SELECT FROM public.insights_batch b JOIN public.insights_ledgerentry e ON e.backfill_id = b.backfill_id
        WHERE b.id = l.batch_id AND e.position <= after
    ) FROM public.insights_ledgerentry l
    WHERE l.position > after AND EXISTS (
        SELECT FROM public.insights_batchpart p WHERE p.account_id = mine AND p.batch_id = l.batch_id
    );
    IF EXISTS (SELECT FROM public.insights_ledgerentry l WHERE l.backfill_id IS NOT NULL AND l.position > after) THEN
        RETURN QUERY
        SELECT l.id, p.batch_id, false, false
        FROM public.insights_ledgerentry l JOIN public.insights_batch b ON b.backfill_id = l.backfill_id
        JOIN public.insights_batchpart p ON p.account_id = mine AND p.batch_id = b.id
        WHERE l.backfill_id IS NOT NULL AND l.position > after;
    END IF;
END
$$;
REVOKE ALL ON FUNCTION portal_entries_after(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION portal_entries_after(bigint) TO portal_web;
"""


class Migration(migrations.Migration):
    dependencies = [("insights", "0015_backfill")]
    operations = [
        migrations.AddIndex(
            model_name="ledgerentry",
            index=models.Index(fields=["committed_at", "position"], name="ledgerentry_committed"),
        ),
        migrations.RunSQL(KNOWN_POSITION, "DROP FUNCTION portal_known_position(timestamptz, bigint)"),
        migrations.RunSQL(ENTRIES_AFTER, "DROP FUNCTION portal_entries_after(bigint)"),
    ]
