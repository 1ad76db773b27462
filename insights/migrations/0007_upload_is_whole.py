"""An upload cut into several batches is whole when its last part has come; only then do watermarks move."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("insights", "0006_closed_search_path")]
    operations = [
        migrations.AddField(
            model_name="batch",
            name="is_last_part",
            field=models.BooleanField(default=True, help_text="No part of the same upload follows."),
        ),
    ]
