"""The partitioned ledger, row-level security, composite keys, and the two functions with the owner's rights."""

from __future__ import annotations

from django.db import migrations

from accounts.row_security import secure_table

STAFF = ("portal_staff",)

# No foreign key from records to series: checked per row it costs a fifth of the ingest, and the same transaction
# that writes the records has read or made the series. verify_books compares them.
RECORDS = """
CREATE TABLE insights_usagerecord (
    account_id bigint NOT NULL,
    series_id bigint NOT NULL,
    window_start timestamptz NOT NULL,
    entry_id bigint NOT NULL,
    batch_id bigint NOT NULL,
    line_no integer NOT NULL,
    revision integer NOT NULL CHECK (revision >= 1),
    quantity numeric(28, 9) NOT NULL CHECK (quantity <> 'NaN'),
    row_id text NOT NULL DEFAULT '',
    PRIMARY KEY (account_id, series_id, window_start, row_id)
) PARTITION BY RANGE (window_start);

CREATE TABLE insights_usageidentity (
    account_id bigint NOT NULL,
    source_id bigint NOT NULL,
    row_id text NOT NULL CHECK (row_id <> ''),
    series_id bigint NOT NULL,
    window_start timestamptz NOT NULL,
    PRIMARY KEY (account_id, source_id, row_id)
) PARTITION BY HASH (account_id);
"""

IDENTITY_PARTITIONS = "".join(
    f"CREATE TABLE insights_usageidentity_{part} PARTITION OF insights_usageidentity "
    f"FOR VALUES WITH (MODULUS 8, REMAINDER {part});\n"
    f"ALTER TABLE insights_usageidentity_{part} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;\n"
    f"CREATE POLICY every_row_portal_owner ON insights_usageidentity_{part} TO portal_owner "
    "USING (true) WITH CHECK (true);\n"
    for part in range(8)
)

TENANT_TABLES = [
    "insights_series",
    "insights_seriesdimension",
    "insights_usagerecord",
    "insights_usagerevision",
    "insights_usageidentity",
    "insights_usagerollup",
    "insights_lineverdict",
    "insights_download",
]
# Operational facts (counts, lag, codes) that staff see without looking into an account; grants hide the cells.
TENANT_TABLES_STAFF_COUNT = ["insights_watermark", "insights_batchpart", "insights_rejectedline"]

POLICIES = "\n".join(
    [secure_table(table) for table in TENANT_TABLES]
    + [secure_table(table, also_for=STAFF) for table in TENANT_TABLES_STAFF_COUNT]
)
# The intake role reads the refused lines of a receipt; it never reads usage.
INTAKE_POLICIES = """
CREATE POLICY receipts_portal_intake ON insights_rejectedline FOR SELECT TO portal_intake USING (true);
"""

KEYS = "\n".join(
    f"ALTER TABLE {table} ADD CONSTRAINT {table.removeprefix('insights_')}_same_account "
    "FOREIGN KEY (account_id, series_id) REFERENCES insights_series (account_id, id);"
    for table in ["insights_seriesdimension", "insights_usagerevision", "insights_usagerollup"]
)

# numeric(28, 9) refuses infinity but takes NaN, and one NaN makes every sum NaN.
NUMBERS = """
ALTER TABLE insights_usagerevision ADD CONSTRAINT usagerevision_number CHECK (quantity <> 'NaN');
ALTER TABLE insights_usagerollup ADD CONSTRAINT usagerollup_number CHECK (quantity <> 'NaN');
"""

ENSURE_MONTH = """
CREATE FUNCTION portal_ensure_month(month date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    first date := pg_catalog.date_trunc('month', month)::date;
    partition text := 'insights_usagerecord_' || to_char(first, 'YYYYMM');
BEGIN
    IF first < DATE '2000-01-01' OR first > (now() + interval '24 months')::date THEN
        RAISE EXCEPTION 'no partition for %', month USING ERRCODE = '22008';
    END IF;
    IF to_regclass('public.' || partition) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('portal_ensure_month'));
    IF to_regclass('public.' || partition) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE public.%I (LIKE public.insights_usagerecord INCLUDING DEFAULTS INCLUDING CONSTRAINTS)',
                   partition);
    EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', partition);
    EXECUTE format('CREATE POLICY every_row_portal_owner ON public.%I TO portal_owner USING (true) WITH CHECK (true)',
                   partition);
    -- Attached afterwards: CREATE ... PARTITION OF would lock out every reader of the parent.
    EXECUTE format('ALTER TABLE public.insights_usagerecord ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                   partition, first || ' 00:00:00+00', (first + interval '1 month')::date || ' 00:00:00+00');
    RETURN true;
END
$$;
REVOKE ALL ON FUNCTION portal_ensure_month(date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION portal_ensure_month(date) TO portal_worker;
"""

# The one look-up that has to come before any account is known. It answers for an exact prefix and never lists.
FIND_KEY = """
CREATE FUNCTION portal_find_key(wanted text)
RETURNS TABLE (kind text, key_id bigint, account_id bigint, source_id bigint, source_slug text, key_name text,
               secret_sha256 bytea, scopes jsonb, expires_at timestamptz, revoked_at timestamptz, account_state text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    SELECT 'account', k.id, k.account_id, NULL::bigint, NULL::text, k.name::text, k.secret_sha256, k.scopes,
           k.expires_at, k.revoked_at, a.state::text
    FROM public.accounts_apikey k JOIN public.accounts_account a ON a.id = k.account_id
    WHERE k.prefix = wanted
    UNION ALL
    SELECT 'source', k.id, s.account_id, k.source_id, s.slug::text, k.name::text, k.secret_sha256,
           '["usage:write"]'::jsonb, k.expires_at, k.revoked_at, CASE WHEN s.enabled THEN 'active' ELSE 'closed' END
    FROM public.insights_sourcekey k JOIN public.insights_source s ON s.id = k.source_id
    WHERE k.prefix = wanted
$$;
REVOKE ALL ON FUNCTION portal_find_key(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION portal_find_key(text) TO portal_web;
"""

# A meter's meaning and a ledger position, once given, stay what they were.
FIXED = """
CREATE FUNCTION portal_refuse_new_meaning() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.key, NEW.version, NEW.unit, NEW.grain_seconds, NEW.aggregation, NEW.dimensions, NEW.unique_dimensions)
       IS DISTINCT FROM
       (OLD.key, OLD.version, OLD.unit, OLD.grain_seconds, OLD.aggregation, OLD.dimensions, OLD.unique_dimensions) THEN
        RAISE EXCEPTION 'a changed meter is a new version' USING ERRCODE = '42501';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER meter_keeps_meaning BEFORE UPDATE ON insights_meter
    FOR EACH ROW EXECUTE FUNCTION portal_refuse_new_meaning();
CREATE FUNCTION portal_refuse_new_position() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.position IS NOT NULL THEN
        RAISE EXCEPTION 'a ledger position is final' USING ERRCODE = '42501';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER ledgerentry_position_final BEFORE UPDATE ON insights_ledgerentry
    FOR EACH ROW EXECUTE FUNCTION portal_refuse_new_position();
REVOKE ALL ON FUNCTION portal_refuse_new_meaning() FROM PUBLIC;
REVOKE ALL ON FUNCTION portal_refuse_new_position() FROM PUBLIC;
INSERT INTO insights_ledgerhead (id, position) VALUES (1, 0);
"""


class Migration(migrations.Migration):
    dependencies = [("insights", "0001_initial"), ("accounts", "0002_row_security")]
    operations = [
        migrations.RunSQL(statement)
        for statement in [
            RECORDS,
            IDENTITY_PARTITIONS,
            POLICIES,
            INTAKE_POLICIES,
            KEYS,
            NUMBERS,
            ENSURE_MONTH,
            FIND_KEY,
            FIXED,
        ]
    ]
