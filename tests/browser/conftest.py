"""A real server, a real browser and a small world that a whole module looks at."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Browser, Error, sync_playwright

from accounts.models import User
from tests.api.serving import Server, server
from tests.browser.visitor import WIDE, Visitor
from tests.browser.world import World, make_world
from tests.conftest import _empty_tables

__all__ = ["server"]

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
BACKEND = "allauth.account.auth_backends.AuthenticationBackend"
Visit = Callable[..., Visitor]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "visit" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start the installed Chromium; nothing is downloaded, so without one these tests are skipped."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(f"no browser here: none of {', '.join(PROGRAMS)} is installed")
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Playwright's loop runs in this thread, and Django takes that for asynchronous code.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        try:
            browser = playwright.chromium.launch(
                executable_path=program,
                args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
            )
        except Error as fault:
            pytest.skip(f"the browser at {program} does not start: {str(fault).splitlines()[0]}")
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def world(migrated_database: None, django_db_blocker: Any) -> Iterator[World]:
    """Make the rows once for a module; they are committed, since the server is another process."""
    with django_db_blocker.unblock():
        yield make_world()
        _empty_tables()


@pytest.fixture
def visit(browser: Browser, server: Server, world: World) -> Iterator[Visit]:
    """Return a function that seats a person at a browser of their own."""
    with ExitStack() as open_contexts:

        def seat(who: str = "", **options: Any) -> Visitor:
            context = browser.new_context(**{"viewport": {"width": WIDE, "height": 900}, **options})
            open_contexts.callback(context.close)
            context.set_default_timeout(10_000)
            if who:
                context.add_cookies([_session_cookie(world.people[who], server)])
            return Visitor(context.new_page(), server.url(""))

        yield seat


def _session_cookie(person: User, server: Server) -> Any:
    client = Client()
    client.force_login(person, backend=BACKEND)
    value = client.cookies[settings.SESSION_COOKIE_NAME].value
    return {"name": settings.SESSION_COOKIE_NAME, "value": value, "url": server.url("")}
