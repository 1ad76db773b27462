"""What the database's catalogue must say for accounts to be kept apart; each breach is returned as one sentence."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from accounts.row_security import GRANTS, SECURITY_DEFINER_FUNCTIONS

LOGIN_ROLES = ("portal_web", "portal_worker", "portal_staff", "portal_intake")
WRITERS = ("portal_worker", "portal_owner")
# Its rows are accounts themselves, so that `id` is what other tables call account_id.
ACCOUNT_TABLE = "accounts_account"
# These name an account but belong to the platform: the web role has no right to them.
PLATFORM_TABLES = frozenset({"insights_source", "insights_plan"})
# Of these a customer reads the rows that are offered to them, by exactly this policy.
OFFERED_TABLES = {
    "insights_plan": (
        "(((NULLIF(current_setting('portal.account'::text, true), ''::text))::bigint IS NOT NULL) AND "
        "((account_id IS NULL) OR (account_id = (NULLIF(current_setting('portal.account'::text, true), "
        "''::text))::bigint)))"
    ),
    "insights_planversion": (
        "((published_at IS NOT NULL) AND (plan_id IN ( SELECT insights_plan.id FROM insights_plan)))"
    ),
    "insights_price": "(plan_version_id IN ( SELECT insights_planversion.id FROM insights_planversion))",
}
# Accounts' rows that no page reads: the web role has no right to them at all.
NOT_FOR_WEB = frozenset({"insights_usageidentity", "insights_archivedseries"})
# The only tables without an account that the web role may touch.
SHARED_WITH_WEB = frozenset(
    {
        "accounts_user",
        "accounts_user_groups",
        "accounts_user_user_permissions",
        "account_emailaddress",
        "account_emailconfirmation",
        "auth_group",
        "auth_group_permissions",
        "auth_permission",
        "axes_accessattempt",
        "axes_accessattemptexpiration",
        "axes_accessfailurelog",
        "axes_accesslog",
        "django_content_type",
        "django_migrations",
        "django_session",
        "insights_meter",
    }
)
# What was taken off the ledger is nobody's to read: neither a right nor a policy for any role that logs in.
DETACHED = re.compile(r"insights_usagerecord_[0-9]{6}_detached")
NULLABLE_ACCOUNT = frozenset({"accounts_auditentry"})
_SETTING = "(NULLIF(current_setting('portal.{}'::text, true), ''::text))::bigint"
OWN_ACCOUNT = "({} = " + _SETTING.format("account") + ")"
FURTHER_WEB_POLICIES = {
    ("accounts_membership", "own_memberships"): f"(user_id = {_SETTING.format('user')})",
    ("accounts_account", "accounts_of_user"): (
        "(id IN ( SELECT accounts_membership.account_id FROM accounts_membership "
        f"WHERE (accounts_membership.user_id = {_SETTING.format('user')})))"
    ),
}

TABLES = """
SELECT c.relname, c.relkind::text, c.relispartition, c.relrowsecurity, c.relforcerowsecurity,
       pg_get_userbyid(c.relowner), coalesce(array_to_string(c.reloptions, ','), '')
FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
"""
ACCOUNT_COLUMNS = """
SELECT c.relname, a.attnotnull FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attname = 'account_id'
AND NOT a.attisdropped
"""
POLICIES = """
SELECT c.relname, p.polname::text, p.polcmd::text, p.polpermissive, pg_get_expr(p.polqual, p.polrelid),
       pg_get_expr(p.polwithcheck, p.polrelid),
       ARRAY(SELECT CASE role WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(role)::text END FROM unnest(p.polroles) role)
FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid WHERE c.relnamespace = 'public'::regnamespace
"""
TABLE_RIGHTS = """
SELECT c.relname, CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(acl.grantee)::text END,
       acl.privilege_type, ''::text
FROM pg_class c, aclexplode(c.relacl) acl WHERE c.relnamespace = 'public'::regnamespace
UNION ALL
SELECT c.relname, CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(acl.grantee)::text END,
       acl.privilege_type, a.attname::text
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid, aclexplode(a.attacl) acl
WHERE c.relnamespace = 'public'::regnamespace AND NOT a.attisdropped
"""
UNIQUE_KEYS = """
SELECT c.relname, i.relname, ARRAY(
    SELECT a.attname::text FROM unnest(x.indkey) WITH ORDINALITY AS k(number, place)
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number ORDER BY k.place)
FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
WHERE c.relnamespace = 'public'::regnamespace AND x.indisunique AND NOT c.relispartition
"""
FOREIGN_KEYS = """
SELECT c.relname, target.relname, k.conname::text,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) number
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = number)
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_class target ON target.oid = k.confrelid
WHERE k.contype = 'f' AND c.relnamespace = 'public'::regnamespace AND NOT c.relispartition
"""
FUNCTIONS = """
SELECT p.oid::regprocedure::text, p.prosecdef, coalesce(array_to_string(p.proconfig, ';'), ''),
       pg_get_userbyid(p.proowner),
       ARRAY(SELECT CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(acl.grantee)::text END
             FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) acl)
FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
"""
ROLES = """
SELECT r.rolname, r.rolcanlogin, r.rolsuper OR r.rolcreatedb OR r.rolcreaterole OR r.rolreplication, r.rolbypassrls,
       ARRAY(SELECT pg_get_userbyid(m.roleid)::text FROM pg_auth_members m WHERE m.member = r.oid),
       has_schema_privilege(r.oid, 'public', 'CREATE'),
       EXISTS (SELECT FROM pg_class c WHERE c.relowner = r.oid AND c.relpersistence <> 't')
       OR EXISTS (SELECT FROM pg_proc p WHERE p.proowner = r.oid)
       OR EXISTS (SELECT FROM pg_namespace n WHERE n.nspowner = r.oid AND n.nspname !~ '^pg_')
       OR EXISTS (SELECT FROM pg_database d WHERE d.datdba = r.oid)
FROM pg_roles r WHERE r.rolname LIKE 'portal\\_%'
"""


def list_faults(cursor: Any) -> list[str]:
    """Return every breach of the rules, one sentence each; an empty list means that accounts are kept apart."""

    def rows(query: str) -> list[Any]:
        cursor.execute(query)
        return list(cursor.fetchall())

    # A detached month is held to the same rules as a partition.
    relations = [
        (name, kind, is_partition or bool(DETACHED.fullmatch(name)), *rest)
        for name, kind, is_partition, *rest in rows(TABLES)
    ]
    account_columns = dict(rows(ACCOUNT_COLUMNS))
    tables = {row[0] for row in relations if row[1] in "rp" and not row[2]}
    tenant = {table for table in tables if table in account_columns} - PLATFORM_TABLES | {ACCOUNT_TABLE}
    partitions = {row[0] for row in relations if row[2]}
    rights = rows(TABLE_RIGHTS)
    return [
        *_relation_faults(relations, tenant),
        *_account_column_faults(account_columns, tenant),
        *_policy_faults(rows(POLICIES), tenant, partitions),
        *_right_faults(rights, tables, tenant),
        *_key_faults(rows(UNIQUE_KEYS), rows(FOREIGN_KEYS), tenant),
        *_function_faults(rows(FUNCTIONS)),
        *_role_faults(rows(ROLES)),
    ]


def _relation_faults(relations: list[Any], tenant: set[str]) -> Iterator[str]:
    for name, kind, is_partition, secured, forced, owner, options in relations:
        if owner != "portal_owner":
            yield f"{name} belongs to {owner}, not to the owner role"
        if kind == "m" or kind == "f":
            yield f"{name} is a materialized view or foreign table, which know no row-level security"
        if kind == "v" and "security_invoker=true" not in options:
            yield f"view {name} is not security_invoker and reads with its owner's rights"
        if (
            (name in tenant or name in OFFERED_TABLES or is_partition)
            and kind in "rp"
            and not (secured and forced)
        ):
            yield f"{name}: row-level security is not enabled and forced"


def _account_column_faults(columns: dict[str, bool], tenant: set[str]) -> Iterator[str]:
    for table in sorted(tenant - {ACCOUNT_TABLE}):
        if not columns[table] and table not in NULLABLE_ACCOUNT:
            yield f"{table}: account_id may be null"


def _policy_faults(policies: list[Any], tenant: set[str], partitions: set[str]) -> Iterator[str]:
    by_table: dict[str, list[Any]] = defaultdict(list)
    for policy in policies:
        by_table[policy[0]].append(policy)
    for table in sorted(tenant):
        column = "id" if table == ACCOUNT_TABLE else "account_id"
        yield from _tenant_policy_faults(table, OWN_ACCOUNT.format(column), by_table[table])
    for table, expected in OFFERED_TABLES.items():
        yield from _offered_policy_faults(table, expected, by_table[table])
    for partition in sorted(partitions):
        for _, name, _, _, _, _, roles in by_table[partition]:
            if roles != ["portal_owner"]:
                yield f"partition {partition}: policy {name} lets {', '.join(roles)} in"


def _offered_policy_faults(table: str, expected: str, policies: list[Any]) -> Iterator[str]:
    found = {
        (name, command, permissive, _one_line(using), check)
        for _, name, command, permissive, using, check, roles in policies
        if {"portal_web", "PUBLIC"} & set(roles)
    }
    if found != {("offered", "r", True, expected, None)}:
        yield f"{table}: the web role's policy is not that of what is offered to an account"
    open_to = {role for *_, using, _, roles in policies if using == "true" for role in roles}
    for role in sorted({*WRITERS, "portal_staff"} - open_to):
        yield f"{table}: {role} has no policy and would see nothing"


def _tenant_policy_faults(table: str, expected: str, policies: list[Any]) -> Iterator[str]:
    found = False
    open_to = set()
    for _, name, command, permissive, using, check, roles in policies:
        using, check = _one_line(using), _one_line(check)
        if "PUBLIC" in roles:
            yield f"{table}: policy {name} is for every role"
        if "portal_web" not in roles:
            open_to |= set(roles) if (using, command) == ("true", "*") else set()
            continue
        if name == "own_account":
            found = (command, permissive, using, check) == ("*", True, expected, expected)
        elif FURTHER_WEB_POLICIES.get((table, name)) != using or command != "r":
            yield f"{table}: policy {name} opens rows to the web role and is not on the list"
    if not found:
        yield f"{table}: the web role's policy is not the plain equality with its account"
    for role in WRITERS:
        if role not in open_to:
            yield f"{table}: {role} has no policy and would see nothing"


def _right_faults(rights: list[Any], tables: set[str], tenant: set[str]) -> Iterator[str]:
    actual: dict[tuple[str, str], set[str]] = defaultdict(set)
    for relation, grantee, right, column in rights:
        if grantee != "portal_owner":
            actual[relation, grantee].add(f"{right} {column}".strip())
    wanted = {
        (table, role): _rights_of(declared)
        for table, roles in GRANTS.items()
        for role, declared in roles.items()
    }
    for key in sorted(actual.keys() | wanted.keys()):
        if actual.get(key, set()) != wanted.get(key, set()):
            difference = sorted(actual.get(key, set()) ^ wanted.get(key, set()))
            yield f"{key[0]}: rights of {key[1]} differ from those declared in {', '.join(difference)}"
    for table in sorted(tables - GRANTS.keys()):
        yield f"{table} is not named in GRANTS"
    for table in sorted(GRANTS):
        if "portal_web" in GRANTS[table] and table not in tenant | SHARED_WITH_WEB | OFFERED_TABLES.keys():
            yield f"{table} has no account and is open to the web role"
        if table in OFFERED_TABLES:
            if GRANTS[table].get("portal_web") != "SELECT":
                yield f"{table} is offered to be read, and the web role may do something else"
        elif table in PLATFORM_TABLES and "portal_web" in GRANTS[table]:
            yield f"{table} is the platform's and open to the web role"


def _rights_of(declared: str) -> set[str]:
    """Read "SELECT, UPDATE (a, b)" into {"SELECT", "UPDATE a", "UPDATE b"}."""
    found = set()
    for right, columns in re.findall(r"([A-Z]+)(?: \(([^)]*)\))?", declared):
        found |= {f"{right} {column.strip()}" for column in columns.split(",")} if columns else {right}
    return found


def _key_faults(unique_keys: list[Any], foreign_keys: list[Any], tenant: set[str]) -> Iterator[str]:
    for table, index, columns in unique_keys:
        # A surrogate key is made by a sequence and never chosen by anybody, so it answers no question.
        if table in tenant - {ACCOUNT_TABLE} and columns != ["id"] and columns[:1] != ["account_id"]:
            yield f"{table}: unique key {index} does not begin with the account"
    composite = {
        (table, column)
        for table, _, _, columns in foreign_keys
        if "account_id" in columns
        for column in columns
    }
    for table, target, name, columns in foreign_keys:
        if table in tenant and target in tenant - {ACCOUNT_TABLE} and (table, columns[-1]) not in composite:
            yield f"{table}: foreign key {name} may point at another account's row"


def _function_faults(functions: list[Any]) -> Iterator[str]:
    definers = set()
    for name, is_definer, configuration, owner, executors in functions:
        if owner != "portal_owner":
            yield f"function {name} belongs to {owner}"
        if "PUBLIC" in executors:
            yield f"function {name} may be called by every role"
        if not is_definer:
            continue
        definers.add(name)
        if name not in SECURITY_DEFINER_FUNCTIONS:
            yield f"function {name} runs with its owner's rights and is not on the list"
        elif set(executors) - {"portal_owner"} != set(SECURITY_DEFINER_FUNCTIONS[name]):
            yield f"function {name} may be called by {', '.join(sorted(executors))}"
        # An unlisted pg_temp is searched first for types, so it has to stand last by name.
        if configuration != "search_path=pg_catalog, public, pg_temp":
            yield f"function {name} runs with its owner's rights and without a closed search_path"
    for name in sorted(SECURITY_DEFINER_FUNCTIONS.keys() - definers):
        yield f"function {name} is on the list and does not exist"


def _role_faults(roles: list[Any]) -> Iterator[str]:
    member_of = {"portal_migrate": ["portal_owner"], "portal_backup": ["pg_read_all_data"]}
    for name, can_login, is_powerful, bypasses, memberships, may_create, owns in roles:
        if is_powerful:
            yield f"{name} may make roles or databases, or is a superuser"
        if bypasses and name != "portal_backup":
            yield f"{name} passes row-level security"
        if memberships != member_of.get(name, []):
            yield f"{name} is a member of {', '.join(memberships) or 'nothing'}"
        if name == "portal_owner" and can_login:
            yield "the owner role can log in"
        if name in (*LOGIN_ROLES, "portal_backup") and (may_create or owns):
            yield f"{name} owns something or may create tables"


def _one_line(expression: str | None) -> str:
    return " ".join((expression or "").split())
