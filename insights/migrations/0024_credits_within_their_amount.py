"""No credit is used beyond its amount, whatever forgets to take the account's lock."""

from __future__ import annotations

from django.db import migrations

# The owner of the tables, as which only migrations run, is let through, as everywhere.
# Two that use one credit at once wait for each other here, and the second sees the first one's use, because each
# statement of a transaction that is read committed begins with a look of its own. In others it would not.
GUARD = """
CREATE FUNCTION portal_keep_credit() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    beyond bigint;
BEGIN
    IF current_user = 'portal_owner' THEN
        RETURN NULL;
    END IF;
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'credits are used in transactions that are read committed' USING ERRCODE = '25001';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('portal credit ' || used.grant_id, 0))
    FROM (SELECT DISTINCT grant_id FROM added ORDER BY grant_id) used;
    SELECT g.id INTO beyond FROM public.insights_creditgrant g
    JOIN (SELECT DISTINCT account_id, grant_id FROM added) a ON a.account_id = g.account_id AND a.grant_id = g.id
    CROSS JOIN LATERAL (
        SELECT sum(u.amount_minor) AS minor FROM public.insights_credituse u
        WHERE u.account_id = g.account_id AND u.grant_id = g.id
    ) used
    WHERE used.minor NOT BETWEEN 0 AND g.amount_minor LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the uses of credit % do not add to between nothing and its amount', beyond
            USING ERRCODE = '23514';
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION portal_keep_credit() FROM PUBLIC;
CREATE TRIGGER credits_stay_within AFTER INSERT ON insights_credituse
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION portal_keep_credit();
"""
DROP = """
DROP TRIGGER credits_stay_within ON insights_credituse;
DROP FUNCTION portal_keep_credit();
"""


class Migration(migrations.Migration):
    """One trigger."""

    dependencies = [("insights", "0023_lines_by_what_they_correct")]
    operations = [migrations.RunSQL(GUARD, DROP)]
