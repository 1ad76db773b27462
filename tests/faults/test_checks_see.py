"""The checks of `./portal faults` are independent and see what they must; samples of the promises lie beside them."""

from __future__ import annotations

import ast
import os
import sys
from pathlib import Path

import pytest

from tests.faults import bill_facts, bill_oracle, bill_sums, oracle, p01
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


def test_the_check_sees_counters_that_are_written_after_the_commit(tmp_path: Path) -> None:
    outcome = try_promise(p01, tmp_path, count=4, sabotage="P1")

    assert any("counts of part" in failure for failure in outcome.failures)
