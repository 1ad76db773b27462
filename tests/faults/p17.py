"""P17: an issued invoice never changes, whoever tries and whatever comes later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import psycopg

from tests.faults.bill_books import deliver, follow, open_companies
from tests.faults.bill_load import make_bills
from tests.faults.p13 import size_of
from tests.faults.site import Outcome, Site

SENTENCE = "An issued invoice never changes"
COUNT = 2_000
STATEMENTS_MIN = 60
ROLES = ("DATABASE_URL", "WORKER_DATABASE_URL", "STAFF_DATABASE_URL", "INTAKE_DATABASE_URL")
TABLES = (
    "insights_invoice", "insights_lineitem", "insights_invoicefile", "insights_invoicenumber", "insights_credituse",
    "insights_creditgrant",
)  # fmt: skip
# A trigger of each table, whose loss must be seen.
TRIGGERS = {
    "insights_invoice": "invoice_stays",
    "insights_lineitem": "lines_are_not_taken",
    "insights_invoicefile": "invoicefile_stays",
    "insights_invoicenumber": "invoicenumber_stays",
    "insights_credituse": "credituse_stays",
    "insights_creditgrant": "creditgrant_stays",
}
# Drafts are rewritten, so that of these two only the triggers keep what is issued.
WRITTEN_BY_THE_WORKER = ("insights_invoice", "insights_lineitem")
WAYS = (
    "DELETE FROM {table}{where}",
    "TRUNCATE {table} CASCADE",
    "MERGE INTO {table} t USING {table} s ON t.id = s.id WHEN MATCHED THEN UPDATE SET {first} = s.{first}",
    "WITH gone AS (DELETE FROM {table}{where} RETURNING *) SELECT count(*) FROM gone",
    "COPY {table} FROM STDIN",
    "ALTER TABLE {table} DISABLE TRIGGER ALL",
    "ALTER TABLE {table} DROP COLUMN {first}",
    "DROP TRIGGER {trigger} ON {table}",
    "DROP TABLE {table}",
)
PUT_OVER = """
INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM {table}{where}
ON CONFLICT (id) DO UPDATE SET {first} = excluded.{first}
"""
# A table without row-level security that takes rows by COPY as by INSERT, which changes none.
ONLY_ADDED_TO = ("insights_invoicenumber",)
ANOTHER_LINE = """
INSERT INTO insights_lineitem (account_id, invoice_id, position, key, kind, name, service_start, service_end,
    amount_minor, price_key, plan_key, meter_key, values, billed_quantity, unit, segment, steps, allotted, taxes,
    takes_credit)
SELECT account_id, invoice_id, position + 9000, key || ' again', kind, name, service_start, service_end,
    0, '', '', '', '{}', '', '', '{}', '[]', '{}', '{}', false
FROM insights_lineitem l
WHERE EXISTS (SELECT FROM insights_invoice i WHERE i.id = l.invoice_id AND i.state = 'issued')
"""
# Refused by a trigger, by the rights of the role, or by row-level security, and not for another reason.
REFUSALS = ("23001", "42501", "0A000")


def run(site: Site) -> Outcome:
    """Try every statement that would change an invoice as every role; then bring late rows and new prices."""
    count = site.count or COUNT
    outcome = Outcome("P17", SENTENCE, site.seed, faults_asked=STATEMENTS_MIN * len(ROLES))
    directory = site.directory / "load"
    make_bills(directory, seed=site.seed, size=size_of(count))
    world = open_companies(directory)
    follow(directory, world)
    _file_all()
    before = _prints(site)
    if site.sabotage:
        _break_each(site, outcome)
        return outcome
    _try_everything(site, outcome)
    _try_the_orm(outcome)
    _move_on(site, world)
    _look_again(site, outcome, before)
    outcome.check_faults()
    return outcome


def _file_all() -> None:
    """Make the file of every invoice."""
    from accounts.tenancy import as_worker
    from insights.billing.file_operations import file_invoice
    from insights.models import Invoice

    with as_worker():
        issued = list(Invoice.objects.filter(state="issued").values_list("pk", "issued_at"))
    for invoice_id, issued_at in issued:
        file_invoice(invoice_id, now=issued_at)


# What is tried.


def _statements(site: Site, tables: Sequence[str] = TABLES) -> Iterator[str]:
    """Every way to change a row of these tables: each column, rows gone, put over or added, and the guards off."""
    with psycopg.connect(site.conninfo) as connection:
        columns = connection.execute(
            "SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
            "WHERE c.relname = ANY(%s) AND a.attnum > 0 AND NOT a.attisdropped AND a.attidentity = '' "
            "ORDER BY 1, a.attnum",
            [list(tables)],
        ).fetchall()
    for table, column in columns:
        yield f"UPDATE {table} SET {column} = {column}{_only_issued(table)}"
    for table in tables:
        first = next(column for name, column in columns if name == table)
        ways = [way for way in WAYS if not (way.startswith("COPY") and table in ONLY_ADDED_TO)]
        for way in (*ways, PUT_OVER):
            yield way.format(table=table, first=first, where=_only_issued(table), trigger=TRIGGERS[table])
    if tables == TABLES:
        yield ANOTHER_LINE
        yield "SET session_replication_role = replica"


def _only_issued(table: str) -> str:
    if table == "insights_invoice":
        return " WHERE state = 'issued'"
    if table in ("insights_invoicenumber", "insights_creditgrant"):
        return ""
    return f" WHERE EXISTS (SELECT FROM insights_invoice i WHERE i.id = {table}.invoice_id AND i.state = 'issued')"


def _try_everything(site: Site, outcome: Outcome) -> None:
    statements = list(_statements(site))
    outcome.require(f"only {len(statements)} statements", holds=len(statements) >= STATEMENTS_MIN)
    for role in ROLES:
        with psycopg.connect(site.env[role]) as connection:
            answers = [(_answer(connection, statement), statement) for statement in statements]
        passed = [each for each in answers if each[0] not in (*REFUSALS, "no row")]
        outcome.faults += len(statements)
        outcome.differences += len(passed)
        outcome.require(f"{role}: {len(passed)} statements were not refused: {passed[:5]}", holds=not passed)
        unseen = sum(answer == "no row" for answer, _ in answers)
        outcome.figures.append(
            f"{role}: {len(statements)} statements, {unseen} of them see no row, the rest are refused"
        )


def _answer(connection: psycopg.Connection, statement: str) -> str:
    """The code with which the statement is refused, or how many rows it changed; all of it is taken back."""
    try:
        with connection.cursor() as cursor:
            if statement.startswith("COPY"):
                with cursor.copy(statement) as copy:
                    copy.write(b"1\n")
            else:
                cursor.execute(statement)
            found = cursor.fetchone()[0] if cursor.description else cursor.rowcount
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except psycopg.Error as error:
        return error.sqlstate or type(error).__name__
    finally:
        connection.rollback()
    return f"changed {found}" if found else "no row"


def _try_the_orm(outcome: Outcome) -> None:
    """The ways of the ORM and of the admin, which ends in the same ones."""
    from django.contrib import admin
    from django.db import DatabaseError, transaction
    from django.db.models import ProtectedError

    from accounts.tenancy import as_worker
    from insights.models import Invoice, LineItem

    with as_worker():
        invoice = Invoice.objects.filter(state="issued", lines__isnull=False).order_by("pk")[0]
        line = LineItem.objects.filter(invoice=invoice).order_by("position")[0]
    acts = [
        lambda: Invoice.objects.filter(pk=invoice.pk).update(total_minor=1),
        lambda: Invoice.objects.bulk_update([invoice], ["due_at"]),
        lambda: LineItem.objects.filter(pk=line.pk).update(amount_minor=1),
        lambda: LineItem.objects.bulk_update([line], ["name"]),
        lambda: LineItem.objects.filter(pk=line.pk)._raw_delete("worker"),
        invoice.save, invoice.delete, line.save, line.delete,
    ]  # fmt: skip
    for act in acts:
        outcome.faults += 1
        with as_worker():
            try:
                with transaction.atomic(using="worker"):
                    act()
            except (DatabaseError, ProtectedError):
                continue
        outcome.differences += 1
        outcome.failures.append("the ORM changed an issued invoice")
    shown = [model for model in (Invoice, LineItem) if admin.site.is_registered(model)]
    outcome.figures.append(
        f"{len(acts)} ways of the ORM refused; {len(shown)} of both models are in the admin"
    )


# What comes later.


def _move_on(site: Site, world: dict[str, Any]) -> None:
    """Send every file again with other quantities as a later revision, change all prices, and bill once more."""
    from accounts.tenancy import as_worker
    from insights.models import Plan, Source
    from tests.billing.scene import fee, publish
    from tests.faults.bill_books import bill_everybody

    last = datetime.fromisoformat(world["steps"][-1]["bill"])
    with as_worker():
        for plan in Plan.objects.filter(kind="base"):
            prices = [fee("base", "999", currency=plan.currency)]
            publish(plan, prices, number=99, effective_from=last + timedelta(days=400))
        source = Source.objects.get(slug="edge")
    for step in world["steps"]:
        if "deliver" in step:
            deliver(source, _revised((site.directory / "load" / step["deliver"]).read_text()))
    bill_everybody(last + timedelta(days=31))


def _revised(text: str) -> bytes:
    head, *lines = text.splitlines()
    cells = [line.split(",") for line in lines]
    rows = [[*row[:3], "3", "9", *row[5:]] for row in cells[::3]]
    return ("\n".join([head, *(",".join(row) for row in rows)]) + "\n").encode()


Print = tuple[bytes, bytes, bytes]


def _prints(site: Site) -> dict[int, Print]:
    """Of every issued invoice: the hash stored with it, one of its row and lines as they are, and its file."""
    with psycopg.connect(site.conninfo) as connection:
        return {
            invoice_id: (bytes(stored), sha256(text.encode()).digest(), bytes(content or b""))
            for invoice_id, stored, text, content in connection.execute(
                "SELECT i.id, i.sha256, (i.*)::text || coalesce("
                "(SELECT string_agg((l.*)::text, ' ' ORDER BY l.position) "
                "FROM insights_lineitem l WHERE l.account_id = i.account_id AND l.invoice_id = i.id), ''), "
                "(SELECT f.content FROM insights_invoicefile f "
                "WHERE f.account_id = i.account_id AND f.invoice_id = i.id) "
                "FROM insights_invoice i WHERE i.state = 'issued' ORDER BY i.id"
            )
        }


def _look_again(site: Site, outcome: Outcome, before: dict[int, Print]) -> None:
    """Rows, stored hashes and files are those of before, and a file made anew has the same bytes."""
    from accounts.tenancy import as_worker
    from insights.billing.bill_pdf import render_invoice_pdf
    from insights.billing.bill_queries import get_bill
    from insights.billing.invoice_mapping import invoice_hash
    from insights.models import Invoice, LineItem

    after = _prints(site)
    changed = [invoice_id for invoice_id, found in before.items() if after.get(invoice_id) != found]
    wrong_hash, other_file = [], []
    for invoice_id in before:
        with as_worker():
            invoice = Invoice.objects.select_related("account").get(pk=invoice_id)
            lines = list(
                LineItem.objects.filter(account=invoice.account_id, invoice=invoice).order_by("position")
            )
            bill = get_bill(
                invoice.account, public_id=invoice.public_id, now=invoice.issued_at + timedelta(days=900)
            )
        if invoice_hash(invoice, lines) != before[invoice_id][0]:
            wrong_hash.append(invoice_id)
        if bill is None or render_invoice_pdf(bill) != before[invoice_id][2]:
            other_file.append(invoice_id)
    outcome.rows += 3 * len(before)
    for what, found in (
        ("changed", changed),
        ("no longer have their hash", wrong_hash),
        ("print otherwise", other_file),
    ):
        outcome.differences += len(found)
        outcome.require(f"{len(found)} invoices {what}: {found[:5]}", holds=not found)
    outcome.figures.append(
        f"{len(before)} invoices with hash and file as they were, after late revisions of a third of all rows, "
        f"new prices and {len(after) - len(before)} more invoices"
    )


# Sabotage.


@contextmanager
def _owner(site: Site) -> Iterator[Any]:
    with psycopg.connect(site.env["MIGRATE_DATABASE_URL"], autocommit=True) as connection:
        connection.execute("SET ROLE portal_owner")
        yield connection


def _break_each(site: Site, outcome: Outcome) -> None:
    """Switch off one table's trigger after the other, and the lack of rights where that is there too; all must show."""
    unseen = []
    for table, trigger in TRIGGERS.items():
        with _owner(site) as owner:
            owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER {trigger}")
            if table not in WRITTEN_BY_THE_WORKER:
                owner.execute(f"GRANT UPDATE, DELETE ON {table} TO portal_worker")
        with psycopg.connect(site.env["WORKER_DATABASE_URL"]) as connection:
            answers = [_answer(connection, statement) for statement in _statements(site, [table])]
        if not any(answer.startswith("changed") for answer in answers):
            unseen.append(table)
        with _owner(site) as owner:
            owner.execute(f"ALTER TABLE {table} ENABLE TRIGGER {trigger}")
            if table not in WRITTEN_BY_THE_WORKER:
                owner.execute(f"REVOKE UPDATE, DELETE ON {table} FROM portal_worker")
    outcome.figures.append(
        f"{len(TRIGGERS) - len(unseen)} of {len(TRIGGERS)} tables without their trigger were seen"
    )
    # Red means that every single one was seen.
    outcome.require(f"{len(TRIGGERS)} breakages seen, table by table", holds=bool(unseen))
