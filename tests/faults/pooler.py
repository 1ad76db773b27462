"""Debian's pgbouncer in transaction mode before the throw-away server, where it is installed."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.faults.cluster import Cluster, free_port
from usage_portal.devstack import postgres
from usage_portal.devstack.management import DATABASE
from usage_portal.devstack.processes import start, stop, wait_until_ready

START_SECONDS_MAX = 20.0
# Fewer than the clients, so that they share connections.
POOL_SIZE = 2
SETTINGS = """
[databases]
{database} = host={sockets} port=5432 dbname={database}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = transaction
default_pool_size = {pool}
"""


def find_pooler() -> str | None:
    """The program, or None where Debian's package is not installed."""
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


@contextmanager
def pooled(cluster: Cluster, directory: Path) -> Iterator[str]:
    """Run the pooler and give the address of the web role through it."""
    program = find_pooler()
    if program is None:
        raise RuntimeError("pgbouncer is not installed")
    port, users, settings = free_port(), directory / "users.txt", directory / "pgbouncer.ini"
    users.write_text('"portal_web" ""\n')
    settings.write_text(
        SETTINGS.format(
            database=DATABASE, sockets=cluster.places.sockets, port=port, users=users, pool=POOL_SIZE
        )
    )
    address = f"postgresql://portal_web@127.0.0.1:{port}/{DATABASE}"

    def answers() -> bool:
        try:
            psycopg.connect(address, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    # It refuses to run as root, like the server itself.
    child = start(
        name="pgbouncer",
        command=[*postgres._privilege_prefix(), program, str(settings)],
        env=cluster.env,
        stop_signal=signal.SIGINT,
        log=cluster.places.log / "pgbouncer.log",
        cwd=Path("/"),
    )
    try:
        wait_until_ready(child, is_ready=answers, seconds_max=START_SECONDS_MAX)
        yield address
    finally:
        stop(child)
