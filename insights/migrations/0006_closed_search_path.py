"""Functions with the owner's rights look at temporary objects last, and only the worker may make any.

An unlisted pg_temp is searched first for types, so that a temporary type named text would have run its maker's code
as the owner.
"""

from __future__ import annotations

from django.db import migrations

CLOSED = """
ALTER FUNCTION portal_find_key(text) SET search_path = pg_catalog, public, pg_temp;
ALTER FUNCTION portal_ensure_month(date) SET search_path = pg_catalog, public, pg_temp;
DO $$
BEGIN
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO portal_worker', current_database());
END
$$;
"""


class Migration(migrations.Migration):
    dependencies = [("insights", "0005_rollup_one_index")]
    operations = [migrations.RunSQL(CLOSED)]
