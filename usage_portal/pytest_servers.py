"""Starts the embedded servers for the tests, before Django reads its settings.

Loaded with `-p usage_portal.pytest_servers`, since pytest-django reads the settings before any conftest. The
data lives in var/test (below PORTAL_VAR if set), away from the demo. Each xdist worker gets a database and
Redis numbers of its own on the same servers.
"""

import os
from collections.abc import Generator
from contextlib import ExitStack

import pytest

from usage_portal.devstack import postgres
from usage_portal.devstack.environment import environment, wants_embedded_postgres
from usage_portal.devstack.places import make_places, var_directory
from usage_portal.devstack.stack import running_servers

DATABASE = "portal_test"
DATABASE_FIXTURE = "portal_db"
# Valkey has 16 numbered databases, and each process needs one as broker and one as cache.
NUMBERED_DATABASES_PER_PROCESS = 2
PROCESSES_MAX = 8

_cleanup = ExitStack()


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, None, None]:
    """A wrapper runs before pytest-django's own hook, which reads the settings."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None:
        _start_servers()
    else:
        _join_servers(worker)
    try:
        return (yield)
    except BaseException:
        # Settings that do not load end the run before pytest asks anybody to clean up.
        _cleanup.close()
        raise


def _start_servers() -> None:
    var = var_directory() / "test"
    stack = _cleanup.enter_context(
        running_servers(var=var, mode="test", database=DATABASE, alone=True, throwaway=True)
    )
    _set_environment(stack.env)


def _join_servers(worker: str) -> None:
    number = int(worker.removeprefix("gw")) + 1
    if number >= PROCESSES_MAX:
        raise pytest.UsageError(f"At most {PROCESSES_MAX - 1} xdist workers share one Valkey.")
    database = f"{DATABASE}_{worker}"
    for name in os.environ["PORTAL_TEST_EMBEDDED"].split(","):
        os.environ.pop(name, None)
    places = make_places(var=var_directory())
    if wants_embedded_postgres():
        postgres.prepare_database(places=places, database=database)
    offset = number * NUMBERED_DATABASES_PER_PROCESS
    _set_environment(environment(places=places, mode="test", database=database, number_offset=offset))


def _set_environment(env: dict[str, str]) -> None:
    """Remember which variables we chose, so that an xdist worker can choose its own."""
    chosen = [name for name in env if name.endswith("_URL") and name not in os.environ]
    os.environ["PORTAL_TEST_EMBEDDED"] = ",".join(chosen)
    os.environ.update(env)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses the database by its fixture, before `-m` selects; nobody has to remember the mark."""
    for item in items:
        if DATABASE_FIXTURE in getattr(item, "fixturenames", ()):
            item.add_marker("database")


def pytest_unconfigure(config: pytest.Config) -> None:
    _cleanup.close()
