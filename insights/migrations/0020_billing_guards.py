"""What the database itself holds to: whose bills they are, that they add up, and that an issued one never changes."""

from __future__ import annotations

from django.db import migrations

from accounts.row_security import secure_table

STAFF = ("portal_staff",)
TENANT_TABLES = ["insights_lineitem", "insights_invoicefile", "insights_credituse"]
# Finance works with these by its own right; lines, quantities and files take support access.
TENANT_TABLES_OF_FINANCE = [
    "insights_billingprofile",
    "insights_subscription",
    "insights_subscriptionphase",
    "insights_addon",
    "insights_priceoverride",
    "insights_invoice",
    "insights_settlement",
    "insights_creditgrant",
]
POLICIES = "\n".join(
    [secure_table(table) for table in TENANT_TABLES]
    + [secure_table(table, also_for=STAFF) for table in TENANT_TABLES_OF_FINANCE]
)

# (table, column, table it points at)
REFERENCES = [
    ("subscriptionphase", "subscription_id", "subscription"),
    ("addon", "subscription_id", "subscription"),
    ("invoice", "subscription_id", "subscription"),
    ("lineitem", "invoice_id", "invoice"),
    ("lineitem", "corrects_id", "lineitem"),
    ("lineitem", "corrects_invoice_id", "invoice"),
    ("settlement", "invoice_id", "invoice"),
    ("invoicefile", "invoice_id", "invoice"),
    ("creditgrant", "from_invoice_id", "invoice"),
    ("credituse", "invoice_id", "invoice"),
    ("credituse", "grant_id", "creditgrant"),
]
KEYS = "\n".join(
    f"ALTER TABLE insights_{table} ADD CONSTRAINT {table}_{column}_same_account FOREIGN KEY (account_id, {column}) "
    f"REFERENCES insights_{target} (account_id, id);"
    for table, column, target in REFERENCES
)

# The owner of the tables, as which only migrations run, is let through everywhere below.
# What may still be done to an invoice is decided by what it was before the statement, whoever asks.
INVOICES_STAY = """
CREATE FUNCTION portal_keep_invoice() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' AND current_user = 'portal_owner' THEN
        RETURN NULL;
    END IF;
    IF current_user = 'portal_owner' THEN
        RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    END IF;
    IF TG_OP = 'TRUNCATE' OR OLD.state = 'issued' THEN
        RAISE EXCEPTION 'an issued invoice never changes' USING ERRCODE = '23001';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$$;
CREATE TRIGGER invoice_stays BEFORE UPDATE OR DELETE ON insights_invoice
    FOR EACH ROW EXECUTE FUNCTION portal_keep_invoice();
CREATE TRIGGER invoice_is_not_emptied BEFORE TRUNCATE ON insights_invoice
    FOR EACH STATEMENT EXECUTE FUNCTION portal_keep_invoice();
"""
LINES_STAY = """
CREATE FUNCTION portal_keep_lines() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF current_user = 'portal_owner' THEN
        RETURN NULL;
    END IF;
    IF EXISTS (
        SELECT FROM changed c JOIN public.insights_invoice i
        ON i.account_id = c.account_id AND i.id = c.invoice_id WHERE i.state = 'issued'
    ) THEN
        RAISE EXCEPTION 'the lines of an issued invoice never change' USING ERRCODE = '23001';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER lines_are_not_added AFTER INSERT ON insights_lineitem
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION portal_keep_lines();
CREATE TRIGGER lines_are_not_changed AFTER UPDATE ON insights_lineitem
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION portal_keep_lines();
CREATE TRIGGER lines_are_not_moved AFTER UPDATE ON insights_lineitem
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION portal_keep_lines();
CREATE TRIGGER lines_are_not_taken AFTER DELETE ON insights_lineitem
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION portal_keep_lines();
"""
# The truncate trigger has no transition table, so it needs a function that names none.
ROWS_STAY = """
CREATE FUNCTION portal_keep_rows() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' AND current_user = 'portal_owner' THEN
        RETURN NULL;
    END IF;
    IF current_user = 'portal_owner' THEN
        RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    END IF;
    RAISE EXCEPTION '% is only added to', TG_TABLE_NAME USING ERRCODE = '23001';
END
$$;
CREATE TRIGGER lines_are_not_emptied BEFORE TRUNCATE ON insights_lineitem
    FOR EACH STATEMENT EXECUTE FUNCTION portal_keep_rows();
""" + "".join(
    f"""
CREATE TRIGGER {table}_stays BEFORE UPDATE OR DELETE ON insights_{table}
    FOR EACH ROW EXECUTE FUNCTION portal_keep_rows();
CREATE TRIGGER {table}_is_not_emptied BEFORE TRUNCATE ON insights_{table}
    FOR EACH STATEMENT EXECUTE FUNCTION portal_keep_rows();
"""
    for table in ("invoicefile", "invoicenumber", "credituse", "creditgrant")
)
# Once published, a version and its prices stay; a version may be published once.
CATALOGUE_STAYS = """
CREATE FUNCTION portal_keep_version() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF current_user = 'portal_owner' THEN
        RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    END IF;
    IF OLD.published_at IS NOT NULL THEN
        RAISE EXCEPTION 'a published version never changes' USING ERRCODE = '23001';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$$;
CREATE TRIGGER version_stays BEFORE UPDATE OR DELETE ON insights_planversion
    FOR EACH ROW EXECUTE FUNCTION portal_keep_version();
CREATE FUNCTION portal_keep_price() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF current_user = 'portal_owner' THEN
        RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    END IF;
    IF EXISTS (
        SELECT FROM public.insights_planversion v WHERE v.published_at IS NOT NULL
        AND v.id IN (CASE WHEN TG_OP <> 'INSERT' THEN OLD.plan_version_id END,
                     CASE WHEN TG_OP <> 'DELETE' THEN NEW.plan_version_id END)
    ) THEN
        RAISE EXCEPTION 'the prices of a published version never change' USING ERRCODE = '23001';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$$;
CREATE TRIGGER price_stays BEFORE INSERT OR UPDATE OR DELETE ON insights_price
    FOR EACH ROW EXECUTE FUNCTION portal_keep_price();
"""
# Looked at when the transaction ends, so that the invoice and its lines may be written in any order.
LINES_ADD_UP = """
CREATE FUNCTION portal_check_total() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    added numeric;
BEGIN
    SELECT coalesce(sum(l.amount_minor), 0) INTO added FROM public.insights_lineitem l
    WHERE l.account_id = NEW.account_id AND l.invoice_id = NEW.id;
    -- What is looked at is the invoice as it is now, not as the statement that queued this left it.
    IF EXISTS (
        SELECT FROM public.insights_invoice i
        WHERE i.account_id = NEW.account_id AND i.id = NEW.id AND i.total_minor <> added
    ) THEN
        RAISE EXCEPTION 'the lines of invoice % add to %, not to its total', NEW.id, added USING ERRCODE = '23514';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER invoice_lines_add_up AFTER INSERT OR UPDATE ON insights_invoice
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION portal_check_total();
"""
CLOSED = "\n".join(
    f"REVOKE ALL ON FUNCTION {name}() FROM PUBLIC;"
    for name in (
        "portal_keep_invoice",
        "portal_keep_lines",
        "portal_keep_rows",
        "portal_keep_version",
        "portal_keep_price",
        "portal_check_total",
    )
)


class Migration(migrations.Migration):
    dependencies = [("insights", "0019_billing")]
    operations = [
        migrations.RunSQL("\n".join([POLICIES, KEYS]), migrations.RunSQL.noop),
        migrations.RunSQL(
            "\n".join([INVOICES_STAY, LINES_STAY, ROWS_STAY, CATALOGUE_STAYS, LINES_ADD_UP, CLOSED]),
            migrations.RunSQL.noop,
        ),
    ]
