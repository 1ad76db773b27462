"""Raw SQL as the web role, in every state that a connection can be in: what comes out that should not.

For any connection, straight to the server or through a pooler. The tables must hold rows of both accounts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import psycopg

Connection = psycopg.Connection[tuple[object, ...]]
Connect = Callable[[], Connection]

# Each asks for rows that are not ours; {column} names the account in this table.
STATEMENTS = (
    "SELECT {column} FROM {table}",
    "SELECT {column} FROM {table} WHERE {column} = {other}",
    "SELECT {column} FROM {table} WHERE {column} <> {ours}",
    "SELECT {column} FROM {table} WHERE NOT ({column} = {ours}) OR true",
    "WITH every AS (SELECT * FROM {table}) SELECT {column} FROM every WHERE {column} IN ({other})",
    "SELECT every.{column} FROM (TABLE {table}) every ORDER BY 1 DESC LIMIT 100",
    "SELECT max({column}) FROM {table} GROUP BY {column}",
    "SELECT a.{column} FROM {table} a LEFT JOIN {table} b ON b.{column} = a.{column}",
    "SELECT {column} FROM {table} UNION ALL SELECT {column} FROM {table} WHERE {column} = {other}",
    "SELECT {column} FROM {table} WHERE EXISTS (SELECT FROM {table} other WHERE other.{column} = {other})",
)
# What a setting that names nobody's account must give: nothing, or an error.
NOBODY = ("", "0", "-1", "999999999")
NONSENSE = ("abc", "1 OR true", "9223372036854775808", "{other}; RESET ROLE")


@dataclass(slots=True)
class Findings:
    """How much was asked, and every answer that was wrong."""

    statements: int = 0
    rows: int = 0
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Table:
    """A table or view of the web role's, and what its account column is called."""

    name: str
    column: str = "account_id"


def ask_everything(connect: Connect, tables: Iterable[Table], *, ours: int, other: int) -> Findings:
    """Ask every statement of every table in every state, and say what came out that should not."""
    findings = Findings()
    tables = tuple(tables)
    asking = _Asking(findings, ours, other)
    with connect() as fresh:
        for table in tables:
            for statement in STATEMENTS:
                asking.as_nobody(fresh, table, statement, "without an account")
            for setting in (*NOBODY, *NONSENSE):
                asking.as_nobody(fresh, table, STATEMENTS[0], f"as account {setting!r}", setting=setting)
    with connect() as used:
        for table in tables:
            for state, prepare in _states(used, other):
                for statement in STATEMENTS:
                    prepare()
                    asking.as_ours(used, table, statement, state)
            asking.as_nobody(used, table, STATEMENTS[0], "on a used connection")
    asking.in_threads(connect, tables)
    return findings


def _states(link: Connection, other: int) -> Iterator[tuple[str, Callable[[], None]]]:
    """What may have happened on a connection before; each has been another account's."""

    def another(ending: Callable[[], None]) -> Callable[[], None]:
        def prepare() -> None:
            link.execute("SELECT set_config('portal.account', %s, true)", [str(other)])
            ending()

        return prepare

    def fail() -> None:
        try:
            link.execute("SELECT 1 / 0")
        except psycopg.errors.DivisionByZero:
            link.rollback()

    def set_locally_by_itself() -> None:
        link.rollback()
        link.autocommit = True
        link.execute("SELECT set_config('portal.account', %s, true)", [str(other)])
        link.autocommit = False

    yield "at once", link.rollback
    yield "after a commit", another(link.commit)
    yield "after a rollback", another(link.rollback)
    yield "after an error", another(fail)
    yield "after a setting outside a transaction", set_locally_by_itself


@dataclass(slots=True)
class _Asking:
    findings: Findings
    ours: int
    other: int

    def rows(self, link: Connection, table: Table, statement: str) -> list[object]:
        self.findings.statements += 1
        text = statement.format(table=table.name, column=table.column, ours=self.ours, other=self.other)
        return [row[0] for row in link.execute(text).fetchall()]

    def as_nobody(
        self, link: Connection, table: Table, statement: str, state: str, *, setting: str | None = None
    ) -> None:
        """Without an account of its own a connection sees no row, or is told that it may not ask so."""
        try:
            if setting is not None:
                value = setting.format(other=self.other)
                link.execute("SELECT set_config('portal.account', %s, true)", [value])
            found = self.rows(link, table, statement)
        except psycopg.DataError:
            found = []
        link.rollback()
        if found:
            self.findings.faults.append(f"{table.name}: {len(found)} rows {state}")

    def as_ours(self, link: Connection, table: Table, statement: str, state: str) -> None:
        """As our account a connection sees our rows, and no other."""
        link.execute("SELECT set_config('portal.account', %s, true)", [str(self.ours)])
        found = self.rows(link, table, statement)
        link.rollback()
        self.findings.rows += len(found)
        if foreign := [account for account in found if account != self.ours]:
            self.findings.faults.append(f"{table.name}: {len(foreign)} foreign rows {state}, by {statement}")
        if statement == STATEMENTS[0] and not found:
            self.findings.faults.append(f"{table.name}: none of our own rows {state}")

    def in_threads(self, connect: Connect, tables: tuple[Table, ...]) -> None:
        """While a second thread is the other account, the first sees nothing of it."""
        turned, ended = threading.Event(), threading.Event()
        errors: list[str] = []

        def be_the_other() -> None:
            try:
                with connect() as theirs:
                    theirs.execute("SELECT set_config('portal.account', %s, true)", [str(self.other)])
                    theirs.execute(f"SELECT 1 FROM {tables[0].name}").fetchall()
                    turned.set()
                    ended.wait(60)
            except psycopg.Error as error:
                errors.append(str(error))
                turned.set()

        thread = threading.Thread(target=be_the_other)
        thread.start()
        turned.wait(60)
        try:
            with connect() as link:
                for table in tables:
                    self.as_ours(link, table, STATEMENTS[0], "beside a second thread")
        finally:
            ended.set()
            thread.join()
        self.findings.faults += errors
