"""The part of a period that something is charged for: whole seconds out of whole seconds, divided last.

Refuses parts that stick out of their period and instants between two seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache

from insights.values.period import Period
from insights.values.share import Share
from insights.values.step import Step

_ONE_SECOND = timedelta(seconds=1)


class UnableToProrate(ValueError):
    """The part is not one of this period in whole seconds."""


@lru_cache(maxsize=4096)
def share_of(part: Period, whole: Period) -> Share:
    """How much of the whole period the part is, in elapsed seconds: an hour the clock skips is no time at all.

    Parts that tile the period have shares that add to one. Raises UnableToProrate.
    """
    if part.start < whole.start or part.end > whole.end:
        raise UnableToProrate("the part is not inside the period")
    return Share(_seconds(part.duration), _seconds(whole.duration))


def _seconds(duration: timedelta) -> int:
    if duration % _ONE_SECOND:
        raise UnableToProrate(f"{duration} is not a whole number of seconds")
    return duration // _ONE_SECOND


def prorate_steps(steps: Sequence[Step], share: Share) -> tuple[Step, ...]:
    """The same steps for a part of the period: amounts by the share, quantities as they were."""
    if share.is_whole:
        return tuple(steps)
    return tuple(replace(step, amount=step.amount * share.fraction, share=share) for step in steps)
