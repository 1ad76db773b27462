"""In a stage package only queries, operations and mapping may touch Django; the file's name says so."""

import ast
from pathlib import Path

import pytest

INSIGHTS = Path(__file__).resolve().parents[1] / "insights"
STAGES = ("values", "rating", "scenarios", "ingest", "metering", "billing", "exports", "feeds", "retention")
TOUCHES_DJANGO = ("queries", "operations", "mapping")
OUTSIDE = ("accounts", "celery", "django", "psycopg", "redis", "rest_framework")

PLAIN_FILES = [
    file
    for stage in STAGES
    for file in sorted((INSIGHTS / stage).rglob("*.py"))
    if file.stem.rpartition("_")[2] not in TOUCHES_DJANGO
]


def _imported_packages(file: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("file", PLAIN_FILES, ids=lambda file: str(file.relative_to(INSIGHTS)))
def test_only_files_named_for_it_touch_the_database(file: Path) -> None:
    imported = _imported_packages(file)

    assert not {name for name in imported if name.partition(".")[0] in OUTSIDE}
    assert not {name for name in imported if name.startswith("insights.models")}


# Sent to people as one file, so that what they read is all there is.
ALONE = INSIGHTS / "exports" / "verify_bill.py"


def test_what_is_sent_alone_knows_nothing_of_us() -> None:
    assert not _imported_packages(ALONE) & {"insights", "accounts", "usage_portal", "django"}


def test_files_are_short_enough_to_read_in_one_sitting() -> None:
    long = {
        str(file.relative_to(INSIGHTS)): lines
        for file in INSIGHTS.rglob("*.py")
        if "migrations" not in file.parts and file != ALONE and (lines := file.read_text().count("\n")) > 300
    }

    assert long == {}
