"""`./portal demo`: everything on one machine, in order, until Ctrl-C; and `./portal stop`.

Pages are served while the demo data still loads. If any process dies, all are stopped and it is named.
"""

import os
import shutil
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack

from usage_portal.devstack.environment import wants_embedded_postgres
from usage_portal.devstack.management import DATABASE, MANAGE, apply_migrations, migrate, start_worker
from usage_portal.devstack.places import ROOT, make_places, var_directory
from usage_portal.devstack.processes import Child, ChildFailed, start, stop, wait_until_ready
from usage_portal.devstack.stack import Stack, StackBusy, owner_of, running_servers
from usage_portal.devstack.static_files import collecting_static_files

PORT_DEFAULT = 8000
WEB_START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 60.0
SUPERVISE_SECONDS = 0.2


def run_demo(arguments: list[str]) -> int:
    """Start everything, load the data, and stay until a process ends or the user asks to stop."""
    began = time.monotonic()
    port = _free_port()
    with ExitStack() as cleanup:
        _say("Starting PostgreSQL and Valkey ...")
        stack = cleanup.enter_context(
            running_servers(var=var_directory(), mode="demo", database=DATABASE, alone=True)
        )
        collecting = cleanup.enter_context(collecting_static_files(stack))
        _migrate(stack)
        worker = start_worker(stack)
        cleanup.callback(stop, worker)
        loader = start(name="The demo data", command=[*MANAGE, "load_demo"], env=stack.env)
        cleanup.callback(stop, loader)
        collecting.wait()
        web = _start_web(stack, port=port)
        cleanup.callback(stop, web)
        address = f"http://127.0.0.1:{port}/"
        servers = (*stack.children, worker)
        wait_until_ready(
            web,
            is_ready=lambda: _all_run(servers) and not _has_failed(loader) and _answers(address),
            seconds_max=WEB_START_SECONDS_MAX,
        )
        _say(
            f"Pages are served at {address} after {time.monotonic() - began:.0f} s. Ctrl-C stops everything."
        )
        _supervise((*servers, web), loader=loader, address=address, began=began)
    return 0


def stop_demo(arguments: list[str]) -> int:
    """Ask a running demo to stop and wait until it has."""
    places = make_places(var=var_directory())
    owner = owner_of(places)
    if owner is None:
        _say("Nothing is running.")
        return 0
    pid = int(str(owner["pid"]))
    if owner["mode"] != "demo":
        _say(f"./portal {owner['mode']} (process {pid}) is running; it stops by itself when it is done.")
        return 1
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS_MAX
    while owner_of(places) is not None:
        if time.monotonic() > deadline:
            raise StackBusy(f"The demo (process {pid}) did not stop within {STOP_SECONDS_MAX:.0f} s.")
        time.sleep(SUPERVISE_SECONDS)
    _say("Stopped.")
    return 0


def _free_port() -> int:
    """The port to serve on, refused with the way out when something else listens there."""
    text = os.environ.get("PORT") or str(PORT_DEFAULT)
    if not text.isdigit() or not 0 < int(text) < 65_536:
        raise StackBusy(f"PORT must be a number from 1 to 65535, not {text!r}.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(text)))
        except OSError as refused:
            raise StackBusy(
                f"Port {text} cannot be used ({refused.strerror}). Choose another: PORT=8001 ./portal demo"
            ) from refused
    return int(text)


def _migrate(stack: Stack) -> None:
    if wants_embedded_postgres():
        migrate(stack)
    else:
        apply_migrations(env=stack.env)


def _start_web(stack: Stack, *, port: int) -> Child:
    metrics = stack.places.run / "metrics"
    shutil.rmtree(metrics, ignore_errors=True)
    metrics.mkdir()
    command = [sys.executable, "-m", "gunicorn", "--config", str(ROOT / "usage_portal" / "gunicorn_conf.py")]
    return start(
        name="The web server",
        command=[*command, "usage_portal.wsgi"],
        env=stack.env | {"PORT": str(port), "PROMETHEUS_MULTIPROC_DIR": str(metrics)},
        log=stack.places.log / "web.log",
        cwd=ROOT,
    )


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}healthz", timeout=5) as answer:  # noqa: S310 - our own address
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def _supervise(children: tuple[Child, ...], *, loader: Child, address: str, began: float) -> None:
    """Stay while all run. The loader may end when it is done; the others may not."""
    loading = True
    while _all_run(children) and not _has_failed(loader):
        if loading and loader.has_ended():
            loading = False
            _say(f"Ready after {time.monotonic() - began:.0f} s: {address}")
        time.sleep(SUPERVISE_SECONDS)


def _all_run(children: tuple[Child, ...]) -> bool:
    for child in children:
        if child.has_ended():
            raise child.failure("ended, so everything else was stopped.")
    return True


def _has_failed(loader: Child) -> bool:
    if loader.has_ended() and loader.process.returncode != 0:
        raise ChildFailed("The demo data could not be loaded; see above.")
    return False


def _say(sentence: str) -> None:
    print(sentence, flush=True)
