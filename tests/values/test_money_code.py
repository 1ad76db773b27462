"""What code about money may not contain: floats, and hundredths where a currency has its own decimals."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
MONEY_FILES = [
    file
    for package in ("values", "rating", "billing")
    for file in sorted((PROJECT / "insights" / package).glob("*.py"))
]
PURE_MODULES = [
    f"insights.{file.parent.name}.{file.stem}"
    for file in MONEY_FILES
    if file.stem != "__init__" and file.stem.rpartition("_")[2] not in ("queries", "operations", "mapping")
]
WITHOUT_DJANGO = """
import sys

class NoDjango:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("django", "accounts", "celery", "psycopg"):
            raise ImportError(name)

sys.meta_path.insert(0, NoDjango())
for module in sys.argv[1:]:
    __import__(module)
"""


@pytest.mark.parametrize("file", MONEY_FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_no_float_and_no_hundredth_is_in_it(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    constants = [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)]

    assert "float(" not in text
    assert not re.search(r"/ ?100\b", text)
    assert [value for value in constants if isinstance(value, float)] == []
    assert "ROUND_HALF_EVEN" not in text
    assert not re.search(r"\bround\(", text)


def test_the_money_core_imports_without_django() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_DJANGO, *PURE_MODULES],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert len(PURE_MODULES) > 8
