"""The list of usage that no subscription of its account covers; finance reads it of all accounts."""

from __future__ import annotations

import uuid

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import Q

from accounts.row_security import secure_table

POLICIES = secure_table("insights_uncoveredusage", also_for=("portal_staff",))


class Migration(migrations.Migration):
    """One table with its policies."""

    dependencies = [("accounts", "0004_staff_are_not_members"), ("insights", "0028_billing_run_parts")]

    operations = [
        migrations.CreateModel(
            name="UncoveredUsage",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False)),
                ("begins_at", models.DateTimeField(null=True)),
                ("ends_at", models.DateTimeField(null=True)),
                ("first_used_on", models.DateField(help_text="On the account's billing clock.")),
                ("last_used_on", models.DateField()),
                ("quantity", models.DecimalField(decimal_places=9, max_digits=48)),
                ("records", models.BigIntegerField()),
                (
                    "digest",
                    models.CharField(
                        help_text="Of where and how much it is: another amount has another.", max_length=32
                    ),
                ),
                ("found_at", models.DateTimeField()),
                ("released_at", models.DateTimeField(null=True)),
                ("released_by_name", models.CharField(blank=True, default="", max_length=254)),
                ("reason", models.CharField(blank=True, default="", max_length=300)),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.account"
                    ),
                ),
                (
                    "meter",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="insights.meter"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("account", "id"), name="uncoveredusage_account_id"),
                    models.UniqueConstraint(
                        fields=("account", "public_id"), name="uncoveredusage_public_id"
                    ),
                    models.UniqueConstraint(
                        fields=("account", "meter", "begins_at"),
                        name="uncoveredusage_once",
                        nulls_distinct=False,
                    ),
                    models.CheckConstraint(
                        condition=Q(released_at__isnull=True, reason="")
                        | (Q(released_at__isnull=False) & ~Q(reason="")),
                        name="uncoveredusage_released_has_reason",
                    ),
                ],
            },
        ),
        migrations.RunSQL(POLICIES, migrations.RunSQL.noop),
    ]
