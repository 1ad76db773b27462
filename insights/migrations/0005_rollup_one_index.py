"""A rollup keeps its primary key only.

Three indexes on single columns were written with every day of every series, and one of them led the planner away from
the neighbouring rows of the key.
"""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("insights", "0004_batch_header")]
    operations = [
        migrations.AlterField(
            "usagerollup",
            "account",
            models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.account"
            ),
        ),
        migrations.AlterField(
            "usagerollup",
            "meter",
            models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="insights.meter"
            ),
        ),
        migrations.AlterField(
            "usagerollup",
            "series",
            models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="insights.series",
            ),
        ),
    ]
