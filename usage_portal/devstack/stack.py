"""The two servers together: started once, shared by every command on the same directory, stopped last."""

import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from usage_portal.devstack import postgres, valkey
from usage_portal.devstack.environment import environment, wants_embedded_postgres, wants_embedded_valkey
from usage_portal.devstack.places import Places, make_places
from usage_portal.devstack.processes import Child, stop

WAIT_FOR_OWNER_SECONDS_MAX = 60.0


class StackBusy(Exception):
    """Another command owns this directory and this one needs it alone."""


@dataclass(frozen=True, slots=True)
class Stack:
    """Running servers, the environment that reaches them, and whether this process started them."""

    places: Places
    env: dict[str, str]
    database: str
    children: tuple[Child, ...]
    is_owner: bool


@contextmanager
def running_servers(
    *, var: Path, mode: str, database: str, alone: bool = False, throwaway: bool = False
) -> Iterator[Stack]:
    """Start the servers, or join those another command has started when `alone` is false."""
    places = make_places(var=var)
    with ExitStack() as cleanup:
        users = cleanup.enter_context((places.run / "users.lock").open("a"))
        fcntl.flock(users, fcntl.LOCK_SH)
        owner_file = cleanup.enter_context((places.run / "owner.json").open("a+"))
        is_owner = _try_lock(owner_file)
        if not is_owner and alone:
            raise StackBusy(f"{describe_owner(places)} is using {places.var}. Stop it, or set PORTAL_VAR.")
        if not is_owner:
            _wait_for_owner(places)
            yield _stack(places=places, mode=mode, database=database, children=(), is_owner=False)
            return
        _write_owner(owner_file, mode=mode)
        env = environment(places=places, mode=mode, database=database)
        children = []
        if wants_embedded_postgres():
            children.append(postgres.start_postgres(places=places, env=env, throwaway=throwaway))
            cleanup.callback(stop, children[-1])
            postgres.prepare_database(places=places, database=database)
        if wants_embedded_valkey():
            children.append(valkey.start_valkey(places=places, env=env))
            cleanup.callback(stop, children[-1])
        if not alone:
            cleanup.callback(_wait_for_users, users)
        yield _stack(places=places, mode=mode, database=database, children=tuple(children), is_owner=True)


def _stack(*, places: Places, mode: str, database: str, children: tuple[Child, ...], is_owner: bool) -> Stack:
    env = environment(places=places, mode=mode, database=database)
    return Stack(places=places, env=env, database=database, children=children, is_owner=is_owner)


def _try_lock(file: IO[str], *, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_owner(file: IO[str], *, mode: str) -> None:
    file.seek(0)
    file.truncate()
    json.dump({"pid": os.getpid(), "mode": mode}, file)
    file.flush()


def owner_of(places: Places) -> dict[str, object] | None:
    """What runs on this directory: its pid and mode, or None when nothing does."""
    path = places.run / "owner.json"
    if not path.exists():
        return None
    with path.open("r+") as file:
        if _try_lock(file, kind=fcntl.LOCK_SH):
            return None
        file.seek(0)
        text = file.read()
    return json.loads(text) if text else {"pid": 0, "mode": "starting"}


def describe_owner(places: Places) -> str:
    owner = owner_of(places) or {"pid": 0, "mode": "another command"}
    return f"./portal {owner['mode']} (process {owner['pid']})"


def _wait_for_owner(places: Places) -> None:
    deadline = time.monotonic() + WAIT_FOR_OWNER_SECONDS_MAX
    while not _servers_answer(places):
        if time.monotonic() > deadline or owner_of(places) is None:
            raise StackBusy(f"The servers of {places.var} did not answer; try again.")
        time.sleep(0.1)


def _servers_answer(places: Places) -> bool:
    if wants_embedded_postgres() and not postgres.answers(places):
        return False
    return not wants_embedded_valkey() or valkey.answers(places)


def _wait_for_users(users: IO[str]) -> None:
    """Others may have joined our servers; they go on until those are done."""
    if _try_lock(users):
        return
    print("Waiting for another ./portal command that uses these servers.", file=sys.stderr)
    fcntl.flock(users, fcntl.LOCK_EX)
