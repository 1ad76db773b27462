"""Pages ask at every visit whether a batch is being read for the account; there are seldom any."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("insights", "0012_source_ends")]
    operations = [
        migrations.AddIndex(
            model_name="batchpart",
            index=models.Index(
                fields=["account"], condition=models.Q(finished_at__isnull=True), name="batchpart_open"
            ),
        ),
    ]
