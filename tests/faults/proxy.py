"""The proxy of docs/nginx.conf before the web server, on a port of its own, where nginx is installed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.cluster import Cluster, free_port
from usage_portal.devstack.places import ROOT
from usage_portal.devstack.processes import start, stop, wait_until_ready

START_SECONDS_MAX = 20.0
# What the file leaves to the machine: everything is kept below one directory, and nothing is written elsewhere.
OWN_PLACES = """http {{
    access_log off;
    client_body_temp_path {directory}/bodies;
    proxy_temp_path {directory}/answers;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
"""


def find_proxy() -> str | None:
    """The program, or None where Debian's package is not installed."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


@contextmanager
def proxied(cluster: Cluster, directory: Path) -> Iterator[int]:
    """Run nginx with the file as it ships, but for its ports and places, and give its port."""
    program = find_proxy()
    if program is None:
        raise RuntimeError("nginx is not installed")
    port = free_port()
    text = (ROOT / "docs" / "nginx.conf").read_text()
    for shipped, ours in (
        ("127.0.0.1:8000", f"127.0.0.1:{cluster.port}"),
        ("127.0.0.1:8080", f"127.0.0.1:{port}"),
        ("http {\n", OWN_PLACES.format(directory=directory)),
    ):
        if text.count(shipped) != 1:
            raise RuntimeError(f"docs/nginx.conf does not name {shipped.strip()!r} once")
        text = text.replace(shipped, ours)
    settings = directory / "nginx.conf"
    settings.write_text(text)
    said = f"daemon off; pid {directory}/nginx.pid; error_log {directory}/error.log;"
    # As root its workers would be another user, who may not look into a private directory.
    said += " user root;" if os.geteuid() == 0 else ""
    child = start(
        name="nginx",
        command=[
            program,
            "-p",
            str(directory),
            "-e",
            f"{directory}/error.log",
            "-c",
            str(settings),
            "-g",
            said,
        ],
        env=cluster.env,
        stop_signal=signal.SIGTERM,
        log=directory / "nginx.log",
    )
    try:
        wait_until_ready(child, is_ready=lambda: _listens(port), seconds_max=START_SECONDS_MAX)
        yield port
    finally:
        stop(child)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
