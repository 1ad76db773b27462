"""Accounts, meters and sources as the tables of bad inputs expect them, and a way in of each kind."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from accounts.models import Account
from accounts.tenancy import as_owner
from tests import factories
from tests.api.conftest import make_source_key
from tests.bad_inputs.ways import Doors, source_of
from tests.conftest import Cast

ENDED_AT = datetime(2026, 11, 10, tzinfo=UTC)


@pytest.fixture
def catalogue(cast: Cast) -> None:
    """The accounts and meters that the rows name."""
    account = factories.make_account("closed")
    with as_owner():
        Account.objects.filter(pk=account.pk).update(state="closed", closed_at=ENDED_AT)
    factories.make_account("brook")
    factories.make_meter("bytes_out", unit="B", dimensions=["region", "protocol"])
    factories.make_meter("corrections", unit="B", dimensions=[], allows_negative=True)
    factories.make_meter("retired", unit="B", dimensions=[], retired_at=ENDED_AT)
    factories.make_meter("daily", unit="B", dimensions=[], grain_seconds=86_400)


@pytest.fixture
def sources(catalogue: None, cast: Cast) -> None:
    """An hourly source without a clock of its own, two on Berlin's clock, and one of a single account."""
    factories.make_source("edge", key_kind="row_id", clock_zone="", max_age_days=35)
    factories.make_source("berlin", key_kind="row_id", clock_zone="Europe/Berlin")
    factories.make_source("days", key_kind="row_id", clock_zone="Europe/Berlin", window="day")
    factories.make_source("bound", key_kind="row_id", clock_zone="", account=cast.ours)


@pytest.fixture
def doors(sources: None, cast: Cast, signed_in: Any, tmp_path: Path, settings: Any) -> Callable[[str], Doors]:
    """What the senders of a source have. Nobody answers the bell: each test does the worker's task itself."""
    settings.UPLOAD_WAIT_SECONDS = 0
    return lambda slug: Doors(make_source_key(source_of(slug)), signed_in(cast.staff), tmp_path)
