"""Months of the ledger can leave the database: what is kept of them, and the owner's functions that move them.

A detached month keeps its forced row-level security and has neither a grant nor a policy for any role that logs in.
Each function refuses whatever the table of months does not say, so that a mistake elsewhere takes no record away.
"""

from __future__ import annotations

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models
from django.db.models import Q

from accounts.row_security import secure_table

PLAIN = {"db_index": False, "on_delete": django.db.models.deletion.PROTECT, "related_name": "+"}

POLICIES = "\n".join(secure_table(table) for table in ("insights_rollupseal", "insights_archivedseries"))
KEYS = """
ALTER TABLE insights_archivedseries ADD CONSTRAINT archivedseries_same_account
    FOREIGN KEY (account_id, series_id) REFERENCES insights_series (account_id, id);
"""
# Eight bytes of a hash have nothing to compress.
STORAGE = "ALTER TABLE insights_archivedseries ALTER COLUMN digests SET STORAGE EXTERNAL;"

_OPEN = """
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    first date := pg_catalog.date_trunc('month', month)::date;
    partition text := 'insights_usagerecord_' || to_char(first, 'YYYYMM');
    detached text := partition || '_detached';
    known public.insights_usagemonth%ROWTYPE;
"""
ENSURE = """
CREATE OR REPLACE FUNCTION portal_ensure_month(month date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
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
    -- An archived month has no partition until it is restored.
    IF EXISTS (SELECT 1 FROM public.insights_usagemonth m WHERE m.month = first AND m.state = 'archived') THEN
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
"""
DETACH = f"""
CREATE FUNCTION portal_detach_month(month date) RETURNS bigint
{_OPEN}
    found bigint;
BEGIN
    SELECT * INTO known FROM public.insights_usagemonth m WHERE m.month = first FOR UPDATE;
    IF known.id IS NULL OR known.state <> 'archived' OR known.file_sha256 = '' THEN
        RAISE EXCEPTION 'month % has no archive', first USING ERRCODE = '55000';
    END IF;
    IF first + interval '14 months' > now() AT TIME ZONE 'UTC' THEN
        RAISE EXCEPTION 'month % ended less than 13 months ago', first USING ERRCODE = '55000';
    END IF;
    IF to_regclass('public.' || detached) IS NOT NULL THEN
        RAISE EXCEPTION 'month % was detached before and its table is still there', first USING ERRCODE = '55000';
    END IF;
    EXECUTE format('SELECT count(*) FROM public.%I', partition) INTO found;
    IF found <> known.records THEN
        RAISE EXCEPTION 'month % has % records, its archive %', first, found, known.records USING ERRCODE = '55000';
    END IF;
    -- From here to the commit nobody reads usage records; so the caller commits at once.
    EXECUTE format('ALTER TABLE public.insights_usagerecord DETACH PARTITION public.%I', partition);
    EXECUTE format('ALTER TABLE public.%I RENAME TO %I', partition, detached);
    RETURN found;
END
$$;
"""
REATTACH = f"""
CREATE FUNCTION portal_reattach_month(month date) RETURNS boolean
{_OPEN}
BEGIN
    SELECT * INTO known FROM public.insights_usagemonth m WHERE m.month = first FOR UPDATE;
    IF known.id IS NULL OR known.state <> 'restored' THEN
        RAISE EXCEPTION 'month % is not being restored', first USING ERRCODE = '55000';
    END IF;
    IF to_regclass('public.' || detached) IS NULL OR to_regclass('public.' || partition) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('ALTER TABLE public.%I RENAME TO %I', detached, partition);
    EXECUTE format('ALTER TABLE public.insights_usagerecord ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                   partition, first || ' 00:00:00+00', (first + interval '1 month')::date || ' 00:00:00+00');
    RETURN true;
END
$$;
"""
DROP = f"""
CREATE FUNCTION portal_drop_detached_month(month date) RETURNS boolean
{_OPEN}
BEGIN
    SELECT * INTO known FROM public.insights_usagemonth m WHERE m.month = first FOR UPDATE;
    IF known.id IS NULL OR known.state NOT IN ('archived', 'restored') OR known.file_sha256 = '' THEN
        RAISE EXCEPTION 'month % has no archive', first USING ERRCODE = '55000';
    END IF;
    IF to_regclass('public.' || detached) IS NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('DROP TABLE public.%I', detached);
    RETURN true;
END
$$;
"""
RIGHTS = "\n".join(
    f"REVOKE ALL ON FUNCTION {name}(date) FROM PUBLIC; GRANT EXECUTE ON FUNCTION {name}(date) TO portal_worker;"
    for name in ("portal_detach_month", "portal_reattach_month", "portal_drop_detached_month")
)


class Migration(migrations.Migration):
    dependencies = [("insights", "0016_known_at")]
    operations = [
        migrations.CreateModel(
            name="UsageMonth",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "month",
                    models.DateField(
                        help_text="Its first day; months of the ledger are in UTC.", unique=True
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("attached", "Attached"),
                            ("sealing", "Sealing"),
                            ("archived", "Archived"),
                            ("restored", "Restored"),
                        ],
                        default="attached",
                        max_length=10,
                    ),
                ),
                (
                    "begun_at",
                    models.DateTimeField(help_text="When the last archiving began.", null=True),
                ),
                ("archived_at", models.DateTimeField(null=True)),
                ("archived_by", models.CharField(blank=True, default="", max_length=254)),
                ("reason", models.CharField(blank=True, default="", max_length=200)),
                ("position", models.BigIntegerField(null=True)),
                ("records", models.BigIntegerField(default=0)),
                ("plain_bytes", models.BigIntegerField(default=0)),
                ("plain_sha256", models.CharField(blank=True, default="", max_length=64)),
                ("file_name", models.CharField(blank=True, default="", max_length=200)),
                ("file_bytes", models.BigIntegerField(default=0)),
                ("file_sha256", models.CharField(blank=True, default="", max_length=64)),
                ("accounts", models.IntegerField(default=0)),
                ("rollups", models.BigIntegerField(default=0)),
                ("seal_sha256", models.CharField(blank=True, default="", max_length=64)),
                (
                    "dropped_at",
                    models.DateTimeField(help_text="When the detached table was dropped.", null=True),
                ),
                ("restored_at", models.DateTimeField(null=True)),
                ("restored_by", models.CharField(blank=True, default="", max_length=254)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        name="usagemonth_state_known",
                        condition=Q(state__in=["attached", "sealing", "archived", "restored"]),
                    ),
                    models.CheckConstraint(name="usagemonth_first_day", condition=Q(month__day=1)),
                    models.CheckConstraint(
                        name="usagemonth_archived_with_file",
                        condition=~Q(state="archived")
                        | (
                            Q(archived_at__isnull=False)
                            & ~Q(reason="")
                            & ~Q(file_name="")
                            & ~Q(file_sha256="")
                        ),
                    ),
                ]
            },
        ),
        migrations.CreateModel(
            name="RollupSeal",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "account_id",
                        "month",
                        "rollup",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("account", models.ForeignKey(to="accounts.account", **PLAIN)),
                ("month", models.DateField()),
                ("rollup", models.CharField(help_text="The table.", max_length=60)),
                ("rows", models.IntegerField()),
                ("sha256", models.CharField(max_length=64)),
            ],
        ),
        migrations.CreateModel(
            name="ArchivedSeries",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "account_id",
                        "series_id",
                        "month",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("account", models.ForeignKey(to="accounts.account", **PLAIN)),
                ("series", models.ForeignKey(to="insights.series", db_constraint=False, **PLAIN)),
                ("month", models.DateField()),
                (
                    "digests",
                    django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), size=None),
                ),
            ],
        ),
        migrations.RunSQL(
            [POLICIES, KEYS, STORAGE, ENSURE, DETACH, REATTACH, DROP, RIGHTS], migrations.RunSQL.noop
        ),
    ]
