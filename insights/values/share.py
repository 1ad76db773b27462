"""A part of a period as whole seconds out of whole seconds, kept unreduced so that a page can show both.

Refuses parts below nothing and above the whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


class InvalidShare(ValueError):
    """The seconds are not a part of the whole."""


@dataclass(frozen=True, slots=True)
class Share:
    """`seconds` out of `of_seconds`: 12 days of a 31-day month are 1,036,800 of 2,678,400."""

    seconds: int
    of_seconds: int

    def __post_init__(self) -> None:
        if self.of_seconds <= 0:
            raise InvalidShare("the whole has no seconds")
        if not 0 <= self.seconds <= self.of_seconds:
            raise InvalidShare(f"{self.seconds} seconds are not a part of {self.of_seconds}")

    @property
    def fraction(self) -> Fraction:
        """The part of one, exactly."""
        return Fraction(self.seconds, self.of_seconds)

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left out."""
        return self.seconds == self.of_seconds


WHOLE = Share(1, 1)
