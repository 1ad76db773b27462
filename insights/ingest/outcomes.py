"""What reading a line can come to: accepted, accepted with a doubt, or rejected.

Plain tuples and lists, so that fifty thousand of them cost little.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from insights.ingest.limits import LINE_BYTES_MAX
from insights.ingest.refusals import CODES, Refusal, shown


class AcceptedLine(NamedTuple):
    """One usage record as sent, its quantity in the meter's unit. row_id is '' for window sources."""

    line_no: int
    account_id: int
    meter_id: int
    dimensions: tuple[tuple[str, str], ...]
    window_start: datetime
    row_id: str
    revision: int
    quantity: Decimal


class RejectedLine(NamedTuple):
    """One refused line: why, where, what was sent, and the bytes to try again once it is mended."""

    line_no: int
    code: str
    field: str
    value: str
    message: str
    account_id: int | None
    account_reference: str | None
    raw: bytes | None
    retryable: bool


@dataclass(frozen=True, slots=True)
class ParsedChunk:
    """The lines of one chunk by outcome, each list in line order.

    A doubtful line is past the age limit: a duplicate if its identity is known, else the rejection
    beside it. Blank lines are not received.
    """

    accepted: list[AcceptedLine] = field(default_factory=list)
    rejected: list[RejectedLine] = field(default_factory=list)
    doubtful: list[tuple[AcceptedLine, RejectedLine]] = field(default_factory=list)
    blank: int = 0
    replacement_characters: int = 0

    @property
    def received(self) -> int:
        return len(self.accepted) + len(self.rejected) + len(self.doubtful)


def rejected_line(
    line_no: int,
    line: str,
    refusal: Refusal,
    *,
    account_id: int | None,
    account_reference: str | None,
) -> RejectedLine:
    raw = line.encode()
    return RejectedLine(
        line_no=line_no,
        code=refusal.code,
        field=shown(refusal.field),
        value=shown(refusal.value),
        message=refusal.message,
        account_id=account_id,
        account_reference=account_reference,
        raw=raw if len(raw) <= LINE_BYTES_MAX else None,
        retryable=CODES[refusal.code].retryable,
    )
