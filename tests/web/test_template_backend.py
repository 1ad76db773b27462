"""What a page was made of is let go of with the page, and not by a later search for cycles."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest
from django.template import TemplateDoesNotExist, engines
from django.test import RequestFactory


class Shown:
    """Something that a page shows."""


@pytest.fixture
def no_search() -> Iterator[None]:
    """Nobody looks for cycles."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_search")
def test_nothing_waits_for_the_search_for_cycles() -> None:
    shown = Shown()
    left = weakref.ref(shown)
    template = engines["django"].from_string("{% with one=shown %}{% if one %}shown{% endif %}{% endwith %}")

    text = template.render({"shown": shown}, RequestFactory().get("/"))
    del shown

    assert text == "shown"
    assert left() is None


def test_a_template_that_is_not_there_is_named() -> None:
    with pytest.raises(TemplateDoesNotExist, match=r"no_such_page\.html") as raised:
        engines["django"].get_template("no_such_page.html")
    assert raised.value.backend is engines["django"]
