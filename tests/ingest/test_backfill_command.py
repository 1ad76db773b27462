"""A backfill by the command line: held files, the same rules, audited as done there."""

from __future__ import annotations

import io
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import AuditEntry
from accounts.tenancy import as_worker
from insights import tasks
from insights.models import Backfill, Batch, UsageRecord
from tests import factories
from tests.ingest.held import body_of, line

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("portal_db")]


@pytest.fixture
def source(portal_db: None, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A source, with a worker that answers the bell at once."""
    monkeypatch.setattr(tasks, "ring", tasks.ingest_batch)
    factories.make_meter("bytes_out")
    factories.make_account("ansel")
    return factories.make_source("edge", clock_zone="")


def run(*arguments: Any) -> str:
    out = io.StringIO()
    call_command(*map(str, arguments), stdout=out)
    return out.getvalue().strip()


def test_a_file_is_held_previewed_and_closed(source: Any, tmp_path: Path) -> None:
    file = tmp_path / "october.csv"
    file.write_bytes(body_of(source, line(1, 5), line(2, 6), line(3, 7, account="nobody")))

    number = run("backfill", "open", "edge", "--reason", "never sent")
    assert "1 batches held" in run("ingest", "edge", file, "--backfill", number)
    with as_worker():
        assert (Batch.objects.get().state, UsageRecord.objects.exists()) == ("held", False)
    said = run("backfill", "preview", number)
    assert "1 batch with 4 lines are held and previewed" in said
    assert "2 new lines come into the books" in said
    assert "Closed: everything came into the books at once, at position 1" in run(
        "backfill", "close", number, "--reason", "checked"
    )

    with as_worker():
        assert UsageRecord.objects.count() == 2
        acts = list(AuditEntry.objects.order_by("id").values_list("act", "actor_name"))
    assert acts[-2:] == [("backfill.open", "command line"), ("backfill.close", "command line")]
    assert "Closed" in run("backfill", "show", number)


def test_it_is_discarded(source: Any) -> None:
    number = run("backfill", "open", "edge", "--reason", "never sent", "--keep-age-limit")

    assert "Discarded" in run("backfill", "discard", number, "--reason", "a mistake")

    with as_worker():
        backfill = Backfill.objects.get()
    assert (backfill.state, backfill.takes_any_age) == ("discarded", False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("open", "nothing", "--reason", "x"), "There is no source 'nothing'"),
        (("open", "edge", "--reason", " "), "needs a reason"),
        (("open", "edge", "--reason", "x" * 201), "up to 200 plain characters"),
        (("show", uuid.uuid4()), "There is no backfill"),
        (("close", "7", "--reason", "x"), "invalid UUID value"),
        (("close", uuid.uuid4(), "--reason", "x"), "There is no backfill"),
    ],
)
def test_what_cannot_be_done_is_said(source: Any, arguments: tuple[Any, ...], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        run("backfill", *arguments)


def test_a_file_for_an_unknown_backfill_is_refused(source: Any, tmp_path: Path) -> None:
    file = tmp_path / "october.csv"
    file.write_bytes(body_of(source, line(1, 5)))

    with pytest.raises(CommandError, match="unknown_backfill"):
        run("ingest", "edge", file, "--backfill", uuid.uuid4())
