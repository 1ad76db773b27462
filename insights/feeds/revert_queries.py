"""How far the revert of a batch is, for staff: records by meter and day, never a quantity."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from insights.models import BatchRevert


@dataclass(frozen=True, slots=True)
class RevertDay:
    """What a revert does to one meter on one day, over all accounts of the batch."""

    meter: str
    day: date
    accounts: int
    before: int
    leaves: int
    returns: int
    after: int


@dataclass(frozen=True, slots=True)
class RevertFacts:
    """A revert from the question to its end; counts and days are those of the last preparation."""

    prepared_at: datetime | None
    leaves: int
    returns: int
    days: tuple[RevertDay, ...]
    days_in_all: int
    archived: tuple[str, ...]
    confirmed_at: datetime | None
    confirmed_by: str
    reason: str
    records_out: int
    records_back: int
    finished_at: datetime | None

    @property
    def is_worked_on(self) -> bool:
        """Whether a worker has something to do, so that the page will change by itself."""
        return self.finished_at is None and (self.prepared_at is None or self.confirmed_at is not None)


def find_revert(*, batch_id: int) -> RevertFacts | None:
    """Return the batch's revert, if one was ever asked for."""
    revert = BatchRevert.objects.select_related("confirmed_by").filter(batch_id=batch_id).first()
    if revert is None:
        return None
    return RevertFacts(
        prepared_at=revert.prepared_at,
        leaves=revert.preview.get("leaves", 0),
        returns=revert.preview.get("returns", 0),
        days=tuple(_day(row) for row in revert.preview.get("days", ())),
        days_in_all=revert.preview.get("days_in_all", 0),
        archived=tuple(revert.preview.get("archived", ())),
        confirmed_at=revert.confirmed_at,
        confirmed_by=revert.confirmed_by.email if revert.confirmed_by else "",
        reason=revert.reason,
        records_out=revert.records_out,
        records_back=revert.records_back,
        finished_at=revert.finished_at,
    )


def _day(row: dict[str, Any]) -> RevertDay:
    return RevertDay(**{**row, "day": date.fromisoformat(row["day"])})
