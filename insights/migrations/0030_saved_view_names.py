"""A member's shared and private views have names of their own, so that neither tells of the other."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies: ClassVar = [("insights", "0029_uncovered_usage")]

    operations: ClassVar = [
        migrations.RemoveConstraint(model_name="savedview", name="savedview_name_once"),
        migrations.AddConstraint(
            model_name="savedview",
            constraint=models.UniqueConstraint(
                fields=("account", "owner", "name", "is_shared"), name="savedview_name_once"
            ),
        ),
    ]
