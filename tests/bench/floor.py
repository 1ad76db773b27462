"""PostgreSQL itself on the same rows: COPY into a table of the same shape, and COPY out by psql."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import psycopg

from accounts.tenancy import as_owner, connection
from tests.bench.site import Spent, postgres_cpu_seconds, settle

COLUMNS = "account_id, series_id, window_start, entry_id, batch_id, line_no, revision, quantity, row_id"


def dump_rows(file: Path, *, source_id: int) -> None:
    """Write the rows that the product has just stored, in the order of the files they came in."""
    with psycopg.connect(os.environ["MIGRATE_DATABASE_URL"]) as owner, file.open("wb") as out:
        statement = (
            f"COPY (SELECT {COLUMNS} FROM insights_usagerecord WHERE batch_id IN "
            f"(SELECT id FROM insights_batch WHERE source_id = {int(source_id)}) ORDER BY batch_id, line_no) TO STDOUT"
        )
        with owner.cursor().copy(statement) as copy:
            for piece in copy:
                out.write(piece)


def make_tables() -> None:
    """Make the same partitions with the same key and checks, beside the product's own."""
    with as_owner(), connection().cursor() as cursor:
        cursor.execute(
            "CREATE TABLE bench_floor (LIKE insights_usagerecord INCLUDING ALL) PARTITION BY RANGE (window_start)"
        )
        cursor.execute(
            "SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i "
            "JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'insights_usagerecord'::regclass"
        )
        for name, bounds in cursor.fetchall():
            cursor.execute(f"CREATE TABLE bench_{name} PARTITION OF bench_floor {bounds}")


def copy_in(file: Path) -> Spent:
    """Load the rows by one COPY into the empty table, in one stream."""
    with psycopg.connect(os.environ["MIGRATE_DATABASE_URL"], autocommit=True) as owner:
        owner.execute("TRUNCATE bench_floor")
        settle()
        cpu = postgres_cpu_seconds() + time.process_time()
        began = time.perf_counter()
        with file.open("rb") as rows, owner.cursor().copy(f"COPY bench_floor ({COLUMNS}) FROM STDIN") as copy:
            while piece := rows.read(256 * 1024):
                copy.write(piece)
        return Spent(time.perf_counter() - began, postgres_cpu_seconds() + time.process_time() - cpu)


def copy_out(statement: str, *, account_id: int, file: Path) -> float:
    """Write what a COPY statement gives to a file by psql, as the web role and under the same policies."""
    env = os.environ | {"PGOPTIONS": f"-c portal.account={account_id} -c statement_timeout=0"}
    with file.open("wb") as out:
        began = time.perf_counter()
        subprocess.run(
            ["psql", "--no-psqlrc", "--quiet", os.environ["DATABASE_URL"], "--command", statement],
            env=env, stdout=out, check=True,
        )  # fmt: skip
        return time.perf_counter() - began
