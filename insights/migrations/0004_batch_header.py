"""A batch remembers its column names, so that refused lines can be tried again after the bytes are gone."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("insights", "0003_series_window")]
    operations = [
        migrations.AddField(
            model_name="batch",
            name="header",
            field=models.JSONField(default=list, help_text="Column names of a CSV file, in its order."),
        ),
    ]
