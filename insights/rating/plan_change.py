"""A billing period cut by plan changes: what each does to tiers and included usage, and a line for each segment.

Usage is never prorated: each segment is charged for what was metered in it. Refuses segments that overlap, leave a
hole between them or stick out of the period.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from insights.rating.adjustments import Had
from insights.rating.proration import share_of
from insights.rating.rate import RatedLine, Segment, Usage, had_after, rate_line
from insights.rating.terms import PriceTerms
from insights.values.period import Period
from insights.values.share import WHOLE


class ChangePolicy(StrEnum):
    """What a plan change does to tiers and included usage; stored on the change and printed on the bill."""

    RESTART = "restart"
    CONTINUE = "continue"
    SHARED_BY_TIME = "shared_by_time"


class InvalidSegments(ValueError):
    """The segments do not follow each other inside the period."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSegment:
    """A stretch of the period on one plan: its terms for one meter, and the usage whose windows begin in it.

    `opened_by` is the policy of the change that began it. For a first segment, RESTART gives it whole tiers and
    included usage even when the subscription began in the middle of the period; SHARED_BY_TIME gives its part.
    """

    service: Period
    terms: PriceTerms
    usage: Usage
    opened_by: ChangePolicy = ChangePolicy.RESTART


def rate_segments(period: Period, segments: Sequence[PlanSegment]) -> tuple[RatedLine, ...]:
    """One line for each segment of the billing period, in order; quantities add to all that was metered.

    Raises InvalidSegments and UnableToRate.
    """
    return tuple(line for line, _ in rate_and_place_segments(period, segments))


def rate_and_place_segments(
    period: Period, segments: Sequence[PlanSegment], *, closed_by: ChangePolicy = ChangePolicy.RESTART
) -> tuple[tuple[RatedLine, Segment], ...]:
    """The same lines, each with what the changes left of tiers and included usage for it.

    `closed_by` is the policy of the change that ends the last segment, to a plan that has no such price.

    RESTART: whole tiers and included usage begin anew. CONTINUE: they go on where the segment before left off, and
    flat prices, fixed discounts and bounds are due once for all segments of the run that have them.
    SHARED_BY_TIME: the segments on both sides get their part of the period by seconds: included usage, bounds and
    flat amounts of tiers are that part, so that the same pace costs the same. A run of continued segments counts as
    one segment. Raises InvalidSegments and UnableToRate.
    """
    _check_order(period, segments)
    rated = []
    for run in _runs(segments):
        # Usage before this one in the run already stands in the tiers; None where they begin anew.
        counted: Usage | None = None
        tier_share = share_of(_whole_of(run), period) if _is_shared(segments, run, closed_by) else WHOLE
        had: tuple[Had, ...] = ()
        for segment in run:
            terms_segment = Segment(
                share=share_of(segment.service, period),
                tier_share=tier_share,
                counted_before=counted,
                had_before=had,
            )
            rated.append((rate_line(segment.terms, segment.usage, segment=terms_segment), terms_segment))
            counted = segment.usage if counted is None else counted + segment.usage
            if segment is not run[-1]:
                had = had_after(segment.terms, segment.usage, terms_segment)
    return tuple(rated)


def _check_order(period: Period, segments: Sequence[PlanSegment]) -> None:
    for segment in segments:
        if segment.service.start < period.start or segment.service.end > period.end:
            raise InvalidSegments("a segment is not inside the billing period")
    for segment, following in pairwise(segments):
        if segment.service.end != following.service.start:
            raise InvalidSegments("a segment does not begin where the one before it ends")


def _runs(segments: Sequence[PlanSegment]) -> Iterator[list[PlanSegment]]:
    run: list[PlanSegment] = []
    for segment in segments:
        if run and segment.opened_by is not ChangePolicy.CONTINUE:
            yield run
            run = []
        run.append(segment)
    if run:
        yield run


def _whole_of(run: Sequence[PlanSegment]) -> Period:
    return Period(run[0].service.start, run[-1].service.end)


def _is_shared(segments: Sequence[PlanSegment], run: Sequence[PlanSegment], closed_by: ChangePolicy) -> bool:
    end = run[-1].service.end
    opened = (segment.opened_by for segment in segments if segment.service.start == end)
    return ChangePolicy.SHARED_BY_TIME in (run[0].opened_by, next(opened, closed_by))
