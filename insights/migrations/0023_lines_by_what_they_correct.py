"""An index by which the database sees that no line corrects one which is taken out of a draft."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("insights", "0022_credit_uses_of_finance")]
    operations = [
        migrations.AddIndex(
            model_name="lineitem",
            index=models.Index(
                condition=models.Q(("corrects__isnull", False)),
                fields=["account", "corrects"],
                name="lineitem_correcting",
            ),
        ),
    ]
