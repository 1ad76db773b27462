"""Sums over all series of a meter, and over those with one value of a dimension, for pages of large accounts.

What is there already is named as not summed yet: until the worker comes to it, pages read it as they did before.
"""

from __future__ import annotations

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

from accounts.row_security import secure_table

PLAIN = {"db_index": False, "on_delete": django.db.models.deletion.PROTECT, "related_name": "+"}
TABLES = ("insights_usagesum", "insights_unsummedday")
POLICIES = "\n".join(secure_table(table) for table in TABLES)
NUMBERS = "ALTER TABLE insights_usagesum ADD CONSTRAINT usagesum_number CHECK (quantity <> 'NaN');"
NAME_EVERY_DAY = """
INSERT INTO insights_unsummedday (account_id, meter_id, day)
SELECT DISTINCT account_id, meter_id, day FROM insights_usagerollup
"""


class Migration(migrations.Migration):
    dependencies = [("insights", "0013_open_parts")]
    operations = [
        migrations.CreateModel(
            name="UsageSum",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "account_id", "meter_id", "key", "day", "value",
                        blank=True, editable=False, primary_key=True, serialize=False,
                    ),
                ),
                ("key", models.CharField(blank=True, help_text="Empty for all series together.", max_length=60)),
                ("day", models.DateField()),
                (
                    "value",
                    models.CharField(
                        blank=True, help_text="Empty for series without the dimension.", max_length=200
                    ),
                ),
                ("quantity", models.DecimalField(decimal_places=9, max_digits=48)),
                ("records", models.IntegerField()),
                ("hours", django.contrib.postgres.fields.ArrayField(models.SmallIntegerField(), size=None)),
                (
                    "hour_quantities",
                    django.contrib.postgres.fields.ArrayField(
                        models.DecimalField(decimal_places=9, max_digits=48), size=None
                    ),
                ),
                ("hour_records", django.contrib.postgres.fields.ArrayField(models.IntegerField(), size=None)),
                ("account", models.ForeignKey(to="accounts.account", **PLAIN)),
                ("meter", models.ForeignKey(to="insights.meter", **PLAIN)),
            ],
        ),
        migrations.CreateModel(
            name="UnsummedDay",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("day", models.DateField()),
                ("account", models.ForeignKey(to="accounts.account", **PLAIN)),
                ("meter", models.ForeignKey(to="insights.meter", **PLAIN)),
            ],
            options={
                "indexes": [models.Index(fields=["account", "meter", "day"], name="unsummedday_day")],
                "constraints": [
                    models.UniqueConstraint(fields=("account", "id"), name="unsummedday_account_id")
                ],
            },
        ),
        migrations.RunSQL(POLICIES, migrations.RunSQL.noop),
        migrations.RunSQL(NUMBERS, migrations.RunSQL.noop),
        migrations.RunSQL(NAME_EVERY_DAY, migrations.RunSQL.noop),
    ]
