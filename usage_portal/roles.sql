-- The roles of the portal. Run by a superuser before the first migration, and safe to run again.
-- portal_owner owns every object and cannot log in; nobody but portal_migrate is a member of it, because a member of
-- a table's owner passes policies that are not forced.
DO $$
DECLARE
    wanted text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('portal roles'));
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'portal_owner') THEN
        CREATE ROLE portal_owner NOLOGIN;
    END IF;
    -- Before PostgreSQL 16 a role that does not inherit may not create in the public schema of its own database.
    ALTER ROLE portal_owner INHERIT;
    FOREACH wanted IN ARRAY ARRAY['portal_migrate', 'portal_web', 'portal_worker', 'portal_staff', 'portal_intake']
    LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS', wanted);
        END IF;
    END LOOP;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'portal_backup') THEN
        CREATE ROLE portal_backup LOGIN BYPASSRLS;
    END IF;
    GRANT portal_owner TO portal_migrate;
    ALTER ROLE portal_migrate SET role = 'portal_owner';
    ALTER ROLE portal_migrate SET lock_timeout = '5s';
    ALTER ROLE portal_web SET statement_timeout = '15s';
    ALTER ROLE portal_web SET lock_timeout = '2s';
    ALTER ROLE portal_staff SET statement_timeout = '15s';
    ALTER ROLE portal_staff SET lock_timeout = '2s';
    ALTER ROLE portal_intake SET statement_timeout = '60s';
    ALTER ROLE portal_worker SET lock_timeout = '30s';
    ALTER ROLE portal_web SET idle_in_transaction_session_timeout = '60s';
    ALTER ROLE portal_staff SET idle_in_transaction_session_timeout = '60s';
    ALTER ROLE portal_intake SET idle_in_transaction_session_timeout = '60s';
    -- A worker that is stopped in the middle holds the ledger's last row, for which every other one waits.
    ALTER ROLE portal_worker SET idle_in_transaction_session_timeout = '30s';
    GRANT pg_read_all_data TO portal_backup;
    -- Large objects have no policies; nobody here uses them.
    REVOKE EXECUTE ON FUNCTION lo_create(oid), lo_creat(integer), lo_from_bytea(oid, bytea) FROM PUBLIC;
END
$$;
