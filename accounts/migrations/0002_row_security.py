"""Row-level security on everything that belongs to an account, and an audit trail that only grows."""

from __future__ import annotations

from django.db import migrations

from accounts.row_security import CURRENT_USER, secure_table

STAFF = ("portal_staff",)

POLICIES = [
    secure_table("accounts_account", account_column="id", also_for=STAFF),
    secure_table("accounts_membership", also_for=STAFF),
    secure_table("accounts_apikey"),
    secure_table("accounts_supportaccess", also_for=STAFF),
    secure_table("accounts_supportaccesspage", also_for=STAFF),
    secure_table("accounts_auditentry", also_for=STAFF),
    f"""
    CREATE POLICY own_memberships ON accounts_membership FOR SELECT TO portal_web
        USING (user_id = {CURRENT_USER});
    CREATE POLICY accounts_of_user ON accounts_account FOR SELECT TO portal_web
        USING (id IN (SELECT account_id FROM accounts_membership WHERE user_id = {CURRENT_USER}));
    """,
]

KEYS = """
ALTER TABLE accounts_supportaccesspage ADD CONSTRAINT supportaccesspage_same_account
    FOREIGN KEY (account_id, support_access_id) REFERENCES accounts_supportaccess (account_id, id);
"""

# The owner may still empty the table, which only the reset between tests does.
APPEND_ONLY = """
CREATE FUNCTION portal_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_user = 'portal_owner' THEN
        RETURN coalesce(NEW, OLD);
    END IF;
    RAISE EXCEPTION '% only grows', TG_TABLE_NAME USING ERRCODE = '42501';
END
$$;
CREATE TRIGGER auditentry_only_grows BEFORE UPDATE OR DELETE ON accounts_auditentry
    FOR EACH ROW EXECUTE FUNCTION portal_refuse_change();
CREATE TRIGGER auditentry_stays BEFORE TRUNCATE ON accounts_auditentry
    FOR EACH STATEMENT EXECUTE FUNCTION portal_refuse_change();
CREATE TRIGGER supportaccesspage_only_grows BEFORE UPDATE OR DELETE ON accounts_supportaccesspage
    FOR EACH ROW EXECUTE FUNCTION portal_refuse_change();
REVOKE ALL ON FUNCTION portal_refuse_change() FROM PUBLIC;
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]
    operations = [migrations.RunSQL(statement) for statement in [*POLICIES, KEYS, APPEND_ONLY]]
