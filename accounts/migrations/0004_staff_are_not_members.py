"""Staff look into an account by support access, which is short, read-only and on the customer's log; never as members."""

from __future__ import annotations

from django.db import migrations

KEPT_APART = """
CREATE FUNCTION portal_refuse_staff_member() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM accounts_user u WHERE u.id = NEW.user_id AND (u.is_staff OR u.is_superuser)) THEN
        RAISE EXCEPTION 'staff cannot be members of an account' USING ERRCODE = '42501';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER membership_is_not_staff BEFORE INSERT OR UPDATE ON accounts_membership
    FOR EACH ROW EXECUTE FUNCTION portal_refuse_staff_member();
CREATE FUNCTION portal_refuse_member_as_staff() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM accounts_membership m WHERE m.user_id = NEW.id) THEN
        RAISE EXCEPTION 'a member of an account cannot become staff' USING ERRCODE = '42501';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER user_is_not_member BEFORE UPDATE OF is_staff, is_superuser ON accounts_user FOR EACH ROW
    WHEN ((NEW.is_staff OR NEW.is_superuser) AND NOT (OLD.is_staff OR OLD.is_superuser))
    EXECUTE FUNCTION portal_refuse_member_as_staff();
REVOKE ALL ON FUNCTION portal_refuse_staff_member() FROM PUBLIC;
REVOKE ALL ON FUNCTION portal_refuse_member_as_staff() FROM PUBLIC;
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0003_staff_counts_keys")]
    operations = [migrations.RunSQL(KEPT_APART)]
