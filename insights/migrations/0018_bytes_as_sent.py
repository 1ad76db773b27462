"""Kept bytes are stored as they came.

Compressing them cost the server more than taking them in, and reading them back a further tenth; who wants them small
sends gzip, which is kept as gzip.
"""

from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("insights", "0017_ledger_months")]
    operations = [
        migrations.RunSQL(
            "ALTER TABLE insights_batchbytes ALTER COLUMN data SET STORAGE EXTERNAL",
            reverse_sql="ALTER TABLE insights_batchbytes ALTER COLUMN data SET STORAGE EXTENDED",
        )
    ]
