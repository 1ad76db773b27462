"""The check of the books names a backfill that is in them only half."""

from __future__ import annotations

from typing import Any

import pytest

from tests import factories
from tests.books.test_verify_books import damage, verify
from tests.ingest.held import close, discard, hold, line, opened, preview

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("portal_db")]

HELD = "(SELECT min(id) FROM insights_batch WHERE state = 'held')"
CLOSED = "(SELECT id FROM insights_backfill WHERE state = 'closed')"
DISCARDED = "(SELECT id FROM insights_backfill WHERE state = 'discarded')"
DONE = f"(SELECT min(id) FROM insights_batch WHERE backfill_id = {CLOSED})"
DAMAGE = {
    "no entry": (
        f"UPDATE insights_ledgerentry SET kind = 'chunk', backfill_id = NULL WHERE backfill_id = {CLOSED}",
        "closed with 0 entries",
    ),
    "entry of another": (
        f"UPDATE insights_ledgerentry SET backfill_id = {DISCARDED} WHERE backfill_id = {CLOSED}",
        "its entry or source is not that of its batch",
    ),
    "held in a closed one": (
        f"UPDATE insights_batch SET state = 'held' WHERE id = {DONE}",
        "held, and the backfill is closed",
    ),
    "done in an open one": (
        f"UPDATE insights_batch SET state = 'done' WHERE id = {HELD}",
        "done, and the backfill is open",
    ),
    "half done": (
        f"UPDATE insights_batch SET lines_done = lines_done - 1 WHERE id = {DONE}",
        "2 of 3 lines done",
    ),
    "begun while open": (
        f"UPDATE insights_batch SET received = 1, new = 1, lines_done = 2 WHERE id = {HELD}",
        "2 of 2 lines done",
    ),
    "own entry": (
        f"""INSERT INTO insights_ledgerentry (kind, batch_id, first_line, last_line, position, committed_at)
            VALUES ('chunk', {DONE}, 2, 3, 2, clock_timestamp())""",
        "has an entry of its own",
    ),
    "seen too early": (
        f"UPDATE insights_batchpart SET batch_id = {HELD}",
        "seen before its backfill is closed",
    ),
    "held for nothing": (
        f"UPDATE insights_batch SET backfill_id = NULL WHERE id = {HELD}",
        "held without a backfill",
    ),
}


@pytest.fixture
def backfills(portal_db: None) -> None:
    """One closed with two lines, one discarded, one open with a batch."""
    factories.make_meter("bytes_out")
    factories.make_account("ansel")
    source: Any = factories.make_source("edge", clock_zone="")
    staff = factories.make_user("staff@example.com", is_staff=True)
    for end in (close, discard):
        backfill = opened(source, staff)
        hold(source, backfill, line(1, 5), line(2, 6))
        preview(backfill, staff)
        end(backfill, staff)
    hold(source, opened(source, staff), line(3, 7))


def test_backfills_in_order_agree(backfills: None) -> None:
    out, agrees = verify()

    assert agrees, out
    assert "backfills are in the books wholly or not at all: 3 rows compared, 0 differences" in out


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_named(backfills: None, kind: str) -> None:
    statement, reason = DAMAGE[kind]
    damage("SET CONSTRAINTS ALL IMMEDIATE", statement)

    out, agrees = verify()

    assert not agrees
    assert reason in out
