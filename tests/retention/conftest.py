"""Archives of the tests are kept in a folder of each test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import storages

from tests.retention.months import make_world, no_detached_left


@pytest.fixture
def archives(portal_db: None, tmp_path: Path, settings: Any) -> Iterator[Path]:
    """Where files go."""
    backends = dict(settings.STORAGES)
    backends["archive"] = {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": tmp_path / "archive"},
    }
    settings.STORAGES = backends
    storages._storages.pop("archive", None)
    with no_detached_left():
        yield tmp_path / "archive"
    storages._storages.pop("archive", None)


@pytest.fixture(params=["window", "row_id"])
def source(request: Any, archives: Path) -> Any:
    """One source of either key kind, with accounts and meters to send for."""
    return make_world(request.param)
