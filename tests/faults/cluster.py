"""A throw-away PostgreSQL with fsync on, a Valkey and a web server, all of which the promises may kill.

Everything is reached through sockets in one directory, and through 127.0.0.1 for HTTP. Only processes started here
are ended.
"""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil
import psycopg
import redis

from usage_portal.devstack import postgres, valkey
from usage_portal.devstack.environment import environment
from usage_portal.devstack.management import DATABASE, apply_migrations
from usage_portal.devstack.places import ROOT, make_places
from usage_portal.devstack.processes import Child, start, stop, wait_until_ready

TEMPLATE = "portal_template"
WEB_SECONDS_MAX = 60.0
WEB_WORKERS = 2


class Cluster:
    """The servers of one run."""

    def __init__(self, var: Path) -> None:
        self.places = make_places(var=var)
        self.env = environment(places=self.places, mode="manage", database=DATABASE)
        self.postgres: Child | None = None
        self.valkey: Child | None = None
        self.web: Child | None = None
        self.port = free_port()

    def start(self) -> None:
        """Start both servers and make the database that the others are copies of."""
        self.start_postgres()
        self.start_redis()
        with self.superuser() as connection:
            # Of an earlier run, perhaps with other migrations.
            connection.execute(f"DROP DATABASE IF EXISTS {TEMPLATE} WITH (FORCE)")
        postgres.prepare_database(places=self.places, database=TEMPLATE)
        apply_migrations(env=environment(places=self.places, mode="manage", database=TEMPLATE))

    def stop(self) -> None:
        for child in (self.web, self.valkey, self.postgres):
            if child is not None:
                stop(child)

    def fresh_database(self) -> None:
        """Give the next promise empty tables and an empty queue."""
        with self.superuser() as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {DATABASE} OWNER portal_owner TEMPLATE {TEMPLATE}")
        postgres.prepare_database(places=self.places, database=DATABASE)
        self.flush_redis()

    def superuser(self) -> psycopg.Connection:
        return psycopg.connect(postgres.superuser_conninfo(self.places), autocommit=True)

    def start_postgres(self) -> None:
        self.postgres = postgres.start_postgres(places=self.places, env=self.env, throwaway=False)

    def stop_postgres(self, how: signal.Signals) -> None:
        """SIGQUIT is an immediate stop without a checkpoint, SIGINT a fast one."""
        assert self.postgres is not None
        self.postgres.process.send_signal(how)
        self.postgres.process.wait(60)

    def start_redis(self) -> None:
        self.valkey = valkey.start_valkey(places=self.places, env=self.env)

    def kill_redis(self) -> None:
        assert self.valkey is not None
        self.valkey.process.kill()
        self.valkey.process.wait()

    def flush_redis(self) -> None:
        client = redis.Redis(unix_socket_path=str(self.places.valkey_socket), socket_timeout=5)
        client.flushall()
        client.close()

    def start_web(self, **more: str) -> None:
        """Serve pages and the API with gunicorn, as in production, without collected static files."""
        command: Sequence[str] = (
            sys.executable, "-m", "gunicorn", "--config", str(ROOT / "usage_portal" / "gunicorn_conf.py"),
            "tests.faults.web_app:application",
        )  # fmt: skip
        self.web = start(
            name="The web server",
            command=command,
            env=web_environment(self.env, port=self.port) | more,
            log=self.places.log / "web.log",
            cwd=ROOT,
        )
        wait_until_ready(self.web, is_ready=self.answers, seconds_max=WEB_SECONDS_MAX)

    def stop_web(self) -> None:
        if self.web is not None:
            stop(self.web)
            self.web = None

    def answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def web_workers(self) -> list[int]:
        """The processes that answer requests; gunicorn's first process only watches them."""
        assert self.web is not None
        return [child.pid for child in psutil.Process(self.web.process.pid).children()]


def web_environment(env: Mapping[str, str], *, port: int) -> dict[str, str]:
    return dict(env) | {"PORT": str(port), "WEB_CONCURRENCY": str(WEB_WORKERS), "PORTAL_MODE": "test"}


def free_port() -> int:
    """A port on loopback that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(is_so: Callable[[], bool], *, seconds: float, poll: float = 0.1) -> bool:
    """Ask until the answer is yes; False when the time is over."""
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(poll)
    return True


def manage(env: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a management command to its end."""
    return subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        env=dict(env), capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
