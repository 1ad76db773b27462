"""Staff see how many keys an account has, so that closing it can say what stops; neither names nor hashes."""

from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_row_security")]
    operations = [
        migrations.RunSQL(
            "CREATE POLICY counts_portal_staff ON accounts_apikey FOR SELECT TO portal_staff USING (true)",
            "DROP POLICY counts_portal_staff ON accounts_apikey",
        )
    ]
