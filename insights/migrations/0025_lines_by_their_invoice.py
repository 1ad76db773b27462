"""A line's account is its invoice's, by a key of both, so that it need not be looked up once more for each line."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """One key fewer."""

    dependencies = [("insights", "0024_credits_within_their_amount")]
    operations = [
        migrations.AlterField(
            model_name="lineitem",
            name="account",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.account",
            ),
        ),
    ]
