"""What the daily check of the books found is kept, because staff have no right to run it themselves."""

from __future__ import annotations

import django.db.models.functions.datetime
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("insights", "0007_upload_is_whole")]
    operations = [
        migrations.CreateModel(
            name="BookCheck",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("started_at", models.DateTimeField()),
                (
                    "finished_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False
                    ),
                ),
                ("rows", models.BigIntegerField()),
                ("differences", models.BigIntegerField()),
                ("named", models.JSONField(default=list)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        name="bookcheck_counts", condition=Q(rows__gte=0, differences__gte=0)
                    )
                ]
            },
        )
    ]
