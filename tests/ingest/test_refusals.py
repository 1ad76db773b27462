"""Every code is in the table, every code of the table is explained, and none is made up elsewhere."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from insights.ingest.refusals import CODES, Refusal, RequestRefused

PAGE = Path("docs/ingest_errors.md")
RAISED = {"Refusal", "RequestRefused", "RejectedLine"}


def explained() -> dict[str, tuple[str, ...]]:
    rows = re.findall(r"^\| `([a-z_]+)` \| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    codes = [code for code, _ in rows]
    assert len(codes) == len(set(codes))
    return {code: tuple(cell.strip() for cell in rest.split(" | ")) for code, rest in rows}


def test_the_page_and_the_code_base_name_the_same_codes() -> None:
    assert set(explained()) == set(CODES)


def test_the_page_says_where_each_code_stands_and_whether_it_may_pass_later() -> None:
    for code, (level, retryable, meaning, mend) in explained().items():
        fact = CODES[code]
        expected = [*([str(fact.status)] if fact.status else []), *(["row"] if fact.row else [])]
        assert level.split(", ") == expected, code
        assert (retryable == "yes") == fact.retryable, code
        assert meaning.endswith("."), code
        assert mend.endswith("."), code


def literal_codes() -> Iterator[tuple[str, str]]:
    for path in sorted(Path("insights").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or getattr(node.func, "id", None) not in RAISED:
                continue
            named = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
            for value in (*named, *node.args[:1]):
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    yield str(path), value.value


def test_no_code_is_raised_that_the_table_lacks() -> None:
    found = list(literal_codes())

    assert len(found) > 50
    assert [place for place in found if place[1] not in CODES] == []


def test_a_code_cannot_stand_where_it_does_not_belong() -> None:
    with pytest.raises(KeyError):
        Refusal("made_up", "field", "message")
    with pytest.raises(ValueError, match="does not refuse a row"):
        Refusal("archive_bomb", "field", "message")
    with pytest.raises(ValueError, match="does not refuse a request"):
        RequestRefused("bad_unit", "detail")
