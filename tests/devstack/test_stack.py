"""The embedded servers: shared, refused, stopped, and never left behind."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from usage_portal.devstack import environment, processes
from usage_portal.devstack.environment import DATABASE_ROLES
from usage_portal.devstack.places import ROOT, UnsafeDirectory, make_places
from usage_portal.devstack.stack import Stack, StackBusy, owner_of, running_servers

HOLD = """
import sys, time
from pathlib import Path
from usage_portal.devstack.stack import running_servers
with running_servers(var=Path(sys.argv[1]), mode="demo", database="portal", alone=True, throwaway=True):
    print("up", flush=True)
    time.sleep(120)
"""


@pytest.fixture
def own_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the servers of the test run, which otherwise count as the user's own."""
    for name in (*DATABASE_ROLES, "REDIS_URL", "CELERY_BROKER_URL", "SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def var() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="portal-stack-") as directory:
        yield Path(directory) / "var"


def _start(*, var: Path, alone: bool = False) -> Stack:
    with running_servers(var=var, mode="manage", database="portal", alone=alone, throwaway=True) as stack:
        return stack


@pytest.mark.database
@pytest.mark.usefixtures("own_servers")
def test_each_role_logs_in_and_only_the_owner_may_create(var: Path) -> None:
    with running_servers(var=var, mode="manage", database="portal", throwaway=True) as stack:
        found = {}
        for name, role in DATABASE_ROLES.items():
            with psycopg.connect(stack.env[name]) as connection:
                query = (
                    "SELECT session_user, has_schema_privilege('public', 'CREATE'), rolsuper FROM pg_roles"
                )
                found[role] = connection.execute(query + " WHERE rolname = current_user").fetchone()

    assert {role: row and row[0] for role, row in found.items()} == {role: role for role in found}
    assert {role for role, row in found.items() if row and row[1]} == {"portal_migrate"}
    assert not any(row[2] for row in found.values() if row)


@pytest.mark.database
@pytest.mark.usefixtures("own_servers")
def test_text_sorts_by_bytes_on_every_server(var: Path) -> None:
    with (
        running_servers(var=var, mode="manage", database="portal", throwaway=True) as stack,
        psycopg.connect(stack.env["DATABASE_URL"]) as connection,
    ):
        rows = connection.execute(
            "SELECT t FROM unnest(ARRAY['b', 'A', 'ä', 'a', 'B']) t ORDER BY t"
        ).fetchall()

    assert [text for (text,) in rows] == ["A", "B", "a", "b", "ä"]


@pytest.mark.usefixtures("own_servers")
def test_second_command_joins_and_a_lonely_one_is_refused(var: Path) -> None:
    with running_servers(var=var, mode="manage", database="portal", throwaway=True):
        with running_servers(var=var, mode="manage", database="portal", throwaway=True) as joined:
            assert not joined.is_owner
            assert joined.children == ()

        with (
            pytest.raises(StackBusy, match=r"\./portal manage \(process \d+\)"),
            running_servers(var=var, mode="demo", database="portal", alone=True),
        ):
            pass

    assert owner_of(make_places(var=var)) is None


@pytest.mark.usefixtures("own_servers")
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children that their parent died")
def test_killed_launcher_leaves_no_process_and_a_usable_directory(var: Path) -> None:
    launcher = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(var)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": "."},
    )
    assert launcher.stdout is not None
    assert launcher.stdout.readline() == b"up\n"
    children = psutil.Process(launcher.pid).children(recursive=True)

    launcher.send_signal(signal.SIGKILL)
    launcher.communicate()
    _, alive = psutil.wait_procs(children, timeout=10)

    assert len(children) >= 2
    assert alive == []
    assert _start(var=var, alone=True).is_owner


@pytest.mark.usefixtures("own_servers")
def test_second_start_is_quick(var: Path) -> None:
    _start(var=var)
    began = time.monotonic()

    _start(var=var)

    assert time.monotonic() - began < 5


@pytest.mark.usefixtures("own_servers")
def test_path_too_long_for_a_socket_moves_only_the_sockets() -> None:
    with tempfile.TemporaryDirectory() as directory:
        places = make_places(var=Path(directory) / ("v" * 100))

        assert places.sockets.parent == Path(tempfile.gettempdir())
        assert places.sockets.stat().st_mode & 0o777 == 0o700
        assert len(os.fsencode(places.postgres_socket)) <= 100
        places.sockets.rmdir()


def test_directory_prepared_by_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(UnsafeDirectory):
        make_places(var=tmp_path)


@pytest.mark.usefixtures("own_servers")
def test_naming_some_databases_is_refused_and_naming_all_starts_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://portal_web@db/portal")

    with pytest.raises(environment.MixedDatabases, match="MIGRATE_DATABASE_URL"):
        environment.wants_embedded_postgres()

    for name in environment.REQUIRED_DATABASES:
        monkeypatch.setenv(name, "postgresql://somebody@db/portal")
    assert not environment.wants_embedded_postgres()


@pytest.mark.usefixtures("own_servers")
def test_secret_key_is_made_once_and_private(tmp_path: Path) -> None:
    places = make_places(var=tmp_path)

    first = environment.environment(places=places, mode="demo", database="portal")["SECRET_KEY"]
    second = environment.environment(places=places, mode="demo", database="portal")["SECRET_KEY"]

    assert first == second
    assert len(first) >= 50
    assert (tmp_path / "secret_key").stat().st_mode & 0o777 == 0o600


def test_stopping_a_dead_child_ends_what_it_left_behind(tmp_path: Path) -> None:
    leave_a_process = "sleep 60 & echo $!"
    log = tmp_path / "log"
    child = processes.start(
        name="A shell", command=["sh", "-c", leave_a_process], env=dict(os.environ), log=log
    )
    child.process.wait()
    left = psutil.Process(int(log.read_text()))

    processes.stop(child)

    assert psutil.wait_procs([left], timeout=5)[1] == []
