"""Series know how long their windows are: reading usage needs it, and the web role never sees the sources."""

from __future__ import annotations

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("insights", "0002_ledger")]
    operations = [
        migrations.AddField("series", "window_seconds", models.PositiveIntegerField(default=3600), preserve_default=False),
        migrations.AddConstraint(
            "series",
            models.CheckConstraint(
                name="series_window_known", condition=Q(window_seconds__in=[300, 900, 1800, 3600, 86400])
            ),
        ),
    ]
