"""The pages say what the code does: variables, limits, periods, examples, commands and links."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from django.core.management import get_commands

from accounts.operations.api_keys import LIVE_KEYS_MAX
from insights.api.parameters import LIMIT_MAX, PARAMETERS_MAX
from insights.feeds.backfill_queries import BATCHES_SHOWN_MAX
from insights.feeds.meter_toml import parse_meters_toml
from insights.ingest import backfill_queries, revert_operations, work_operations
from insights.ingest.grammar import TEXT_CHARACTERS_MAX
from insights.ingest.held_operations import HELD_BATCHES_MAX, HELD_LINES_MAX
from insights.ingest.limits import JSON_DEPTH_MAX, LINE_BYTES_MAX, Limits
from insights.ingest.series_operations import DIMENSION_VALUES_MAX
from insights.ingest.source_definition import parse_source_toml
from insights.metering.known_since_queries import LINES_LOOKED_AT_MAX
from insights.metering.usage_filter import VALUES_MAX

PROJECT = Path(__file__).resolve().parents[1]
DOCS = PROJECT / "docs"
PAGES = [
    *sorted(DOCS.glob("*.md")),
    *(page for page in PROJECT.glob("*/README.md")),
    *(page for page in PROJECT.glob("insights/*/README.md")),
    PROJECT / "README.md",
]
# Variables of the launcher and of tests, which no installation sets, and those of other programs.
NOT_FOR_INSTALLATIONS = {
    "BACKUP_DATABASE_URL", "PATH", "PORTAL_TEST_EMBEDDED", "PORTAL_TEST_POSTGRES", "PYTEST_XDIST_WORKER",
}  # fmt: skip


def variables_read() -> set[str]:
    """Every environment variable that is read anywhere by its name."""
    found = set()
    for folder in ("usage_portal", "accounts", "insights"):
        for file in sorted((PROJECT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and re.search(
                    r"(environ\.get|getenv|^env_(bool|list|count))$", ast.unparse(node.func)
                ):
                    found |= {value.value for value in node.args[:1] if isinstance(value, ast.Constant)}
                if isinstance(node, ast.Constant) and re.fullmatch(
                    r"([A-Z]+_)?DATABASE_URL", str(node.value)
                ):
                    found.add(node.value)
    return {str(name) for name in found if str(name).isupper()}


def test_every_variable_is_on_the_page() -> None:
    page = (DOCS / "operations.md").read_text(encoding="utf-8")

    assert sorted(name for name in variables_read() - NOT_FOR_INSTALLATIONS if f"`{name}`" not in page) == []


def test_no_variable_on_the_page_is_unknown() -> None:
    page = (DOCS / "operations.md").read_text(encoding="utf-8")
    table = page.partition("## Settings")[2].partition("\n## ")[0]

    assert set(re.findall(r"`([A-Z][A-Z_]+)`", table)) - variables_read() == set()


@pytest.mark.parametrize("example", sorted((DOCS / "examples").glob("*.toml")), ids=lambda path: path.name)
def test_every_example_is_taken(example: Path) -> None:
    text = example.read_text(encoding="utf-8")

    if "[[meters]]" in text or "aggregation" in text:
        assert parse_meters_toml(text)
    else:
        assert parse_source_toml(text).slug == example.stem


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_a_page_links_only_to_what_exists(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))

    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_a_page_names_only_files_that_exist(page: Path) -> None:
    named = re.findall(
        r"`((?:accounts|insights|usage_portal|docs|tests|templates)/[\w./-]+)`", page.read_text("utf-8")
    )

    assert [path for path in named if not (PROJECT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_a_page_names_only_commands_that_exist(page: Path) -> None:
    named = re.findall(r"(?:\./portal manage|manage\.py) ([a-z_]+)", page.read_text(encoding="utf-8"))

    assert set(named) - set(get_commands()) == set()


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("ingest_errors.md", f"{Limits().ratio} times its size"),
        ("ingest_errors.md", f"above {Limits().unpacked_bytes // 2**20} MiB"),
        ("ingest_errors.md", f"more than {Limits().lines:,} lines"),
        ("ingest_errors.md", f"{Limits().json_bytes // 2**20} MiB for one JSON document"),
        ("ingest_errors.md", f"nested deeper than {JSON_DEPTH_MAX}"),
        (
            "ingest_errors.md",
            f"above {TEXT_CHARACTERS_MAX} characters or a line above {LINE_BYTES_MAX // 1024} KiB",
        ),
        ("ingest_errors.md", f"a line above {Limits().physical_line_bytes // 2**20} MiB refuses the request"),
        ("operations.md", f"{HELD_LINES_MAX:,} lines in {HELD_BATCHES_MAX:,} batches"),
        ("ingest_errors.md", f"more than {HELD_LINES_MAX:,} lines or {HELD_BATCHES_MAX:,} batches"),
        (
            "operations.md",
            f"{backfill_queries.ACCOUNTS_KEPT_MAX} accounts, {backfill_queries.DAYS_KEPT_MAX:,} days of accounts",
        ),
        ("operations.md", f"{backfill_queries.REJECTS_KEPT_MAX} rejected lines"),
        ("operations.md", f"every batch, of which the page shows {BATCHES_SHOWN_MAX}"),
        ("operations.md", f"the first {revert_operations.DAYS_KEPT_MAX} are kept"),
        ("api.md", f"| {DIMENSION_VALUES_MAX:,}; known values still work | `dimension_limit`"),
        ("api.md", f"| {HELD_LINES_MAX:,} and {HELD_BATCHES_MAX:,} | `backfill_full`"),
        ("api.md", f"answer in JSON | {LIMIT_MAX:,} |"),
        ("api.md", f"parameters of one question | {PARAMETERS_MAX} |"),
        ("api.md", f"in one question | {VALUES_MAX} | `too_many_values`"),
        ("api.md", f"that are live | {LIVE_KEYS_MAX} |"),
        ("usage_pages.md", f"more than {LINES_LOOKED_AT_MAX:,} lines"),
        ("operations.md", f"lease of {work_operations.LEASE_SECONDS:.0f} s"),
    ],
)
def test_a_limit_on_a_page_is_the_one_that_holds(page: str, words: str) -> None:
    assert words in " ".join((DOCS / page).read_text(encoding="utf-8").split())
