"""`./portal manage` and `faults`: one command beside running servers, left as they were found."""

import hashlib
import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from usage_portal.devstack.environment import wants_embedded_postgres, wants_embedded_valkey
from usage_portal.devstack.places import ROOT, Places, var_directory
from usage_portal.devstack.processes import Child, ChildFailed, die_with_parent, start, stop
from usage_portal.devstack.stack import Stack, owner_of, running_servers

DATABASE = "portal"
MANAGE = (sys.executable, str(ROOT / "manage.py"))

# These hand work to Celery, and without a worker would wait for ever.
NEEDS_WORKER = frozenset({"ingest", "load_demo"})
# These work on the migrations themselves or need no database.
NEEDS_NO_MIGRATION = frozenset(
    {
        "check",
        "collectstatic",
        "help",
        "makemigrations",
        "migrate",
        "showmigrations",
        "sqlmigrate",
        "spectacular",
    }
)
WORKER_PROCESSES = 3


def run_manage(arguments: list[str]) -> int:
    """Run a management command, with a Celery worker if it needs one and none runs."""
    name = arguments[0] if arguments else "help"
    with running_servers(var=var_directory(), mode="manage", database=DATABASE) as stack:
        if name == "migrate":
            _stamp_file(stack.places).unlink(missing_ok=True)
        elif name not in NEEDS_NO_MIGRATION and not name.startswith("-"):
            migrate(stack)
        worker = (
            worker_running(stack) if name in NEEDS_WORKER and _worker_is_missing(stack) else nullcontext()
        )
        with worker:
            return run_in_foreground([*MANAGE, *arguments], env=stack.env)


def run_faults(arguments: list[str]) -> int:
    """Run the faults beside no servers of ours: they start their own, kill them and start them again."""
    if not is_present("tests.faults"):
        return 1
    if not (wants_embedded_postgres() and wants_embedded_valkey()):
        print("portal: faults kills its servers, so it takes only embedded ones.", file=sys.stderr)
        return 1
    var = var_directory() / "faults"
    env = dict(os.environ) | {"PORTAL_VAR": str(var)}
    return run_in_foreground([sys.executable, "-m", "tests.faults", *arguments], env=env)


def is_present(module: str) -> bool:
    if importlib.util.find_spec(module) is not None:
        return True
    print(f"portal: {module.replace('.', '/')} is not part of this version.", file=sys.stderr)
    return False


def run_in_foreground(command: Sequence[str], *, env: Mapping[str, str]) -> int:
    """Run with the terminal: the child answers Ctrl-C itself, and we wait for it to end."""
    with subprocess.Popen(command, env=dict(env), preexec_fn=die_with_parent(signal.SIGTERM)) as process:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.terminate()
            return process.wait()
        finally:
            signal.signal(signal.SIGINT, before)


def migrate(stack: Stack) -> None:
    """Bring the database up to date, unless the same migrations have run in it before.

    A database the user named is left alone here: its operator decides when to migrate.
    """
    if not wants_embedded_postgres():
        return
    stamp = _stamp_file(stack.places)
    checksum = _migrations_checksum()
    if stamp.exists() and stamp.read_text() == checksum:
        return
    apply_migrations(env=stack.env)
    stamp.write_text(checksum)


def apply_migrations(*, env: Mapping[str, str]) -> None:
    print("Bringing the database up to date ...", file=sys.stderr, flush=True)
    command = [*MANAGE, "migrate", "--database=owner", "--no-input", "--verbosity=0"]
    if subprocess.run(command, env=dict(env), check=False).returncode != 0:
        raise ChildFailed("The database could not be brought up to date; see above.")


def _stamp_file(places: Places) -> Path:
    return places.var / "migrated"


def _migrations_checksum() -> str:
    """Our migrations, the grants applied after them, and the locked packages that bring migrations of their own."""
    digest = hashlib.sha256()
    others = [ROOT / "accounts" / "row_security.py", ROOT / "requirements.txt"]
    for file in sorted([*ROOT.glob("*/migrations/*.*"), *others]):
        if file.is_file():
            digest.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _worker_is_missing(stack: Stack) -> bool:
    """Beside a demo its worker serves; with a broker of the user's own, the user's workers do."""
    if not wants_embedded_valkey():
        return False
    owner = None if stack.is_owner else owner_of(stack.places)
    return owner is None or owner["mode"] != "demo"


@contextmanager
def worker_running(stack: Stack) -> Iterator[Child]:
    child = start_worker(stack)
    try:
        yield child
    finally:
        stop(child)


def start_worker(stack: Stack) -> Child:
    """A worker that also carries the beat: enough for one machine."""
    command = [sys.executable, "-m", "celery", "--app=usage_portal", "worker", "--beat"]
    command += [f"--schedule={stack.places.run / 'beat-schedule'}", f"--concurrency={WORKER_PROCESSES}"]
    command += ["--loglevel=WARNING", "--without-gossip", "--without-mingle"]
    return start(
        name="The Celery worker",
        command=command,
        env=stack.env,
        stop_signal=signal.SIGTERM,
        log=stack.places.log / "worker.log",
        cwd=ROOT,
    )
