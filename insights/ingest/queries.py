"""What became of an upload: its receipt, and the lines that were refused. Read as the intake role."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from accounts.tenancy import as_intake, connection
from insights.ingest.operations import FINISHED_STATES, SETTLED_STATES

# Small uploads are finished within the first pauses; those that are not need not be asked after as often.
POLL_SECONDS_FIRST = 0.03
POLL_SECONDS_MAX = 0.3


@dataclass(frozen=True, slots=True)
class Counts:
    """Lines by verdict; received is their sum. Header and blank lines are not received."""

    received: int
    new: int
    replaced: int
    duplicate: int
    stale: int
    rejected: int


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a whole batch was refused or set aside."""

    code: str
    detail: str
    line: int | None
    field: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where an upload is on its way, and what its lines came to so far."""

    batch_id: int
    public_id: uuid.UUID
    source_slug: str
    name: str
    via: str
    state: str
    received_at: datetime
    finished_at: datetime | None
    complete_to: datetime | None
    counts: Counts
    blank_lines: int
    lines_done: int
    lines_total: int | None
    fault: Fault | None
    duplicate_of: uuid.UUID | None
    backfill: uuid.UUID | None

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will happen to this batch."""
        return self.state in FINISHED_STATES

    @property
    def is_settled(self) -> bool:
        """Whether nothing more will happen to it by itself: it is finished, or held for a backfill."""
        return self.state in SETTLED_STATES


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """One refused line; account_reference only when it names no account we know."""

    line_no: int
    code: str
    field: str
    value: str
    message: str
    replayed_at: datetime | None


_RECEIPT = """
    SELECT b.id, b.public_id, s.slug, b.name, b.via, b.state, b.received_at, b.finished_at, b.complete_to,
        b.received, b.new, b.replaced, b.duplicate, b.stale, b.rejected, b.blank_lines, b.lines_done, b.lines_total,
        b.error_code, b.error_detail, b.error_line, b.error_field, d.public_id, f.public_id
    FROM insights_batch b JOIN insights_source s ON s.id = b.source_id
    LEFT JOIN insights_batch d ON d.id = b.duplicate_of_id LEFT JOIN insights_backfill f ON f.id = b.backfill_id
    WHERE b.public_id = %(public_id)s AND (%(source)s::bigint IS NULL OR b.source_id = %(source)s)
"""


def get_receipt(*, public_id: uuid.UUID, source_id: int | None = None) -> Receipt | None:
    """Return the receipt of a batch, or None if there is none (of that source, when one is given)."""
    with as_intake(), connection().cursor() as cursor:
        cursor.execute(_RECEIPT, {"public_id": public_id, "source": source_id})
        row = cursor.fetchone()
    return None if row is None else _receipt(row)


def _receipt(row: Any) -> Receipt:
    code, detail, line, field = row[18:22]
    return Receipt(
        batch_id=row[0],
        public_id=row[1],
        source_slug=row[2],
        name=row[3],
        via=row[4],
        state=row[5],
        received_at=row[6],
        finished_at=row[7],
        complete_to=row[8],
        counts=Counts(*row[9:15]),
        blank_lines=row[15],
        lines_done=row[16],
        lines_total=row[17],
        fault=Fault(code, detail, line, field) if code else None,
        duplicate_of=row[22],
        backfill=row[23],
    )


def wait_for_batch(*, public_id: uuid.UUID, seconds: float) -> Receipt:
    """Return the receipt as soon as the batch is finished, or as it stands after `seconds`."""
    deadline = time.monotonic() + seconds
    pause = POLL_SECONDS_FIRST
    while True:
        receipt = get_receipt(public_id=public_id)
        if receipt is None:
            raise LookupError(f"no batch {public_id}")
        left = deadline - time.monotonic()
        if receipt.is_settled or left <= 0:
            return receipt
        time.sleep(min(pause, left))
        pause = min(2 * pause, POLL_SECONDS_MAX)


_REFUSED = """
    SELECT line_no, code, field, value, message, replayed_at FROM (
        SELECT line_no, code, field, value, message, replayed_at FROM insights_rejectedline
        WHERE batch_id = %(batch)s AND line_no > %(after)s
        UNION ALL
        SELECT line_no, code, field, value, message, replayed_at FROM insights_unattributedreject
        WHERE batch_id = %(batch)s AND line_no > %(after)s
    ) refused ORDER BY line_no LIMIT %(limit)s
"""


def list_receipt_rejects(*, batch_id: int, after_line: int = 0, limit: int = 100) -> tuple[RefusedLine, ...]:
    """Return refused lines behind a line number, in line order; for the sender, who knows the cells."""
    with as_intake(), connection().cursor() as cursor:
        cursor.execute(_REFUSED, {"batch": batch_id, "after": after_line, "limit": limit})
        return tuple(RefusedLine(*row) for row in cursor.fetchall())
