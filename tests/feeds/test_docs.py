"""The source that the operators' page describes is one that the portal takes."""

from __future__ import annotations

import re
from pathlib import Path

from insights.ingest.source_definition import parse_source_toml
from insights.web.staff_sources import EXAMPLE_TOML

DOCS = Path(__file__).parents[2] / "docs" / "feeds.md"


def test_the_documented_source_is_valid() -> None:
    example = re.search(r"```toml\n(.*?)```", DOCS.read_text(), re.DOTALL)

    assert example is not None
    assert parse_source_toml(example[1]).slug == "edge"


def test_the_example_on_the_page_is_valid() -> None:
    assert parse_source_toml(EXAMPLE_TOML).slug == "edge"
