"""What is paid out to closed accounts: a table, and uses of credits that it is made of."""

from __future__ import annotations

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models
from django.db.models import Q

from accounts.row_security import secure_table

POLICIES = secure_table("insights_payout", also_for=("portal_staff",))
KEYS = """
ALTER TABLE insights_credituse ADD CONSTRAINT credituse_payout_id_same_account FOREIGN KEY (account_id, payout_id)
    REFERENCES insights_payout (account_id, id);
"""
ROWS_STAY = """
CREATE TRIGGER payout_stays BEFORE UPDATE OR DELETE ON insights_payout
    FOR EACH ROW EXECUTE FUNCTION portal_keep_rows();
CREATE TRIGGER payout_is_not_emptied BEFORE TRUNCATE ON insights_payout
    FOR EACH STATEMENT EXECUTE FUNCTION portal_keep_rows();
"""
# Looked at when the transaction ends, so that the payout and its uses may be written in any order. That no credit is
# used beyond its amount is already held by the trigger of its uses, so a payout is never more than what was left.
# The owner of the tables, as which only migrations run, is let through, as everywhere.
USES_ADD_UP = """
CREATE FUNCTION portal_check_payout() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    wanted bigint;
BEGIN
    IF current_user = 'portal_owner' THEN
        RETURN NULL;
    END IF;
    IF TG_TABLE_NAME = 'insights_payout' THEN
        wanted := NEW.id;
    ELSE
        wanted := NEW.payout_id;
    END IF;
    IF EXISTS (
        SELECT FROM public.insights_payout p WHERE p.account_id = NEW.account_id AND p.id = wanted
        AND p.amount_minor <> (
            SELECT coalesce(sum(u.amount_minor), 0) FROM public.insights_credituse u
            WHERE u.account_id = p.account_id AND u.payout_id = p.id
        )
    ) THEN
        RAISE EXCEPTION 'the uses of payout % do not add to its amount', wanted USING ERRCODE = '23514';
    END IF;
    IF EXISTS (
        SELECT FROM public.insights_payout p
        JOIN public.accounts_account a ON a.id = p.account_id
        JOIN public.insights_credituse u ON u.account_id = p.account_id AND u.payout_id = p.id
        JOIN public.insights_creditgrant g ON g.account_id = u.account_id AND g.id = u.grant_id
        WHERE p.account_id = NEW.account_id AND p.id = wanted
        AND (g.kind <> 'carried' OR g.currency <> p.currency OR a.closed_at IS NULL)
    ) THEN
        RAISE EXCEPTION 'payout % is of more than bills below zero left of a closed account', wanted
            USING ERRCODE = '23514';
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION portal_check_payout() FROM PUBLIC;
CREATE CONSTRAINT TRIGGER payout_uses_add_up AFTER INSERT ON insights_payout
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION portal_check_payout();
CREATE CONSTRAINT TRIGGER uses_add_to_payout AFTER INSERT ON insights_credituse
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.payout_id IS NOT NULL)
    EXECUTE FUNCTION portal_check_payout();
"""


class Migration(migrations.Migration):
    """One table with its guards, and one column of another."""

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("accounts", "0004_staff_are_not_members"),
        ("insights", "0030_saved_view_names"),
    ]

    operations = [
        migrations.CreateModel(
            name="Payout",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("public_id", models.UUIDField(editable=False)),
                ("amount_minor", models.DecimalField(decimal_places=0, max_digits=30)),
                ("currency", models.CharField(max_length=3)),
                ("paid_on", models.DateField(help_text="On the account's billing clock.")),
                (
                    "reference",
                    models.CharField(help_text="Of the payment; the customer reads it.", max_length=300),
                ),
                (
                    "recorded_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False
                    ),
                ),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.account"
                    ),
                ),
                (
                    "recorded_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "constraints": [
                    models.UniqueConstraint(fields=("account", "id"), name="payout_account_id"),
                    models.UniqueConstraint(fields=("account", "public_id"), name="payout_public_id"),
                    models.CheckConstraint(condition=Q(amount_minor__gt=0), name="payout_above_zero"),
                    models.CheckConstraint(condition=~Q(reference=""), name="payout_has_reference"),
                ],
            },
        ),
        migrations.AddField(
            model_name="credituse",
            name="payout",
            field=models.ForeignKey(
                db_constraint=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="uses",
                to="insights.payout",
            ),
        ),
        migrations.AlterField(
            model_name="credituse",
            name="invoice",
            field=models.ForeignKey(
                db_constraint=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="credit_uses",
                to="insights.invoice",
            ),
        ),
        migrations.AddConstraint(
            model_name="credituse",
            constraint=models.UniqueConstraint(
                condition=Q(payout__isnull=False),
                fields=("account", "payout", "grant"),
                name="credituse_paid_out_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="credituse",
            constraint=models.CheckConstraint(
                condition=Q(invoice__isnull=False, payout__isnull=True)
                | Q(invoice__isnull=True, payout__isnull=False, is_return=False, amount_minor__gt=0),
                name="credituse_by_invoice_or_payout",
            ),
        ),
        migrations.RunSQL("\n".join([POLICIES, KEYS, ROWS_STAY, USES_ADD_UP]), migrations.RunSQL.noop),
    ]
