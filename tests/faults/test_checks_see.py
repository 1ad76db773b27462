"""The checks of `./portal faults` are independent and see what they must; samples of the promises lie beside them."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from tests.faults import bill_facts, bill_oracle, bill_sums, oracle, p01, sabotage
from tests.faults.site import Outcome, Site
from usage_portal.celery import app

pytestmark = [pytest.mark.database, pytest.mark.slow, pytest.mark.usefixtures("portal_db")]

# Short, so that a sample of recoveries fits; the full run keeps the product's own thirty seconds.
LEASE_SECONDS = 3.0
ORACLES = (oracle, bill_facts, bill_sums, bill_oracle)


def try_promise(promise: object, directory: Path, *, count: int, sabotage: str = "") -> Outcome:
    """Run one promise small."""
    # Whatever an earlier test rang for is gone from the database, so the bell's queue starts empty.
    app.control.purge()
    site = Site(
        env=dict(os.environ), directory=directory, seed=20261123, count=count, lease_seconds=LEASE_SECONDS,
        sabotage=sabotage,
    )  # fmt: skip
    return promise.run(site)  # type: ignore[attr-defined, no-any-return]


def test_the_oracles_know_nothing_of_the_product() -> None:
    known = {f"tests.faults.{module.__name__.rpartition('.')[2]}" for module in ORACLES}
    for module in ORACLES:
        tree = ast.parse(Path(module.__file__ or "").read_text())
        named = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        named |= {
            alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
        }

        assert {name.partition(".")[0] for name in named - known} <= sys.stdlib_module_names


def test_what_is_broken_on_purpose_is_there() -> None:
    """A function that has moved would be broken nowhere, and its check stay green."""
    absent = []
    for function in ast.walk(ast.parse(Path(sabotage.__file__ or "").read_text())):
        if isinstance(function, ast.FunctionDef):
            things = dict(_imported(function))
            absent += [
                ast.unparse(target)
                for node in ast.walk(function)
                if isinstance(node, ast.Assign)
                for target in node.targets
                if isinstance(target, ast.Attribute)
                and ast.unparse(target.value) in things
                and not hasattr(things[ast.unparse(target.value)], target.attr)
            ]

    assert absent == []


def _imported(function: ast.FunctionDef) -> Iterator[tuple[str, object]]:
    """What a function imports of the product, by the names that it uses."""
    for node in ast.walk(function):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("insights"):
            for alias in node.names:
                package = import_module(node.module or "")
                yield (
                    alias.asname or alias.name,
                    getattr(package, alias.name, None) or import_module(f"{node.module}.{alias.name}"),
                )


def test_the_check_sees_counters_that_are_written_after_the_commit(tmp_path: Path) -> None:
    outcome = try_promise(p01, tmp_path, count=4, sabotage="P1")

    assert any("counts of part" in failure for failure in outcome.failures)
