"""A pass may be for a part of the accounts, so that several workers share it, and says when it last got further."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Three columns; passes so far were for all accounts."""

    dependencies = [("insights", "0027_notebook")]
    operations = [
        migrations.AddField("billingrun", "part", models.PositiveSmallIntegerField(default=0)),
        migrations.AddField("billingrun", "parts", models.PositiveSmallIntegerField(default=1)),
        migrations.AddField("billingrun", "advanced_at", models.DateTimeField(null=True)),
        migrations.AddConstraint(
            "billingrun",
            models.CheckConstraint(
                name="billingrun_part_of_parts", condition=models.Q(part__lt=models.F("parts"))
            ),
        ),
    ]
