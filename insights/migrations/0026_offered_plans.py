"""Customers read the plans that are offered to them: published versions of plans for everybody, and of their own."""

from __future__ import annotations

from django.db import migrations

from accounts.row_security import CURRENT_ACCOUNT, open_catalogue

# Subqueries are held to the policies of their tables too, so that a price is seen only with its plan.
VISIBLE = {
    "insights_plan": f"{CURRENT_ACCOUNT} IS NOT NULL AND (account_id IS NULL OR account_id = {CURRENT_ACCOUNT})",
    "insights_planversion": "published_at IS NOT NULL AND plan_id IN (SELECT id FROM insights_plan)",
    "insights_price": "plan_version_id IN (SELECT id FROM insights_planversion)",
}
OPEN = "\n".join(open_catalogue(table, visible=visible) for table, visible in VISIBLE.items())
POLICIES = ("offered", "every_row_portal_worker", "every_row_portal_owner", "every_row_portal_staff")
CLOSE = "".join(
    "".join(f"DROP POLICY {name} ON {table};" for name in POLICIES)
    + f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY; ALTER TABLE {table} DISABLE ROW LEVEL SECURITY;"
    for table in reversed(VISIBLE)
)


class Migration(migrations.Migration):
    """Policies alone."""

    dependencies = [("insights", "0025_lines_by_their_invoice")]
    operations = [migrations.RunSQL(OPEN, CLOSE)]
