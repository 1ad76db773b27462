"""Past revisions and runs of lines keep only indexes that a query uses.

Django had given every reference an index of its own. Five of them were written with each correction and read by
nothing: every query names the account first, and so has a key to go by.
"""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models

PLAIN = {"db_index": False, "on_delete": django.db.models.deletion.PROTECT, "related_name": "+"}


class Migration(migrations.Migration):
    dependencies = [("insights", "0010_revert_batch")]
    operations = [
        migrations.AlterField("usagerevision", "account", models.ForeignKey(to="accounts.account", **PLAIN)),
        migrations.AlterField("usagerevision", "source", models.ForeignKey(to="insights.source", **PLAIN)),
        migrations.AlterField(
            "usagerevision", "series", models.ForeignKey(to="insights.series", db_constraint=False, **PLAIN)
        ),
        migrations.AlterField("lineverdict", "account", models.ForeignKey(to="accounts.account", **PLAIN)),
        migrations.AlterField("lineverdict", "batch", models.ForeignKey(to="insights.batch", **PLAIN)),
    ]
