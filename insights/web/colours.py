"""Which of the eight series colours a dimension value has: the same on every page and in every period."""

from __future__ import annotations

from collections.abc import Iterable
from zlib import crc32

COLOURS = 8


def series_of(values: Iterable[str | None]) -> dict[str | None, int]:
    """Give each value, the largest first, a colour by its own letters.

    Of two that want the same the later in the alphabet moves on. Past eight values the colours of the largest are
    used again, which are the farthest away in a stack; words tell them apart.
    """
    ranked = list(dict.fromkeys(values))
    given: dict[str | None, int] = {}
    free = list(range(1, COLOURS + 1))
    for value in sorted(ranked[:COLOURS], key=lambda value: value or ""):
        wanted = crc32((value or "").encode()) % COLOURS + 1
        colour = min(free, key=lambda one: (one - wanted) % COLOURS)
        free.remove(colour)
        given[value] = colour
    for number, value in enumerate(ranked[COLOURS:]):
        given[value] = given[ranked[number % COLOURS]]
    return given
