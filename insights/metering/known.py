"""What an answer says of an earlier moment: its quantities, and no claim to completeness. Plain Python."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from insights.metering.completeness import NOTHING_KNOWN, Completeness, OpenStretch
from insights.metering.explore import ZERO, Exploration
from insights.metering.known_moment import KnownAt
from insights.metering.windows import Kind

_SAYS_COMPLETE = (Kind.COMPLETE, Kind.ZERO)


def then_or_open(now: Completeness, known: KnownAt | None) -> Completeness:
    """What was certainly open at the moment: what is open still, since marks never fall, and what lay ahead of it."""
    if known is None or known.at is None:
        return NOTHING_KNOWN
    return replace(now, is_settled=False, open=(*now.open, OpenStretch(known.at, None)))


def as_known(answer: Exploration) -> Exploration:
    """The answer without a claim to completeness, and so without a change measured on what is complete."""
    return replace(
        answer,
        buckets=tuple(
            bucket._replace(kind=Kind.UNKNOWN) if bucket.kind in _SAYS_COMPLETE else bucket
            for bucket in answer.buckets
        ),
        groups=tuple(replace(group, comparable=None, previous=None) for group in answer.groups),
        comparable=None,
        previous=None,
        completeness=NOTHING_KNOWN,
    )


@dataclass(frozen=True, slots=True)
class BatchSince:
    """A batch that changed what is shown since then, or whose revert did. `id` is None for one that cannot be named."""

    id: UUID | None
    name: str
    source: str
    received_at: datetime | None
    is_revert: bool
    came: int
    went: int


@dataclass(frozen=True, slots=True)
class Since:
    """What differs between then and now: quantities, records that came or went, and the batches that did it.

    `batches` is None where too much came since to look at each line.
    """

    then: Decimal | None
    now: Decimal | None
    came: int
    went: int
    batches: tuple[BatchSince, ...] | None

    @property
    def difference(self) -> Decimal:
        """How much more is known now; nothing counts as zero."""
        return (self.now or ZERO) - (self.then or ZERO)
