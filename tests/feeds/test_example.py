"""The source that the page for a new source begins with is one that the portal takes."""

from __future__ import annotations

from insights.ingest.source_definition import parse_source_toml
from insights.web.staff_sources import EXAMPLE_TOML


def test_the_example_on_the_page_is_valid() -> None:
    assert parse_source_toml(EXAMPLE_TOML).slug == "edge"
