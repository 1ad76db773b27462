"""The SQL that keeps one account's rows from another: policies for migrations, and the grants of every role.

Policies are part of the schema and change only by migration. Grants are declared here once and applied after every
migration, so that a table without a line here is reachable by nobody but its owner.
"""

from __future__ import annotations

from typing import Any

# A setting that was set locally reads '' and not NULL in the connection's next transaction, hence nullif.
CURRENT_ACCOUNT = "nullif(current_setting('portal.account', true), '')::bigint"
CURRENT_USER = "nullif(current_setting('portal.user', true), '')::bigint"

# Roles for which every row of a tenant table exists. The worker writes across accounts; the owner migrates data.
_EVERY_ROW_ROLES = ("portal_worker", "portal_owner")


def open_catalogue(table: str, *, visible: str) -> str:
    """Return SQL that lets the web role read those rows of a platform table for which the condition holds.

    Whoever else has a right to the table sees every row, as before.
    """
    statements = [
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
        f"CREATE POLICY offered ON {table} FOR SELECT TO portal_web USING ({visible})",
    ]
    statements += [
        f"CREATE POLICY every_row_{role} ON {table} TO {role} USING (true) WITH CHECK (true)"
        for role in (*_EVERY_ROW_ROLES, "portal_staff")
    ]
    return ";\n".join(statements) + ";"


def secure_table(table: str, *, account_column: str = "account_id", also_for: tuple[str, ...] = ()) -> str:
    """Return SQL that forces row-level security on a tenant table: default deny, one account for the web role.

    `also_for` names further roles that see every row (portal_staff on operational tables).
    """
    own = f"{account_column} = {CURRENT_ACCOUNT}"
    statements = [
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
        f"CREATE POLICY own_account ON {table} TO portal_web USING ({own}) WITH CHECK ({own})",
    ]
    statements += [
        f"CREATE POLICY every_row_{role} ON {table} TO {role} USING (true) WITH CHECK (true)"
        for role in (*_EVERY_ROW_ROLES, *also_for)
    ]
    return ";\n".join(statements) + ";"


READ = "SELECT"
APPEND = "SELECT, INSERT"
WRITE = "SELECT, INSERT, UPDATE"
ALL = "SELECT, INSERT, UPDATE, DELETE"

_WEB = "portal_web"
_WORKER = "portal_worker"
_STAFF = "portal_staff"
_INTAKE = "portal_intake"

# Refused lines hold what a customer sent. Staff without support access see where and why, never the cell.
_REJECT_FACTS = "id, batch_id, line_no, code, field, rejected_at, replayed_at"
# Closing an account says how many keys stop; their names are the customer's.
_KEY_COUNTS = "id, account_id, expires_at, revoked_at"
# What finance needs of an invoice without looking into an account: no lines, no prices, no quantities.
_INVOICE_FACTS = (
    "id, public_id, account_id, subscription_id, kind, operation, state, period_start, period_end, issue_from, "
    "currency, total_minor, usage_as_of, complete_to, drafted_at, parked_for, released, legal_entity_id, number, "
    "number_in_series, issued_at, due_at"
)
# Where usage is on no bill, and not how much it is.
_UNCOVERED_FACTS = (
    "id, public_id, account_id, meter_id, begins_at, ends_at, first_used_on, last_used_on, records, digest, found_at, "
    "released_at, released_by_name, reason"
)
# How much of a credit is used; on which bill is behind support access.
_CREDIT_USE_FACTS = "id, account_id, grant_id, amount_minor"
_USER_FOR_SENDERS = "id, public_id, email, name, is_active, is_staff, is_superuser"

GRANTS: dict[str, dict[str, str]] = {
    # Who is looking.
    "accounts_user": {
        _WEB: "SELECT, UPDATE (password, last_login, name)",
        _STAFF: WRITE,
        _WORKER: WRITE,
        _INTAKE: f"SELECT ({_USER_FOR_SENDERS})",
    },
    "accounts_user_groups": {_WEB: READ, _STAFF: ALL, _WORKER: READ},
    "accounts_user_user_permissions": {_WEB: READ, _STAFF: ALL, _WORKER: READ},
    "accounts_account": {_WEB: READ, _STAFF: WRITE, _WORKER: WRITE},
    "accounts_membership": {_WEB: READ, _STAFF: ALL, _WORKER: ALL},
    "accounts_apikey": {
        _WEB: "SELECT, INSERT, UPDATE (revoked_at, last_used_at)",
        _WORKER: WRITE,
        _STAFF: f"SELECT ({_KEY_COUNTS})",
    },
    "accounts_supportaccess": {_WEB: READ, _STAFF: "SELECT, INSERT, UPDATE (ended_at)", _WORKER: READ},
    "accounts_supportaccesspage": {_WEB: READ, _STAFF: APPEND, _WORKER: READ},
    "accounts_auditentry": {_WEB: APPEND, _STAFF: APPEND, _WORKER: APPEND},
    # Catalogue and feeds.
    "insights_meter": {_WEB: READ, _STAFF: WRITE, _WORKER: WRITE, _INTAKE: READ},
    "insights_source": {_STAFF: WRITE, _WORKER: WRITE, _INTAKE: READ},
    "insights_sourcekey": {
        _STAFF: WRITE,
        _WORKER: WRITE,
        _INTAKE: "SELECT (id, last_used_at), UPDATE (last_used_at)",
    },
    # The catalogue of prices is the platform's. Customers read the plans that are offered to them, by row; what they
    # pay stands on their own bills.
    "insights_legalentity": {_STAFF: WRITE, _WORKER: WRITE},
    "insights_invoicecounter": {_STAFF: "SELECT, INSERT", _WORKER: WRITE},
    "insights_invoicenumber": {_STAFF: READ, _WORKER: APPEND},
    "insights_plan": {_WEB: READ, _STAFF: WRITE, _WORKER: WRITE},
    "insights_planversion": {_WEB: READ, _STAFF: ALL, _WORKER: ALL},
    "insights_price": {_WEB: READ, _STAFF: ALL, _WORKER: ALL},
    # What an account buys. Staff order it; a customer changes what an invoice says about them.
    "insights_billingprofile": {
        _WEB: "SELECT, UPDATE (company_name, address, tax_id, purchase_order, recipients, updated_at)",
        _STAFF: WRITE,
        _WORKER: WRITE,
    },
    "insights_subscription": {
        _WEB: READ,
        _STAFF: "SELECT, INSERT, UPDATE (name, ends_at, changed_at)",
        _WORKER: "SELECT, INSERT, UPDATE (name, ends_at, changed_at, settled_as_of)",
    },
    "insights_subscriptionphase": {
        _WEB: READ,
        _STAFF: "SELECT, INSERT, UPDATE (cancelled_at)",
        _WORKER: "SELECT, INSERT, UPDATE (cancelled_at)",
    },
    "insights_addon": {
        _WEB: READ,
        _STAFF: "SELECT, INSERT, UPDATE (ends_at, changed_at)",
        _WORKER: "SELECT, INSERT, UPDATE (ends_at, changed_at)",
    },
    "insights_priceoverride": {
        _WEB: READ,
        _STAFF: "SELECT, INSERT, UPDATE (ends_at, changed_at)",
        _WORKER: "SELECT, INSERT, UPDATE (ends_at, changed_at)",
    },
    # Invoices. Finance reads what they come to and decides; only the worker writes them.
    "insights_invoice": {
        _WEB: READ,
        _WORKER: ALL,
        _STAFF: f"SELECT ({_INVOICE_FACTS}), UPDATE (released)",
    },
    "insights_lineitem": {_WEB: READ, _WORKER: ALL},
    "insights_settlement": {
        _WEB: READ,
        _WORKER: WRITE,
        _STAFF: "SELECT, UPDATE (state, reason, changed_at, changed_by_id)",
    },
    "insights_invoicefile": {_WEB: READ, _WORKER: APPEND},
    # What is on no bill: the worker's list, which finance and the account itself read.
    "insights_uncoveredusage": {_WEB: READ, _STAFF: f"SELECT ({_UNCOVERED_FACTS})", _WORKER: ALL},
    "insights_billingrun": {_STAFF: READ, _WORKER: WRITE},
    "insights_creditgrant": {_WEB: READ, _STAFF: APPEND, _WORKER: APPEND},
    "insights_credituse": {_WEB: READ, _WORKER: APPEND, _STAFF: f"SELECT ({_CREDIT_USE_FACTS})"},
    "insights_payout": {_WEB: READ, _STAFF: READ, _WORKER: APPEND},
    # Uploads and work.
    "insights_batch": {_STAFF: READ, _WORKER: ALL, _INTAKE: APPEND},
    # Staff open, ask and end; what was counted, and that it is in the books, is the worker's to say.
    "insights_backfill": {
        _STAFF: "SELECT, INSERT, UPDATE (state, problem, end_reason, ended_by_id, ended_at)",
        _WORKER: WRITE,
        _INTAKE: "SELECT (id, public_id, source_id, state)",
    },
    "insights_batchrevert": {
        _STAFF: "SELECT, INSERT, UPDATE (asked_at, asked_by_id, prepared_at, confirmed_at, confirmed_by_id, reason)",
        _WORKER: WRITE,
    },
    "insights_batchbytes": {_WORKER: ALL, _INTAKE: "INSERT, SELECT (id)"},
    "insights_workitem": {
        _STAFF: "SELECT, UPDATE (state, deliveries, created_at)",
        _WORKER: ALL,
        _INTAKE: APPEND,
    },
    "insights_unattributedreject": {_STAFF: f"SELECT ({_REJECT_FACTS})", _WORKER: ALL, _INTAKE: READ},
    "insights_ledgerhead": {_WORKER: "SELECT, UPDATE (position)", _STAFF: READ},
    "insights_ledgerentry": {_WORKER: WRITE, _STAFF: READ},
    "insights_bookcheck": {_WORKER: APPEND, _STAFF: READ},
    # Usage. Records are inserted and moved to history; nobody may change one in place.
    "insights_series": {_WEB: READ, _WORKER: APPEND},
    "insights_seriesdimension": {_WEB: READ, _WORKER: APPEND},
    "insights_usagerecord": {_WEB: READ, _WORKER: "SELECT, INSERT, DELETE"},
    "insights_usagerevision": {_WEB: READ, _WORKER: APPEND},
    "insights_usageidentity": {_WORKER: WRITE},
    "insights_usagerollup": {_WEB: READ, _WORKER: ALL},
    "insights_usagesum": {_WEB: READ, _WORKER: ALL},
    "insights_unsummedday": {_WEB: READ, _WORKER: ALL},
    # Months that are archived: what is still known of them, and the seals that customers' pages look up.
    "insights_usagemonth": {_WORKER: WRITE, _STAFF: READ},
    "insights_rollupseal": {_WEB: READ, _WORKER: "SELECT, INSERT, DELETE"},
    "insights_archivedseries": {_WORKER: "SELECT, INSERT, DELETE"},
    # Staff say that a source is expected, and when it ended; what it is complete to is ingest's to say.
    "insights_watermark": {_WEB: READ, _WORKER: WRITE, _STAFF: "SELECT, INSERT, UPDATE (ended_at)"},
    "insights_batchpart": {_WEB: READ, _WORKER: WRITE, _STAFF: READ},
    "insights_lineverdict": {_WEB: READ, _WORKER: APPEND},
    "insights_rejectedline": {
        _WEB: READ,
        _WORKER: ALL,
        _STAFF: f"SELECT ({_REJECT_FACTS}, account_id)",
        _INTAKE: READ,
    },
    "insights_download": {_WEB: WRITE, _WORKER: ALL},
    # What members write down; staff see it by support access alone.
    "insights_chartnote": {_WEB: ALL, _WORKER: ALL},
    "insights_savedview": {_WEB: ALL, _WORKER: ALL},
    # Django and its companions.
    "django_session": {_WEB: ALL, _WORKER: ALL, _STAFF: ALL},
    "django_content_type": {_WEB: READ, _STAFF: READ, _WORKER: READ},
    "auth_permission": {_WEB: READ, _STAFF: READ, _WORKER: READ},
    "auth_group": {_WEB: READ, _STAFF: ALL, _WORKER: READ},
    "auth_group_permissions": {_WEB: READ, _STAFF: ALL, _WORKER: READ},
    "django_admin_log": {_STAFF: APPEND},
    "account_emailaddress": {_WEB: WRITE, _STAFF: WRITE, _WORKER: WRITE},
    "account_emailconfirmation": {_WEB: ALL},
    "axes_accessattempt": {_WEB: ALL, _WORKER: ALL},
    "axes_accessattemptexpiration": {_WEB: ALL, _WORKER: ALL},
    "axes_accessfailurelog": {_WEB: ALL, _WORKER: ALL},
    "axes_accesslog": {_WEB: ALL, _WORKER: ALL},
    "django_migrations": {_WEB: READ, _WORKER: READ, _STAFF: READ},
}

# A function runs with its owner's rights only if it stands here; the catalogue test enforces that.
SECURITY_DEFINER_FUNCTIONS: dict[str, tuple[str, ...]] = {
    "portal_find_key(text)": (_WEB,),
    "portal_ensure_month(date)": (_WORKER,),
    # Of the account of the transaction alone; the ledger's entries themselves stay closed.
    "portal_known_position(timestamp with time zone,bigint)": (_WEB,),
    "portal_entries_after(bigint)": (_WEB,),
    "portal_detach_month(date)": (_WORKER,),
    "portal_reattach_month(date)": (_WORKER,),
    "portal_drop_detached_month(date)": (_WORKER,),
}


def grant_statements(tables: set[str]) -> list[str]:
    """Return the statements that give each role exactly what GRANTS says on the tables that exist."""
    statements = [
        "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC",
        f"GRANT USAGE ON SCHEMA public TO {_WEB}, {_WORKER}, {_STAFF}, {_INTAKE}, portal_backup",
    ]
    for table in sorted(tables & GRANTS.keys()):
        statements.append(f"REVOKE ALL ON {table} FROM {_WEB}, {_WORKER}, {_STAFF}, {_INTAKE}")
        statements += [f"GRANT {rights} ON {table} TO {role}" for role, rights in GRANTS[table].items()]
    return statements


def apply_grants(*, using: str, **_signal: Any) -> None:
    """Give every role its rights after a migration by the owner; other aliases do not migrate."""
    if using != "owner":
        return
    from django.db import connections, transaction

    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('portal grants'))")
        tables = set(connections[using].introspection.table_names(cursor))
        for statement in grant_statements(tables):
            cursor.execute(statement)
        # Identity columns use their sequence without a grant, so sequences stay closed.
